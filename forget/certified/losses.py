"""Losses of a linear head, as functions of its scores Z = X W of shape (n, K)."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from forget.core.errors import BadInput


class Loss(ABC):
    """A convex loss, summed over samples; K columns of weights for C classes.

    Every method takes scores (n, K); labels are class indices (n,).
    """

    name: ClassVar[str]
    coupled: ClassVar[bool]
    """Whether columns meet in the Hessian; where not, it is one block a column."""

    @abstractmethod
    def columns(self, n_classes: int) -> int:
        """K, the columns of weights that ``n_classes`` classes need."""

    @abstractmethod
    def logits(self, scores: Tensor) -> Tensor:
        """Scores as logits (n, C), the largest for the class that the head says."""

    @abstractmethod
    def probabilities(self, scores: Tensor) -> Tensor:
        """What the curvature is made of, (n, K)."""

    @abstractmethod
    def evaluate(self, scores: Tensor, y: Tensor, p: Tensor) -> Tensor:
        """The summed loss; writes the probabilities into ``p``."""

    @abstractmethod
    def slope(self, p: Tensor, y: Tensor) -> Tensor:
        """The loss's gradient with respect to the scores, (n, K)."""

    @abstractmethod
    def root(self, p: Tensor) -> Tensor:
        """A (n, K, K) with A A^T each sample's Hessian with respect to its scores; its diagonal
        (n, K) where columns do not meet."""

    @abstractmethod
    def curvature(self, p: Tensor, directions: Tensor) -> Tensor:
        """The Hessian with respect to the scores times directions (n, K), sample by sample."""

    @abstractmethod
    def others(self, scores: Tensor, column: int) -> Tensor:
        """(n,): the probability of ``column`` is sigmoid(its score - this)."""

    @abstractmethod
    def pair(self, p: Tensor, a: int, b: int) -> Tensor:
        """Entry (a, b) of each sample's Hessian with respect to its scores, (n,)."""


class Softmax(Loss):
    """-log softmax(z)_y, all classes at once."""

    name = "softmax"
    coupled = True

    def columns(self, n_classes):
        return n_classes

    def logits(self, scores):
        return scores

    def probabilities(self, scores):
        return scores.softmax(1)

    def evaluate(self, scores, y, p):
        whole = scores.logsumexp(1, keepdim=True)
        torch.exp(scores - whole, out=p)
        return (whole - scores.gather(1, y[:, None])).sum()

    def slope(self, p, y):
        return p.scatter_add(1, y[:, None], -torch.ones_like(p[:, :1]))

    def root(self, p):
        # diag(p) - p p^T = diag(q) (I - q q^T) diag(q) with q = sqrt(p), and I - q q^T is a
        # projection: its own square.
        q = p.sqrt()
        return torch.diag_embed(q) - p[:, :, None] * q[:, None, :]

    def curvature(self, p, directions):
        weighted = p * directions
        return weighted - p * weighted.sum(1, keepdim=True)

    def others(self, scores, column):
        return torch.cat([scores[:, :column], scores[:, column + 1 :]], 1).logsumexp(1)

    def pair(self, p, a, b):
        return p[:, a] * (float(a == b) - p[:, b])


class OneVsRest(Loss):
    """log(1 + exp(-s z)) for each class against the rest, s = 1 for its own samples and else -1.

    Two classes need one column: the second against the first. A label beyond the columns is that
    of a sample that belongs to none of them.
    """

    name = "ovr"
    coupled = False

    def columns(self, n_classes):
        return 1 if n_classes == 2 else n_classes

    def logits(self, scores):
        if scores.shape[1] > 1:
            return scores
        return torch.cat([torch.zeros_like(scores), scores], 1)

    def probabilities(self, scores):
        return scores.sigmoid()

    def evaluate(self, scores, y, p):
        torch.sigmoid(scores, out=p)
        return F.softplus(scores).sum() - scores[self._own(y, scores)].sum()

    def slope(self, p, y):
        slope = p.clone()
        slope[self._own(y, p)] -= 1
        return slope

    def root(self, p):
        return (p * (1 - p)).sqrt()

    def _own(self, y: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns of the samples' own columns."""
        columns = like.shape[1]
        rows = (y == 1 if columns == 1 else y < columns).nonzero().flatten()
        return rows, y[rows] * int(columns > 1)

    def curvature(self, p, directions):
        return p * (1 - p) * directions

    def others(self, scores, column):
        return torch.zeros_like(scores[:, column])

    def pair(self, p, a, b):
        return p[:, a] * (1 - p[:, a]) if a == b else torch.zeros_like(p[:, a])


LOSSES: dict[str, type[Loss]] = {loss.name: loss for loss in (Softmax, OneVsRest)}


def loss_called(name: str) -> Loss:
    """The loss of a name."""
    if name not in LOSSES:
        raise BadInput(f"there is no loss called '{name}'; choose one of: {', '.join(LOSSES)}")
    return LOSSES[name]()
