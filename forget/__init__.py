"""Machine unlearning on a laptop: forget samples, and see it beside a retrained model."""

__version__ = "0.1.0"
