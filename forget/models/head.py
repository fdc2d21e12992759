"""A linear head on fixed features."""

import torch
from torch import Tensor, nn

from forget.certified.losses import Loss
from forget.features import Features, rows_of


class Head(nn.Module):
    """x -> logits of (radius * features(x)) @ weight; ``weight`` (d, K) float64 is what is public.

    Takes raw inputs, or rows that the feature map gave for them. ``secret``: what the learner keeps
    beside the model to be able to forget, by name; it is no part of the public file.
    """

    def __init__(self, features: Features, radius: float, loss: Loss, n_classes: int):
        super().__init__()
        self.features = features
        self.radius, self.loss, self.n_classes = radius, loss, n_classes
        shape = (features.size, loss.columns(n_classes))
        self.weight = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        self.secret: dict[str, Tensor] = {}

    def rows(self, x: Tensor) -> Tensor:
        """Feature rows (N, d) float32, computed where ``x`` holds raw inputs."""
        ready = x.ndim == 2 and x.shape[1] == self.features.size and x.is_floating_point()
        return x if ready else rows_of(self.features, x)

    learns_features = False

    def embed(self, x: Tensor) -> Tensor:
        """What the head reads (N, d): no sample taught the features anything."""
        return self.rows(x)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.rows(x).to(self.weight.dtype) * self.radius @ self.weight  # (N, K)
        return self.loss.logits(scores)  # (N, C)

    @property
    def layers(self) -> list[tuple[str, nn.Module]]:
        """What can change, by name for people: the head alone."""
        return [("head", self)]
