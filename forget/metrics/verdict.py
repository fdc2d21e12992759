"""The one rule that turns figures into a verdict in words.

Accuracies on the forget set count as different from the reference's beyond 2 points or 3 spreads,
whichever is more; accuracy on the rest beyond 1 point or 3 spreads. Where an accuracy is only a
sample's, on a request for m samples and on m unseen samples of the rest, the gap must also exceed
2 sqrt(2 p (1 - p) / m), p the reference's accuracy kept 1/m away from 0 and 1: otherwise two
retrained models would convict each other.

Where the original itself is hardly better than guessing there is no verdict: models that know
nothing all agree. Where every weight is still the original's nothing matches: nothing was done.

An audit convicts where a figure differs from the retrained models' beyond doubt (a 99 % interval)
and by enough to matter: the likelihood-ratio attack has an AUC above 0.52, relearning takes under
0.8 or over 1.25 times as long, or a linear probe finds the class better by 2 points. Only where
accuracy matches and an audit finds nothing does a model match retraining without qualification. A
check that would have found neither that much nor half of what the original itself shows acquits
nobody: it cannot be told here.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from forget.core.words import percent
from forget.metrics.guessing import Learnt
from forget.metrics.interval import Interval, smallest_found

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
    n_rest: int,
    unchanged: bool = False,
    learnt: Learnt | None = None,
) -> Verdict:
    """The verdict on an unlearned model.

    ``reference``: mean over retrained models; ``spread``: their sample standard deviation, None
    where there is only one. ``n_samples``: size of a request for samples, None for a whole class.
    ``n_rest``: how many unseen samples of the rest there are.
    ``unchanged``: whether every weight is still the one that the method was given. Such a model has
    forgotten nothing: either there was nothing to forget, or it under-forgot.  ``learnt``: what the
    original knew of its own training samples; models that know nothing all look alike.
    """
    if learnt is not None and not learnt.clear:
        return Verdict(UNLEARNT, f"It gets {percent(learnt.accuracy)} of its own training samples "
                                 "right, and always naming the most frequent class gets "
                                 f"{percent(learnt.guessing)}: a model that learnt nothing has "
                                 f"nothing to forget, and agrees with any other. {WHAT_HELPS}",
                       False)
    verdict = _of_changed(unlearned, reference, spread, n_samples, n_rest)
    if not unchanged:
        return verdict
    if verdict.words == UNDER:
        return dataclasses.replace(
            verdict, reason=f"Nothing was changed: every weight is as it was. {verdict.reason}")
    got, want = unlearned["forget_accuracy"], reference["forget_accuracy"]
    return Verdict(UNCHANGED, "Every weight is as it was: the method found nothing to do, or took "
                              f"back what it did. The model gets {percent(got)} of them right, and "
                              f"one retrained without them {percent(want)}.", False)


def _of_changed(
    unlearned: Accuracies, reference: Accuracies, spread: Accuracies, n_samples: int | None,
    n_rest: int,
) -> Verdict:
    """The verdict by accuracy alone."""
    def allowed(split: str, points: float, m: int | None) -> float:
        chance = 0.0 if m is None else _sampling_error(reference[split], m)
        return max(points, SPREADS * (spread[split] or 0.0), chance)

    damage = "" if reference["test_retain_accuracy"] is None else _damage(
        unlearned, reference, allowed("test_retain_accuracy", REST_POINTS, n_rest))
    note = ("" if spread["test_retain_accuracy"] is not None else
            " With a single retrained model the spread between such models is unknown, and with "
            "it how much of a difference is only chance.")

    for split, what in (("forget_accuracy", "what was to be forgotten"),
                        ("test_forget_accuracy", "unseen samples of it")):
        got, want = unlearned[split], reference[split]
        if got is None or want is None:
            continue
        limit = allowed(split, FORGET_POINTS, n_samples)
        if got - want > limit:
            return Verdict(UNDER, f"It still gets {percent(got)} of {what} right; retraining gets "
                                  f"{percent(want)} (up to {100 * limit:.1f} points more would "
                                  f"pass).{damage}{note}", bool(damage))
        if n_samples is not None and want - got > limit:
            return Verdict(OVER, f"It gets only {percent(got)} of {what} right; retraining gets "
                                 f"{percent(want)}, so the gap itself gives the deleted samples "
                                 f"away.{damage}{note}", bool(damage))
    if damage:
        return Verdict(DAMAGED, f"{damage.strip()}{note}", True)
    return Verdict(MATCHES, "Its accuracies on what was forgotten and on the rest lie within the "
                            "limits around retraining's. Accuracy alone does not prove that "
                            f"nothing is left.{note}", False)


def _damage(unlearned: Accuracies, reference: Accuracies, limit: float) -> str:
    """A sentence on the damage to the rest, empty where there is none."""
    got, want = unlearned["test_retain_accuracy"], reference["test_retain_accuracy"]
    if got is None or want - got <= limit:
        return ""
    return (f" On everything else it gets {percent(got)} of unseen samples right; retraining gets "
            f"{percent(want)} (up to {100 * limit:.1f} points less would pass).")


def _sampling_error(p: float, m: int) -> float:
    edge = min(1 / m, 0.5)  # of a single sample nothing is known: as uncertain as a coin
    p = min(max(p, edge), 1 - edge)
    return 2 * math.sqrt(2 * p * (1 - p) / m)


ATTACK, RELEARNING, PROBE = "Membership attack", "Relearning", "Linear probe"
AUC_BY_CHANCE = 0.52
RELEARN_WITHIN = (0.8, 1.25)
PROBE_POINTS = 0.02
NO_STEPS = 0.01
"""Stands for a ratio of 0: the original knows the class at once."""

HALF = 0.5
"""Of what the original itself shows an audit must be able to see this share, to acquit."""

PASSED, CONVICTED = "passed", "convicted"
UNTOLD, UNSUITED = "cannot be told here", "does not apply"


@dataclasses.dataclass(frozen=True)
class Check:
    """One part of an audit: ``passed`` is None where it says nothing; ``text`` says why, with the
    figures.

    ``untold``: it says nothing because it could not have seen what matters.
    """

    name: str
    passed: bool | None
    text: str
    untold: bool = False

    @property
    def outcome(self) -> str:
        """In words."""
        if self.passed is None:
            return UNTOLD if self.untold else UNSUITED
        return PASSED if self.passed else CONVICTED

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"outcome": self.outcome}


def _acquittal(name: str, text: str, smallest: float, matters: float, own: float | None,
               shown: Callable[[float], str]) -> Check:
    """A check that did not convict: passed, if it would have found what matters.

    ``smallest``: the effect that it finds 4 times in 5;  ``matters``: what convicts;  ``own``: the
    effect of the original, which is there to be found, None where it is not known;  ``shown``: an
    effect as the figure is written. An effect below half of the original's would be a small
    remainder, and one below ``matters`` none.
    """
    known = "" if own is None else f"; the original's own is {shown(own)}"
    if smallest <= max(matters, HALF * (own or 0.0)):
        return Check(name, True, f"{text} Power: {shown(smallest)} would be found 4 times in 5"
                                 f"{known}.")
    return Check(name, None, f"{text} That is no acquittal: only from {shown(smallest)} on is a "
                             f"trace found 4 times in 5{known}. More shadow models, or more "
                             "samples to forget, would tell.", untold=True)


def check_attack(auc: Interval, original: float | None = None) -> Check:
    """Whether the likelihood-ratio attack tells unlearned models from such as never saw the data.

    ``auc``: with its interval.  ``original``: that of the original.
    """
    convicts = auc.low > 0.5 and auc.value > AUC_BY_CHANCE
    how = ("tells them apart" if convicts else "did not tell them apart")
    text = (f"The likelihood-ratio attack {how}: AUC {auc.value:.3f} "
            f"({auc.low:.3f} to {auc.high:.3f}); 0.5 is guessing.")
    if convicts:
        return Check(ATTACK, False, text)
    return _acquittal(ATTACK, text, smallest_found(max(auc.high - auc.value, auc.value - auc.low)),
                      AUC_BY_CHANCE - 0.5, None if original is None else original - 0.5,
                      lambda effect: f"an AUC of {min(0.5 + effect, 1.0):.3f}")


def check_relearning(ratio: Interval | None, why: str, original: float | None = None) -> Check:
    """Whether what was forgotten comes back as fast as in a retrained model.

    ``ratio``: steps of unlearned over retrained models, with its interval; None, with the reason,
    where there is nothing to relearn.  ``original``: the original's.
    """
    if ratio is None or ratio.low is None:
        return Check(RELEARNING, None, why)
    least, most = RELEARN_WITHIN
    figures = (f"{ratio.value:.2f} times the steps of a retrained model "
               f"({ratio.low:.2f} to {ratio.high:.2f})")
    if ratio.high < 1 and ratio.value < least:
        return Check(RELEARNING, False, f"It comes back too fast, so memory is left: {figures}.")
    if ratio.low > 1 and ratio.value > most:
        return Check(RELEARNING, False, f"It comes back too slowly, which is a scar: {figures}.")
    own = None if original is None else -math.log(max(original, NO_STEPS))
    return _acquittal(RELEARNING, f"It comes back as in a retrained model: {figures}.",
                      smallest_found(math.log(ratio.high / ratio.value)), -math.log(least), own,
                      lambda effect: f"{math.exp(-effect):.2f} times the steps")


def check_probe(difference: Interval | None, why: str, original: float | None = None) -> Check:
    """Whether a fresh head on frozen features finds the class better than on a retrained model's.

    ``difference``: recall on unlearned minus on retrained features, with its interval; None, with
    the reason, where no probe can be made.  ``original``: the original's.
    """
    if difference is None:
        return Check(PROBE, None, why)
    convicts = difference.low > 0 and difference.value > PROBE_POINTS
    what = ("still holds the class" if convicts else "holds no more of the class than a retrained "
                                                     "model does")
    text = (f"A fresh head finds that what lies under the output {what}: "
            f"{100 * difference.value:+.1f} points ({100 * difference.low:+.1f} to "
            f"{100 * difference.high:+.1f}).")
    if convicts:
        return Check(PROBE, False, text)
    return _acquittal(PROBE, text, smallest_found(difference.high - difference.value),
                      PROBE_POINTS, original,
                      lambda effect: f"a difference of {100 * effect:.1f} points")


def with_audit(verdict: Verdict, checks: Sequence[Check]) -> Verdict:
    """The verdict on accuracy after an audit: better, or with what the audit found."""
    found = [check.text for check in checks if check.passed is False]
    if found:
        return dataclasses.replace(
            verdict, reason=f"{verdict.reason} The audit found traces. {' '.join(found)}")
    if verdict.words != MATCHES or not any(check.passed or check.untold for check in checks):
        return verdict
    untold = [check.name.lower() for check in checks if check.untold]
    if untold:
        return dataclasses.replace(
            verdict, reason=f"{verdict.reason} An audit found no traces, but could not have seen "
                            f"those that matter ({', '.join(untold)}).")
    return Verdict(MATCHES_ALL, "Accuracy, the membership attack and, where they apply, relearning "
                                "and the probe agree with retraining.", False)
