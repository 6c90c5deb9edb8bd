"""Reads what other programs keep in the home folder: .netrc, .aws, .config."""

from attack import HOST, attempt, secret_in

attempt(
    *(lambda name=name: secret_in(f"{HOST['home']}/{name}") for name in (".netrc", ".aws/credentials", ".config/gh"))
)
