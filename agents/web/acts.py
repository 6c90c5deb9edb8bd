"""What the page does: starts sessions, decides on diffs, stops, resumes, forks, replays. Each answers with JSON.

A decision is put on record here, at once; whatever trains or asks is a `circle` command of its own.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from agents.commands.asking import decided
from agents.drive import decide
from agents.errors import CheckpointLost, CircleError, SessionError, UsageError
from agents.laboratory.watcher import end_orphans
from agents.records import Record
from agents.session import Home, Opened
from agents.web.launch import Launcher

if TYPE_CHECKING:
    from starlette.requests import Request

Words = Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$")]
Limit = Annotated[float | None, Field(gt=0, le=1e9)]


class Budgeted(Record):
    """What may be used; None is the default."""

    max_versions: Annotated[int | None, Field(ge=1)] = None
    max_runs: Annotated[int | None, Field(ge=1)] = None
    max_hours: Limit = None
    max_usd: Limit = None


class Start(Budgeted):
    """The form of a new session."""

    idea: Words = ""
    researcher: Words = ""
    preset: Words = ""
    turbo: bool = False
    approve_scope: Words = ""


class Decide(Record):
    """A decision on the version and the bytes that were shown."""

    decision: Literal["approved", "rejected"]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    version: Annotated[int, Field(ge=1)]
    comment: Words = ""


class Fork(Budgeted):
    """The form of a new session from a step of an old one."""

    at: Annotated[int, Field(ge=1)]
    idea: Words = ""
    researcher: Words = ""


Act = Callable[[str, Any], dict[str, Any]]


@dataclass(frozen=True)
class Acts:
    """What can be done to one target's sessions."""

    home: Home
    launcher: Launcher

    def start(self, name: str, form: Any) -> dict[str, Any]:
        """Start a session; return its id."""
        asked = Start.model_validate(form)
        command = ["start", *_options(asked, "researcher", "preset", "approve_scope"), *["--turbo"] * asked.turbo]
        return {"session": self.launcher.begin([*command, "--", asked.idea])}

    def decide(self, name: str, form: Any) -> dict[str, Any]:
        """Put a decision on record and let the session go on with it."""
        asked, opened = Decide.model_validate(form), self.home.find(name)
        if asked.decision == "rejected" and not asked.comment.strip():
            raise UsageError("The planner needs words to go by: say what the next version should do differently.")
        with self.launcher.alone():
            decide(opened, decided(opened, asked.decision, asked.sha256, asked.comment, asked.version))
            self.launcher.resume(opened)
        return {"session": name, "decision": asked.decision}

    def stop(self, name: str, form: Any) -> dict[str, Any]:
        """Ask a session to stop at its next boundary; end what a killed one left running."""
        opened = self.home.find(name)
        if opened.is_busy:
            opened.ask_to_stop()
        else:
            end_orphans(opened.folder)
        return {"session": name}

    def resume(self, name: str, form: Any) -> dict[str, Any]:
        """Go on with a session that stopped, or whose checkpoint is to be made again."""
        opened = self.home.find(name)
        with self.launcher.alone():
            with suppress(CheckpointLost):
                _check_resumable(opened)
            self.launcher.resume(opened)
        return {"session": name}

    def fork(self, name: str, form: Any) -> dict[str, Any]:
        """Start a new session from a step; return its id."""
        asked = Fork.model_validate(form)
        command = ["fork", self.home.find(name).session.id, "--at", str(asked.at)]
        return {"session": self.launcher.begin([*command, *_options(asked, "idea", "researcher")])}

    def replay(self, name: str, form: Any) -> dict[str, Any]:
        """Walk through the session again with today's graph, and say whether it is the same."""
        said = self.launcher.ask(["replay", self.home.find(name).session.id, "--json"])
        try:
            return dict(json.loads(said))
        except ValueError:
            raise CircleError(f"circle replay {name} says on a terminal why there is nothing to compare.") from None


def _check_resumable(opened: Opened) -> None:
    """Raise SessionError unless there is something to go on with here."""
    name, status, held = opened.session.id, opened.status(), opened.held()
    if status not in ("stopped", "failed"):
        raise SessionError(f"Session {name} has not stopped: it is {status.replace('_', ' ')}.")
    if held is not None:
        campaign = opened.session.campaign
        raise SessionError(f"Session {name} waits for its turn: circle campaign --resume {campaign} goes on with it.")


async def acted(request: Request, act: Act) -> Response:
    """Do what a request asks for; what goes wrong is a sentence."""
    try:
        form = json.loads(await request.body() or b"{}")
        done = await run_in_threadpool(act, request.path_params.get("id", ""), form)
    except (CircleError, sqlite3.Error, OSError) as error:
        return JSONResponse({"error": str(error)}, HTTPStatus.CONFLICT)
    except ValidationError as error:
        return JSONResponse({"error": _told(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
    except (ValueError, RecursionError):
        return JSONResponse({"error": "That is no JSON."}, HTTPStatus.BAD_REQUEST)
    return JSONResponse(done)


def _options(form: Budgeted, *names: str) -> list[str]:
    """The options of a command line that were filled in."""
    limits = Budgeted.model_fields
    given = ((name, getattr(form, name)) for name in (*names, *limits))
    return [f"--{name.replace('_', '-')}={value}" for name, value in given if value not in ("", None)]


def _told(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "string_pattern_mismatch":
        return f"{first['loc'][0]}: there is a character in it that cannot be taken."
    return f"{'.'.join(map(str, first['loc'])) or 'The form'}: {first['msg']}."
