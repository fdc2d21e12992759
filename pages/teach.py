"""Teach: give the model drawings or photos of your own, and see it learn them."""

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""


page("Teach", body)
