"""What the machine did to a run, where that can be proved: it is then run again, once, with the same seed.

A crash, a loss that is no number and a timeout are the experiment's own. So is a signal that a run can send to
itself: one counts only if it ended the sandbox's outer process, which nothing inside can reach, if it ended the process
that watched the run, or if the kernel counted an out-of-memory kill meanwhile. Nobody gains by a second run: it has the
same seed, and there is no third.
"""

from __future__ import annotations

import signal

from agents.laboratory.process import Ended

_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)  # itself, or the process that it ran and whose end it passes on


def machine_fault(ended: Ended, *, out_of_reach: bool) -> str | None:
    """Return what the machine did to a process, or None if that cannot be proved.

    `out_of_reach`: no code that ran in it could have sent the process a signal.
    """
    if ended.unwritten:
        return f"the disk could not take what it wrote: {ended.unwritten}"
    if ended.unseen:
        return "the process that watched it was killed"
    if ended.timed_out or ended.exceeded:
        return None
    if ended.memory_kills and ended.returncode in _KILLED:
        return "the system was out of memory and killed it"
    if out_of_reach and ended.returncode < 0:
        return f"{signal.Signals(-ended.returncode).name} from outside ended it"
    return None
