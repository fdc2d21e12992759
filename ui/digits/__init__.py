"""What the page Digits has of its own."""
