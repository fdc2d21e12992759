"""What became of the weights: whether anything changed at all, and how far each layer moved."""

import torch
from torch import nn


def same_weights(before: nn.Module, after: nn.Module) -> bool:
    """Whether two models hold the same bits in every tensor, buffers included."""
    old, new = before.state_dict(), after.state_dict()
    return old.keys() == new.keys() and all(_bits(value) == _bits(new[name])
                                            for name, value in old.items())


def _bits(value: torch.Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return value.dtype, value.shape, value.detach().cpu().contiguous().numpy().tobytes()


def change_per_layer(before: nn.Module, after: nn.Module) -> dict[str, float]:
    """||after - before|| / ||before|| of each layer's weights, by the layer's name: a picture of
    what a method did, never a verdict.

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
