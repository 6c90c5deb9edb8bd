"""What earlier sessions of a target tried, from their summaries alone: what `circle ideas` shows."""

from __future__ import annotations

from typing import Any

from agents.errors import CircleError
from agents.session import Home, load_committed_target, tree_of


def remembered(home: Home, words: list[str]) -> list[dict[str, Any]]:
    """Return every version that was tried, newest session first, with all of these words somewhere in it.

    `status` is the session's; `current_base` says whether it was tried on the training code that HEAD has, or is None
    where that cannot be told.
    """
    tree = _tree(home)
    found = []
    for opened in home.sessions():
        session, summary = opened.session, opened.summary()
        about = {
            "idea_text": session.idea.text,
            "status": summary.status,
            "base": session.base,
            "standing": [flag.model_dump(mode="json") for flag in session.standing],
            "current_base": None if tree is None or summary.tree is None else summary.tree == tree,
        }
        found += [tried.model_dump(mode="json") | about for tried in summary.tried]
    return [entry for entry in found if _matches(entry, words)]


def unreadable(home: Home) -> list[str]:
    """Return the sessions whose record or summary is damaged, or of another version: what they tried is not known."""
    readable = {opened.session.id for opened in home.sessions() if opened.is_remembered}
    return sorted({file.parent.name for file in (home.folder / "sessions").glob("*/session.json")} - readable)


def _matches(entry: dict[str, Any], words: list[str]) -> bool:
    """Whether all words are in what a person would look for: names, titles, flags, outcome, cause, lessons, session."""
    looked = ("idea", "idea_text", "title", "flags", "outcome", "cause", "lessons", "session")
    text = " ".join(str(entry[name]) for name in looked).lower()
    return all(word.lower() in text for word in words)


def _tree(home: Home) -> str | None:
    """The training code of HEAD; None where nothing there can be trained."""
    try:
        head = home.workspace.head()
        return tree_of(home.workspace, load_committed_target(home.workspace, head), head, ())
    except CircleError:
        return None
