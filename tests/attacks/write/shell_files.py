"""Adds a line to the files that the person's shell runs, and to what the system runs by the clock."""

from attack import HOST, attempt

for name in (".bashrc", ".profile", ".zshrc", ".ssh/authorized_keys", ".config/autostart/evil.desktop"):
    attempt(lambda: open(f"{HOST['home']}/{name}", "a").write("evil") and None)
attempt(lambda: open("/etc/cron.d/evil", "w"), lambda: open("/var/spool/cron/root", "w"))
