"""What can go wrong for a person, each told in one sentence.

TrainerError
├── ConfigError      a setting has a value that cannot be used
├── DataError        a corpus or prepared data is missing, empty, damaged or too small
├── CheckpointError  a folder does not hold the weights of a run
├── OutputError      a result cannot be written
└── DivergedError    a loss is not a finite number any more
"""


class TrainerError(Exception):
    """The base of all: its text says what, where, and what to do."""


class ConfigError(TrainerError, ValueError):
    """A setting has a value that cannot be used."""


class DataError(TrainerError):
    """A corpus or prepared data is missing, empty, damaged or too small."""


class CheckpointError(TrainerError):
    """A folder does not hold the weights of a run."""


class OutputError(TrainerError):
    """A result cannot be written."""


class DivergedError(TrainerError):
    """A loss is not a finite number any more."""
