"""How far the weights of each layer moved: a picture of what a method did, never a verdict."""

import torch
from torch import nn


def change_per_layer(before: nn.Module, after: nn.Module) -> dict[str, float]:
    """||after - before|| / ||before|| of each layer's weights, by the layer's name.

    A layer that started at zero counts its change in units of one.
    """
    changes = {}
    for (name, old), (_, new) in zip(before.layers, after.layers, strict=True):
        start = _flat(old)
        norm = start.norm().item()
        changes[name] = (_flat(new) - start).norm().item() / (norm or 1.0)
    return changes


@torch.no_grad()
def _flat(layer: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.flatten().cpu().double() for parameter in layer.parameters()])
