"""The `circle` command: its commands by name, and what becomes of an error. Heavy imports wait until a command asks."""

from __future__ import annotations

import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from agents.commands import deciding, preparing, reading, serving, starting
from agents.errors import CircleError, Interrupted

COMMANDS: dict[str, Callable[..., Any]] = {
    "start": starting.start,
    "judge": starting.judge,
    "campaign": starting.campaign,
    "list": reading.list_sessions,
    "show": reading.show,
    "diff": reading.diff,
    "approve": deciding.approve,
    "reject": deciding.reject,
    "resume": deciding.resume,
    "stop": deciding.stop,
    "log": reading.log,
    "replay": reading.replay,
    "fork": deciding.fork,
    "export": reading.export,
    "import": reading.import_session,
    "merge": deciding.merge,
    "ideas": reading.list_ideas,
    "init": preparing.init,
    "baseline": preparing.baseline,
    "skills": preparing.skills,
    "doctor": preparing.doctor,
    "mcp": preparing.mcp,
    "serve": serving.serve,
}
app = typer.Typer(
    help='Research on language-model training that only says "it works" when it does.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """Run the command line; an error is one sentence and an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app(standalone_mode=True)
    except (CircleError, Interrupted) as error:
        _fail(str(error), error.exit_code)
    except sqlite3.Error as error:
        _fail(f"A file of the session cannot be read or written: {error}.", CircleError.exit_code)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror or error}{where}.", CircleError.exit_code)


def _interrupt(number: int, frame: object) -> NoReturn:
    """Not a KeyboardInterrupt, of which the library of the command line makes an exit code of its own."""
    raise Interrupted("Interrupted.")


def _fail(sentence: str, code: int) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
