"""The one rule that turns figures into a verdict in words.

Accuracies on the forget set count as different from the reference's beyond 2 points or 3 spreads,
whichever is more; accuracy on the rest beyond 1 point or 3 spreads. On a request for m samples the
gap must also exceed 2 sqrt(2 p (1 - p) / m), p the reference's accuracy kept 1/m away from 0 and 1:
otherwise two retrained models would convict each other.

Where the original itself is hardly better than guessing there is no verdict: models that know
nothing all agree. Where every weight is still the original's nothing matches: nothing was done.

An audit convicts where a figure differs from the retrained models' beyond doubt (a 99 % interval)
and by enough to matter: the likelihood-ratio attack has an AUC above 0.52, relearning takes under
0.8 or over 1.25 times as long, or a linear probe finds the class better by 2 points. Only where
accuracy matches and an audit finds nothing does a model match retraining without qualification.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from forget.metrics.guessing import Learnt
from forget.metrics.interval import Interval

MATCHES = "matches retraining on accuracy"
MATCHES_ALL = "matches retraining"
UNDER = "under-forgot"
OVER = "over-forgot"
DAMAGED = "damaged the rest"
UNLEARNT = "no verdict: the original is hardly better than guessing"
UNCHANGED = "nothing was changed: these samples are no better known than unseen ones"

WHAT_HELPS = (
    "What helps: more samples of each class, more epochs, labels that belong to the inputs, and "
    "features that differ between the classes (the linear heads read only their direction from "
    "zero, so shift and scale such features by constants of your own first).")

FORGET_POINTS = 0.02
REST_POINTS = 0.01
SPREADS = 3

Accuracies = Mapping[str, float | None]
"""Name of a split to accuracy in 0..1, None where the split is empty."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """``words`` is one of those above; ``reason`` is a sentence with the figures behind it.

    ``damaged`` tells whether the rest is damaged, also where the words say something worse.
    """

    words: str
    reason: str
    damaged: bool

    @property
    def good(self) -> bool:
        return self.words in (MATCHES, MATCHES_ALL)


def judge(
    unlearned: Accuracies,
    reference: Accuracies,
    spread: Accuracies,
    n_samples: int | None,
    unchanged: bool = False,
    learnt: Learnt | None = None,
) -> Verdict:
    """The verdict on an unlearned model.

    ``reference``: mean over retrained models; ``spread``: their sample standard deviation, None
    where there is only one. ``n_samples``: size of a request for samples, None for a whole class.
    ``unchanged``: whether every weight is still the one that the method was given. Such a model has
    forgotten nothing: either there was nothing to forget, or it under-forgot.  ``learnt``: what the
    original knew of its own training samples; models that know nothing all look alike.
    """
    if learnt is not None and not learnt.clear:
        return Verdict(UNLEARNT, f"It gets {learnt.accuracy:.1%} of its own training samples "
                                 "right, and always naming the most frequent class gets "
                                 f"{learnt.guessing:.1%}: a model that learnt nothing has nothing "
                                 f"to forget, and agrees with any other. {WHAT_HELPS}", False)
    verdict = _of_changed(unlearned, reference, spread, n_samples)
    if not unchanged:
        return verdict
    if verdict.words == UNDER:
        return dataclasses.replace(
            verdict, reason=f"Nothing was changed: every weight is as it was. {verdict.reason}")
    got, want = unlearned["forget_accuracy"], reference["forget_accuracy"]
    return Verdict(UNCHANGED, "Every weight is as it was: the method found nothing to do, or took "
                              f"back what it did. The model gets {got:.1%} of them right, and one "
                              f"retrained without them {want:.1%}.", False)


def _of_changed(
    unlearned: Accuracies, reference: Accuracies, spread: Accuracies, n_samples: int | None
) -> Verdict:
    """The verdict by accuracy alone."""
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


AUC_BY_CHANCE = 0.52
RELEARN_WITHIN = (0.8, 1.25)
PROBE_POINTS = 0.02
SURE = 0.99
"""Level of the intervals that may convict: three checks then accuse a retrained model in about 2 of
100 audits."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One part of an audit: ``passed`` is None where it does not apply; ``text`` says why, with
    the figures."""

    name: str
    passed: bool | None
    text: str


def check_attack(auc: Interval) -> Check:
    """Whether the likelihood-ratio attack tells unlearned models from such as never saw the data.

    ``auc``: with its 99 % interval.
    """
    convicts = auc.low > 0.5 and auc.value > AUC_BY_CHANCE
    how = ("tells them apart" if convicts else "cannot tell them apart")
    return Check("Membership attack", not convicts,
                 f"The likelihood-ratio attack {how}: AUC {auc.value:.3f} "
                 f"({auc.low:.3f} to {auc.high:.3f}); 0.5 is guessing.")


def check_relearning(ratio: Interval | None, why: str) -> Check:
    """Whether what was forgotten comes back as fast as in a retrained model.

    ``ratio``: steps of unlearned over retrained models, with its 99 % interval; None, with the
    reason, where there is nothing to relearn.
    """
    if ratio is None or ratio.low is None:
        return Check("Relearning", None, why)
    least, most = RELEARN_WITHIN
    figures = (f"{ratio.value:.2f} times the steps of a retrained model "
               f"({ratio.low:.2f} to {ratio.high:.2f})")
    if ratio.high < 1 and ratio.value < least:
        return Check("Relearning", False, f"It comes back too fast, so memory is left: {figures}.")
    if ratio.low > 1 and ratio.value > most:
        return Check("Relearning", False, f"It comes back too slowly, which is a scar: {figures}.")
    return Check("Relearning", True, f"It comes back as in a retrained model: {figures}.")


def check_probe(difference: Interval | None, why: str) -> Check:
    """Whether a fresh head on frozen features finds the class better than on a retrained model's.

    ``difference``: recall on unlearned minus on retrained features, with its 99 % interval; None,
    with the reason, where no probe can be made.
    """
    if difference is None:
        return Check("Linear probe", None, why)
    convicts = difference.low > 0 and difference.value > PROBE_POINTS
    what = ("still holds the class" if convicts else "holds no more of the class than a retrained "
                                                     "model does")
    return Check("Linear probe", not convicts,
                 f"A fresh head finds that what lies under the output {what}: "
                 f"{100 * difference.value:+.1f} points ({100 * difference.low:+.1f} to "
                 f"{100 * difference.high:+.1f}).")


def with_audit(verdict: Verdict, checks: Sequence[Check]) -> Verdict:
    """The verdict on accuracy after an audit: better, or with what the audit found."""
    found = [check.text for check in checks if check.passed is False]
    if found:
        return dataclasses.replace(
            verdict, reason=f"{verdict.reason} The audit found traces. {' '.join(found)}")
    if verdict.words != MATCHES:
        return verdict
    return Verdict(MATCHES_ALL, "Accuracy, the membership attack and, where they apply, relearning "
                                "and the probe agree with retraining.", False)
