"""Around every page: who is there, what may come in, how much of it, and plain words."""
