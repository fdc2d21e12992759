"""Regularised linear classification: the losses, the objective and its Newton solver."""
