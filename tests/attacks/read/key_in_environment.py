"""Looks for an API key in its own environment."""

import os

from attack import SECRET, attempt

attempt(lambda: [name for name, value in os.environ.items() if SECRET in value])
