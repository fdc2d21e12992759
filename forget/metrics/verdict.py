"""The one rule that turns accuracies into a verdict in words.

Accuracies on the forget set count as different from the reference's beyond 2 points or 3 spreads,
whichever is more; accuracy on the rest beyond 1 point or 3 spreads. On a request for m samples the
gap must also exceed 2 sqrt(2 p (1 - p) / m), p the reference's accuracy kept 1/m away from 0 and 1:
otherwise two retrained models would convict each other.
"""

import dataclasses
import math
from collections.abc import Mapping

MATCHES = "matches retraining on accuracy"
UNDER = "under-forgot"
OVER = "over-forgot"
DAMAGED = "damaged the rest"

FORGET_POINTS = 0.02
REST_POINTS = 0.01
SPREADS = 3

Accuracies = Mapping[str, float | None]
"""Name of a split to accuracy in 0..1, None where the split is empty."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """``words`` is one of the four above; ``reason`` is a sentence with the figures behind it.

    ``damaged`` tells whether the rest is damaged, also where the words say something worse.
    """

    words: str
    reason: str
    damaged: bool

    @property
    def good(self) -> bool:
        return self.words == MATCHES


def judge(
    unlearned: Accuracies,
    reference: Accuracies,
    spread: Accuracies,
    n_samples: int | None,
) -> Verdict:
    """The verdict on an unlearned model.

    ``reference``: mean over retrained models; ``spread``: their sample standard deviation, None
    where there is only one. ``n_samples``: size of a request for samples, None for a whole class.
    """
    def allowed(split: str, points: float) -> float:
        return max(points, SPREADS * (spread[split] or 0.0))

    damage = _damage(unlearned, reference, allowed("test_retain_accuracy", REST_POINTS))
    note = ("" if spread["test_retain_accuracy"] is not None else
            " With a single retrained model the spread between such models is unknown, and with "
            "it how much of a difference is only chance.")

    for split, what in (("forget_accuracy", "what was to be forgotten"),
                        ("test_forget_accuracy", "unseen samples of it")):
        got, want = unlearned[split], reference[split]
        if got is None or want is None:
            continue
        limit = allowed(split, FORGET_POINTS)
        if n_samples is not None:
            limit = max(limit, _sampling_error(want, n_samples))
        if got - want > limit:
            return Verdict(UNDER, f"It still gets {got:.1%} of {what} right; retraining gets "
                                  f"{want:.1%} (up to {100 * limit:.1f} points more would "
                                  f"pass).{damage}{note}", bool(damage))
        if n_samples is not None and want - got > limit:
            return Verdict(OVER, f"It gets only {got:.1%} of {what} right; retraining gets "
                                 f"{want:.1%}, so the gap itself gives the deleted samples "
                                 f"away.{damage}{note}", bool(damage))
    if damage:
        return Verdict(DAMAGED, f"{damage.strip()}{note}", True)
    return Verdict(MATCHES, "Its accuracies on what was forgotten and on the rest lie within the "
                            "limits around retraining's. Accuracy alone does not prove that "
                            f"nothing is left.{note}", False)


def _damage(unlearned: Accuracies, reference: Accuracies, limit: float) -> str:
    """A sentence on the damage to the rest, empty where there is none."""
    got, want = unlearned["test_retain_accuracy"], reference["test_retain_accuracy"]
    if got is None or want is None or want - got <= limit:
        return ""
    return (f" On everything else it gets {got:.1%} of unseen samples right; retraining gets "
            f"{want:.1%} (up to {100 * limit:.1f} points less would pass).")


def _sampling_error(p: float, m: int) -> float:
    edge = min(1 / m, 0.5)  # of a single sample nothing is known: as uncertain as a coin
    p = min(max(p, edge), 1 - edge)
    return 2 * math.sqrt(2 * p * (1 - p) / m)
