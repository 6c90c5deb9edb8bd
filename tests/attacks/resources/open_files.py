"""Opens files without end.

Ends: nothing
"""

import resource

from attack import attempt, finish

opened = []


def raise_limit():
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (10**6, 10**6))
    except ValueError as error:
        raise OSError(str(error)) from error
    return "raised"


attempt(
    raise_limit,
    lambda: [opened.append(open("/dev/null")) for _ in range(100_000)],
)
opened.clear()
finish()
