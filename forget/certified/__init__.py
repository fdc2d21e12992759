"""Certified removal: losses, the objective, Newton's method, noise, and what they prove."""
