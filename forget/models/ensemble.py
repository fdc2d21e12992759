"""An ensemble of networks, one a shard."""

import math

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """x -> logits of what the shards' networks say together, (N, n_classes).

    ``aggregation``: "mean" averages their softmax; "vote" counts the classes that they name, ties
    broken by the mean. ``alive``: the shards that have data; the others have no say.
    ``secret``: the learner's checkpoints by name, no part of the public file.
    """

    def __init__(self, networks: list[nn.Module], n_classes: int, aggregation: str):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.n_classes, self.aggregation = n_classes, aggregation
        self.register_buffer("alive", torch.ones(len(networks), dtype=torch.bool))
        self.secret: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        said = [network(x).log_softmax(1)
                for network, alive in zip(self.networks, self.alive.tolist(), strict=True) if alive]
        each = torch.stack(said)  # (shards, N, C)
        mean = each.logsumexp(0) - math.log(len(said))  # (N, C)
        if self.aggregation == "mean":
            return mean
        votes = torch.zeros_like(mean).scatter_add_(
            1, each.argmax(2).T, torch.ones_like(mean[:, :1]).expand(-1, len(said)))
        shares = (votes + mean.exp()) / (len(said) + 1)
        return shares.clamp_min(torch.finfo(shares.dtype).tiny).log()

    def embed(self, x: Tensor) -> Tensor:
        """What the shards' output layers read, side by side: (N, shards * d)."""
        return torch.cat([network.embed(x) for network, alive in
                          zip(self.networks, self.alive.tolist(), strict=True) if alive], 1)

    @property
    def learns_features(self) -> bool:
        return self.networks[0].learns_features

    @property
    def layers(self) -> list[tuple[str, nn.Module]]:
        """What can change, by name for people: whole shards."""
        return [(f"shard {number}", network) for number, network in enumerate(self.networks, 1)]
