"""Every digit forgotten by gradient ascent and fine-tuning, beside two retrained models.

    python -m bench.forget_digits [--seed N] [--digits 0123456789]

First at the defaults; then gradient ascent with lr from a thirtieth to thirty times the default.
Seconds are the method's own; the retrain is this program's fast one.
"""

import argparse
import collections
import dataclasses
import math
import os
import statistics
import tempfile
from pathlib import Path

from forget.data import find_dataset
from forget.data.mnist import RECIPES
from forget.learners.network import Network
from forget.methods.finetune import FineTune
from forget.methods.gradient_ascent import GradientAscent
from forget.metrics.verdict import MATCHES
from forget.unlearning.learn import start_from
from forget.unlearning.measure import Splits
from forget.unlearning.request import NOTHING, parse_request
from forget.unlearning.result import Result
from forget.unlearning.run import run, unlearn
from forget.unlearning.warm import warm
from tests.browser import copy_home

LR_FACTORS = (1 / 30, 1 / 10, 1 / 3, 3, 10, 30)


def line(digit: str, result: Result) -> str:
    got, want = result.measured_unlearned.accuracies, result.reference_accuracies
    return (f"{digit}  {result.method.name:16} {result.seconds['forget']:6.2f} s "
            f"{result.speed_up or math.nan:5.1f}x   forget {got['forget_accuracy']:7.2%}  "
            f"test-forget {got['test_forget_accuracy']:7.2%}  "
            f"test-retain {got['test_retain_accuracy']:7.2%} "
            f"(retrained {want['test_retain_accuracy']:.2%})   {result.verdict.words}")


def with_lr(base: Result, dataset, splits: Splits, lr: float) -> Result:
    """The same request by gradient ascent with another lr, judged beside the same references."""
    method = GradientAscent(lr=lr)
    done = unlearn(dataset, base.start, base.request, method, base.seed, splits)
    return dataclasses.replace(
        base, method=method, unlearned=done.model, measured_unlearned=splits.measure(done.model),
        took=base.took | {"forget": done.took}, curve=done.curve)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--digits", default="0123456789")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # A home of its own: every retrain is trained and timed in this run.
        os.environ["FORGET_HOME"] = str(copy_home(Path(folder) / "home"))
        compare_all(options)


def compare_all(options: argparse.Namespace) -> None:
    warm()  # as the app and the command line do before they time anything
    dataset = find_dataset("mnist").load()
    start = start_from(Network(**RECIPES["network"]), dataset, options.seed)
    results = collections.defaultdict(list)
    verdicts = collections.defaultdict(collections.Counter)
    damaged = 0
    for digit in options.digits:
        request = parse_request(f"class:{digit}", dataset, options.seed)
        splits = Splits(dataset, request, NOTHING)
        for method in (GradientAscent(), FineTune()):
            result = run(dataset, start, request, method, options.seed, references=2)
            results[method.name].append(result)
            print(line(digit, result), flush=True)
        for factor in LR_FACTORS:
            swept = with_lr(results["gradient_ascent"][-1], dataset, splits,
                            GradientAscent().lr * factor)
            verdicts[factor][swept.verdict.words] += 1
            damaged += swept.verdict.damaged
    print()
    for name, of_method in results.items():
        counts = collections.Counter(result.verdict.words for result in of_method)
        ratios = [result.speed_up for result in of_method if result.speed_up is not None]
        ratio = statistics.fmean(ratios)
        share = statistics.fmean(1 / one for one in ratios)
        print(f"{name}: {counts[MATCHES]} of {len(of_method)} match retraining on accuracy, "
              f"{sum(r.verdict.damaged for r in of_method)} damaged; "
              f"{ratio:.1f}x faster than the retrain in the mean ({share:.2f} of its time, "
              f"slowest {min(ratios):.1f}x)")
    print("\ngradient_ascent, lr times   verdicts")
    for factor, counts in verdicts.items():
        shown = ", ".join(f"{count} {words}" for words, count in counts.most_common())
        print(f"{factor:10.3f}                  {shown}")
    print(f"damaged over the whole range of lr: {damaged}")


if __name__ == "__main__":
    main()
