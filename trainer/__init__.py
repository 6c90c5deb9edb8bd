"""The training code: a small decoder-only transformer, its data, its loop."""
