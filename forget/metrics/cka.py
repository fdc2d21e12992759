"""How alike two models' layers answer the same samples, whatever the order of their neurons."""

import threading

import torch
from torch import Tensor, nn

from forget.core.errors import BadInput, Diverged
from forget.models import logits_of


def cka(a: Tensor, b: Tensor) -> float | None:
    """Linear centred kernel alignment of features (N, p) and (N, q) of the same samples, in 0..1.

    ||B^T A||^2 / (||A^T A|| ||B^T B||), Frobenius norms, columns centred (Kornblith et al. 2019,
    https://arxiv.org/abs/1905.00414): 1 where one is a rotation and scaling of the other. Unrelated
    features of even variance give about sqrt(pq) / N, not 0: take many more samples than features.
    None where a side is the same for every sample. Raises :class:`Diverged` for features
    that are not finite.

    >>> a = torch.tensor([[1., 0.], [0., 1.], [2., 2.]])
    >>> round(cka(a, 3 * a.flip(1)), 12)
    1.0
    """
    if len(a) != len(b):
        raise BadInput(f"features of {len(a)} samples cannot be compared with those of {len(b)}; "
                       "give both models the same samples")
    a, b = _centred(a), _centred(b)
    if a is None or b is None:
        return None
    n, p, q = len(a), a.shape[1], b.shape[1]
    # Both forms are the same number: this one costs n (pq + pp + qq) products, that one nn (p + q).
    if p * q + p * p + q * q <= n * (p + q):
        return ((b.T @ a).square().sum() / ((a.T @ a).norm() * (b.T @ b).norm())).item()
    gram_a, gram_b = a @ a.T, b @ b.T
    return ((gram_a * gram_b).sum() / (gram_a.norm() * gram_b.norm())).item()


def _centred(x: Tensor) -> Tensor | None:
    """Columns with mean 0, the whole of size 1, in float64; None where no row differs."""
    x = x.double()
    if not x.isfinite().all():
        raise Diverged("a layer's outputs are not finite: undo, take a smaller lr and try again")
    if (x == x[:1]).all():  # the mean of equal numbers may be a rounding away from them
        return None
    x = x - x.mean(0)
    return x / x.norm()


def layer_by_layer(a: nn.Module, b: nn.Module, x: Tensor) -> dict[str, float | None]:
    """:func:`cka` of each layer's outputs for ``x``, by the layer's name, from input to output.

    All outputs are held in memory, 40 kB a sample and model for the default network on MNIST: a
    thousand samples are plenty. None where a layer says the same of every sample, or has no say (a
    shard without data). Raises :class:`BadInput` where the models have other layers.
    """
    names = [name for name, _ in a.layers]
    if names != [name for name, _ in b.layers]:
        raise BadInput("only models with the same layers can be compared layer by layer; pick two "
                       "methods that start from the same learner")
    of_a, of_b = _outputs(a, x), _outputs(b, x)
    return {name: cka(of_a[name], of_b[name]) if name in of_a and name in of_b else None
            for name in names}


def _outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each layer that runs makes of ``x``: rows (N, width), by the layer's name."""
    parts: dict[str, list[Tensor]] = {}
    thread = threading.get_ident()

    def keep_as(name: str):
        def keep(_module, _inputs, output: Tensor) -> None:
            # A model may be shared: what another thread asks it meanwhile is not ours.
            if threading.get_ident() == thread:
                parts.setdefault(name, []).append(output.flatten(1).cpu())
        return keep

    hooks = []
    try:
        hooks += [layer.register_forward_hook(keep_as(name)) for name, layer in model.layers]
        logits_of(model, x)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(kept) for name, kept in parts.items()}
