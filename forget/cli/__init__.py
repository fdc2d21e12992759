"""``python -m forget``: the commands, and what they print."""
