"""Files, pictures, archives and keys: every way in and out, with its limits."""
