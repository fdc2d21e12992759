"""Ledger: what was asked and done, in a chain that shows any later change."""

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""


page("Ledger", body)
