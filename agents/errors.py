"""What can go wrong, as a tree; every message is a sentence for a person.

CircleError                 exit 1: an error, told in one sentence
  UsageError                exit 2: the command was wrong
  TargetError               the training repo, its circle.toml or its git cannot be used
    DiffRefused             a diff does not apply to the exact base commit
    EditRefused             an edit of a version's code was not made
  SessionError              a session is missing, busy, or not where the command needs it
    JournalDamaged          what a session has done is not known for certain any more
    CheckpointLost          how a session stands cannot be read; its journal can tell it again
  LaboratoryError           a run could not be started or measured (not: a run that failed)
    SandboxMissing          generated code would have to run unprotected
  BaselineRefused           the baseline cannot carry a verdict
  ReplyRefused              a researcher's reply is not of the type that was asked for
  Halted                    the session cannot go on and concludes with the reason
    Unanswered              a model gave no reply that could be used
    BudgetSpent             the worst case of a model's next call would pass the budget
Interrupted                 exit 5: stopped between two steps, resumable; no error
  Paused                    a model cannot be reached, or takes no further call, before a person does something
"""

from __future__ import annotations


class CircleError(Exception):
    """An error that a person can act on."""

    exit_code = 1


class UsageError(CircleError):
    """The command was used wrongly."""

    exit_code = 2


class TargetError(CircleError):
    """The training repo, its circle.toml or its git cannot be used."""


class DiffRefused(TargetError):
    """A diff does not apply to the exact base commit."""


class EditRefused(TargetError):
    """An edit of a version's code was not made: the path may not be edited, or the text to be replaced is not there."""


class SessionError(CircleError):
    """A session is missing, busy, or not where the command needs it."""


class JournalDamaged(SessionError):
    """What a session has done is not known for certain any more: an entry of its record changed, or is gone."""


class CheckpointLost(SessionError):
    """How a session stands cannot be read, or is not what its journal says; the journal can make it again."""


class LaboratoryError(CircleError):
    """A run could not be started or measured."""


class SandboxMissing(LaboratoryError):
    """Generated code would have to run unprotected."""


class BaselineRefused(CircleError):
    """The baseline cannot carry a verdict."""


class ReplyRefused(CircleError):
    """A researcher's reply is not of the type that was asked for."""


class Halted(CircleError):
    """The session cannot go on: it concludes, with this sentence as the reason."""


class Unanswered(Halted):
    """A model gave no reply that could be used."""


class BudgetSpent(Halted):
    """The worst case of a model's next call would pass the session's budget."""


class Interrupted(Exception):
    """A person or a signal asked the session to stop; it resumes from its last step."""

    exit_code = 5


class Paused(Interrupted):
    """A model cannot be reached, or takes no further call, before a person does something: the sentence says what."""
