"""What a session leaves to be read: the paper, the idea log, the figures. All of it is a function of the state."""
