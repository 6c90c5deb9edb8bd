"""Plants what git runs or obeys: hooks, configuration, attributes, another .git for the worktree."""

import os

from attack import HOST, attempt

git = HOST["repository"] + "/.git"
for file in ("hooks/pre-commit", "hooks/post-checkout", "config", "info/attributes", "HEAD", "objects/info/alternates"):
    attempt(lambda: open(f"{git}/{file}", "w").write("evil") and None)
for place in (HOST["repository"], HOST["worktree"], os.getcwd()):
    for file in (".git", ".gitattributes", ".gitmodules"):
        attempt(lambda: open(f"{place}/{file}", "w").write("gitdir: /evil") and None)
attempt(lambda: open(HOST["home"] + "/.gitconfig", "w").write("[core] fsmonitor = evil") and None)
