"""The diff that waits for a person, and what must hold for a decision on it: these bytes, unmoved, and seen whole."""

from __future__ import annotations

import hashlib

from agents.errors import SessionError
from agents.records import Decision, Patch, Version
from agents.session import Opened
from agents.state import versions_of
from agents.unseen import left_out


def newest_diff(opened: Opened) -> tuple[bytes, str]:
    """Return the exact bytes of the newest version's diff, from git, and their SHA-256."""
    text = opened.home.workspace.diff(opened.session.base, newest_patch(opened)[1].commit)
    return text, hashlib.sha256(text).hexdigest()


def newest_patch(opened: Opened) -> tuple[Version, Patch]:
    """Return the newest version that has a diff, and its patch; raise SessionError if there is none."""
    found = [(version, version.patch) for version in versions_of(opened.state()) if version.patch]
    if not found:
        raise SessionError(f"Session {opened.session.id} has no diff yet.")
    return found[-1]


def check_waiting(opened: Opened, sha256: str, decision: Decision = "approved", version: int | None = None) -> None:
    """Raise SessionError unless the session waits for a decision on these bytes, and on this version if one is said.

    Versions of flags alone have the same bytes, none: who was shown a version decides on that one.
    They can be rejected whatever has become of them since; what is approved is in git still, and was shown whole.
    """
    if opened.status() != "awaiting_approval":
        raise SessionError(f"Session {opened.session.id} does not wait for an approval: it is {opened.status()}.")
    (newest, patch), name = newest_patch(opened), opened.session.id
    if version not in (None, newest.n):
        raise SessionError(
            f"Version {newest.n} waits now, not {version}: look at it again, with circle diff {name} or on its page."
        )
    if sha256.lower() != patch.diff_sha256:
        raise SessionError(
            f"The diff that waits has the SHA-256 {patch.diff_sha256}, not {sha256}: look at it again, "
            f"with circle diff {name} or on its page."
        )
    if decision == "rejected":
        return
    text = _unmoved(opened)
    if decision == "approved" and left_out(text) and not saw(opened, patch.diff_sha256):
        raise SessionError(
            f"The diff is too long to be shown whole ({left_out(text)}): circle diff {name} --raw and the link on "
            "its page give every byte, and after that it can be approved."
        )


def _unmoved(opened: Opened) -> bytes:
    """The bytes that wait, which git gives for the commit and to which the branch still points."""
    version, patch = newest_patch(opened)
    text, actual = newest_diff(opened)
    if actual != patch.diff_sha256:
        raise SessionError(
            f"Commit {patch.commit[:12]} gives other bytes now, with the SHA-256 {actual}: what was reviewed and shown "
            f"is not there any more. circle reject {opened.session.id} asks for another version."
        )
    tip = opened.home.workspace.tip(patch.branch)
    expected = version.tip or patch.commit
    if tip != expected:
        raise SessionError(
            f"{patch.branch} has been moved since the diff was shown, to {tip[:12] or 'nothing'}: "
            f"git update-ref refs/heads/{patch.branch} {expected} puts it back, and then the diff can be approved."
        )
    return text


def remember_seen(opened: Opened, sha256: str) -> None:
    """Remember that a person was given every byte of the diff with this SHA-256."""
    with (opened.folder / "seen").open("a", encoding="ascii") as file:
        file.write(f"{sha256}\n")


def saw(opened: Opened, sha256: str) -> bool:
    """Whether a person was given every byte of the diff with this SHA-256."""
    file = opened.folder / "seen"
    return file.exists() and sha256 in file.read_text(encoding="ascii", errors="replace").splitlines()
