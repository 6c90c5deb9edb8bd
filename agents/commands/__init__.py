"""What each command of `circle` does: its options, the session that it opens, what it prints."""
