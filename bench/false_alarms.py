"""Does the audit acquit retrained models, and convict the planted frauds?

    python -m bench.false_alarms [--audits 100] [--shadows 24] [--workers N]

Small nets on made-up clusters: each audit has its own data, seed and retrained models, half of them
on a class and half on ten samples. At most 9 of 100 audits of retraining may find a trace; all
audits of the three planted frauds must. One line an audit that erred, then the counts.
"""

import argparse
import os
import tempfile
from collections import Counter

from forget.core import parallel
from forget.evaluation.audit import audit
from forget.evaluation.frauds import FRAUDS
from forget.learners import LEARNERS
from forget.methods import METHODS
from forget.unlearning.request import parse_request
from tests.clusters import people

SETTINGS = {"network": {"arch": "mlp", "min_steps": 60, "batch_size": 32}, "convex": {}}
WANTED = 9


def one(method: str, seed: int, shadows: int) -> tuple[str, int, bool, list[str]]:
    """One audit on data of its own, nothing written: whether it was clear, and what it said."""
    dataset = people(count=5, photos=60, spread=0.8, held_out=5, seed=seed, private={},
                     embedder="")
    cls = METHODS[method] if method in METHODS else FRAUDS[method]
    learner = LEARNERS[cls.learner](**SETTINGS[cls.learner])
    spec = "class:p1" if seed % 2 == 0 or method in FRAUDS else "random:10"
    request = parse_request(spec, dataset, seed)
    found = audit(dataset, request, [(cls(), learner)], seed, shadows)[method]
    return method, seed, found.clear, [c.text for c in found.checks if c.passed is False]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--audits", type=int, default=100)
    parser.add_argument("--shadows", type=int, default=24)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    jobs = [("retrain", seed, options.shadows) for seed in range(options.audits)]
    jobs += [(name, seed, options.shadows) for name in FRAUDS for seed in range(10)]
    clear, counted, by = Counter(), Counter(), Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FORGET_HOME"] = folder
        for _, (method, seed, acquitted, texts) in parallel.each(one, jobs, options.workers):
            counted[method] += 1
            clear[method] += acquitted
            if acquitted != (method == "retrain"):
                by[method] += 1
                print(f"wrong: {method}, seed {seed}: {' '.join(texts)}", flush=True)
    print(f"\n{options.shadows} shadow models an audit, small fully connected nets")
    for method in counted:
        print(f"{method:10} {counted[method]:4} audits, {clear[method]:4} acquitted")
    alarms = counted["retrain"] - clear["retrain"]
    good = alarms <= WANTED * counted["retrain"] / 100 and not any(clear[name] for name in FRAUDS)
    print(f"{'ok' if good else 'MISSED'}: {alarms} false alarms (wanted at most {WANTED} of 100), "
          f"{sum(clear[name] for name in FRAUDS)} frauds acquitted (wanted none)")


if __name__ == "__main__":
    main()
