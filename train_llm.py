"""Train a language model: `python train_llm.py [--preset blueberry|cpu|smoke] [--<setting> VALUE ...]`.

Every field of Configs (trainer/config.py) is a flag. Prints progress and, last, the path of the metrics file.
On several processes: `torchrun --nproc-per-node N train_llm.py ...`; the batch is divided among them.
Exits with 0, with 1 after a run that failed, with 2 for settings that cannot be used, or with 130 after Ctrl-C.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

import trainer  # noqa: E402
from trainer.errors import ConfigError, TrainerError  # noqa: E402
from trainer.flags import parse_configs  # noqa: E402
from trainer.loop import say, train  # noqa: E402
from trainer.parallel import join  # noqa: E402


def main(argv: list[str]) -> int:
    """Trains once; the exit code."""
    # Another checkout's code (an editable install, PYTHONPATH) must not be measured in this one's name.
    assert trainer.__file__ and Path(trainer.__file__).resolve().is_relative_to(ROOT), trainer.__file__
    try:
        configs = parse_configs(argv, Path(__file__).name)
        with join() as world:
            metrics = train(configs, world)
            if world.leads:
                say(f"metrics {metrics}")
    except TrainerError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print("Interrupted: no metrics were written.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # torch takes half a second to tear down what the system takes down at once
