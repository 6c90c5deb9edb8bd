"""Writes beside its folder: by the full path and by `..`."""

from attack import HOST, OUTPUT, attempt

attempt(
    lambda: open(HOST["home"] + "/new", "w").write("x") and None,
    lambda: open(OUTPUT + "/../new", "w").write("x") and None,
    lambda: open(OUTPUT + "/../../../../../../new", "w").write("x") and None,
    lambda: open(HOST["repository"] + "/notes.txt", "a").write("x") and None,
    lambda: open("/etc/passwd", "a").write("x"),
    lambda: open("/usr/bin/new", "w").write("x"),
)
