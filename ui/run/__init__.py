"""One request on a page, of digits or faces alike: what to forget, how, and what came of it."""
