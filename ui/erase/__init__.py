"""The page Forget me."""
