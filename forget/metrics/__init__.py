"""What is measured, one family a file; each reads models and data only."""
