"""How far the distribution of answers over unlearned models is from that over retrained ones."""

import numpy as np
import torch
from torch import Tensor

BINS = 10
HALF = 0.5


def klom(reference: Tensor, unlearned: Tensor) -> Tensor:
    """KL(reference || unlearned) of each sample's margins (m,), in nats, never negative.

    KL of margins (Georgiev et al. 2024, https://arxiv.org/abs/2410.23232). ``reference`` (R, m),
    ``unlearned`` (U, m): margins of R and U models; NaN leaves a model out for a sample. Estimator:
    a histogram of ten bins of equal mass of both sides' margins together, half a count added to
    each bin. NaN where a side has no model left. With few models it is above 0 for equal
    distributions too: look at it beside the KLoM of one group of retrained models against another.
    """
    both = zip(reference.double().numpy().T, unlearned.double().numpy().T, strict=True)
    return torch.tensor([_of_one(a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in both],
                        dtype=torch.float64)


def _of_one(reference: np.ndarray, unlearned: np.ndarray) -> float:
    if not len(reference) or not len(unlearned):
        return np.nan
    inner = np.arange(1, BINS) / BINS
    edges = np.quantile(np.concatenate([reference, unlearned]), inner)
    p, q = (_shares(side, edges) for side in (reference, unlearned))
    return float((p * np.log(p / q)).sum())


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=BINS) + HALF
    return counts / counts.sum()
