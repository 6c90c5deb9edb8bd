"""The page that `circle serve` opens: watch, approve, replay. It reads what is on record; the `circle` command acts."""
