"""Forget me: what is held about a contributor, and getting rid of all of it."""

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""


page("Forget me", body)
