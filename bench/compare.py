"""The tables of all five methods: on digits, on faces, and what the audit finds of each.

    python -m bench.compare [--only digits|faces|audit] [--seeds N] [--shadows N] [--workers N]

digits: one digit, and 100 random ones.  faces: one person, and 3 photos of one.  audit: all four
with N shadow models a learner.  Each method beside models retrained by its own learner under the
same seeds. Seconds are wall seconds on one thread; a run that is on disk keeps the ones it had, so
set FORGET_HOME to go on with a bench that was stopped; else everything is made anew.
"""

import argparse
import os
import platform
import tempfile
from pathlib import Path

import torch

from forget.data import find_dataset
from forget.evaluation.audit import audit
from forget.evaluation.compare import compare
from forget.io.paths import downloads
from forget.learners import learner_for
from forget.methods import METHODS
from forget.report.export import comparison_summary
from forget.unlearning.request import parse_request
from forget.unlearning.warm import warm

REQUESTS = {"digits": ("mnist", ("class:7", "random:100")),
            "faces": ("faces", ("class:s7", "three photos of s7"))}


def entries(source) -> list:
    """All five methods at their defaults, each with the learner that suits these data."""
    return [(cls(), learner_for(source, cls.learner, {})) for cls in METHODS.values()]


def requested(spec: str, dataset):
    """A request; three photos of one person are found by the person's name."""
    if spec.startswith("three photos of "):
        index = dataset.classes.index(spec.rsplit(" ", 1)[1])
        ids = (dataset.train.y == index).nonzero().flatten()[:3].tolist()
        spec = "samples:" + ",".join(map(str, ids))
    return parse_request(spec, dataset, 0)


def tables(part: str, seeds: int) -> None:
    name, specs = REQUESTS[part]
    source = find_dataset(name)
    dataset = source.load()
    warm()
    for spec in specs:
        found = compare(dataset, requested(spec, dataset), entries(source), range(seeds))
        print(f"\n{spec}\n{comparison_summary(found.to_json())}", flush=True)


def audits(shadows: int, workers: int) -> None:
    for name, specs in REQUESTS.values():
        source = find_dataset(name)
        dataset = source.load()
        for spec in specs:
            print(f"\n{name}, {spec}: {shadows} shadow models a learner\n{'':17}"
                  f"{'AUC, 95 %: original':24}{'unlearned':24}{'retrained':24}"
                  f"{'TPR at 1 %':12}{'KLoM (floor)':15}{'relearn, 95 %':24}probe, points")
            for method, learner in entries(source):
                found = audit(dataset, requested(spec, dataset), [(method, learner)], 0, shadows,
                              processes=workers)[method.name]
                print(line(found), flush=True)


def line(found) -> str:
    shown = found.to_json()
    curves = "".join(f"{interval(shown[kind]['auc']):24}"
                     for kind in ("original", "unlearned", "reference"))
    klom = shown["klom"]
    probe = shown["probe_difference"]
    points = probe and {name: 100 * value for name, value in probe.items()}
    acquitted = "no trace found" if found.told else "cannot be told"
    verdict = acquitted if found.clear else "convicted by " + ", ".join(
        check.name.lower() for check in found.checks if check.passed is False)
    return (f"{shown['method']:17}{curves}{shown['unlearned']['tpr_at_1']['value']:<12.3f}"
            f"{klom['mean']:.2f} ({klom['floor_mean']:.2f})    "
            f"{interval(shown['relearn_ratio'], 2):24}{interval(points, 1):24}{verdict}")


def interval(shown: dict | None, digits: int = 3) -> str:
    if shown is None:
        return "-"
    return (f"{shown['value']:.{digits}f} ({shown['low']:.{digits}f} to "
            f"{shown['high']:.{digits}f})")


def new_home(folder: Path) -> Path:
    """A folder with what was downloaded and nothing that was trained."""
    folder.mkdir()
    for path in downloads().iterdir():
        if path.name not in ("trained", "runs", "audits") and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=(*REQUESTS, "audit"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--shadows", type=int, default=32)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if "FORGET_HOME" not in os.environ:
            os.environ["FORGET_HOME"] = str(new_home(Path(folder) / "home"))
        print(f"python -m bench.compare: {os.cpu_count()} cores, {platform.machine()}, torch "
              f"{torch.__version__}, one thread a model")
        for part in REQUESTS:
            if options.only in (None, part):
                tables(part, options.seeds)
        if options.only in (None, "audit"):
            audits(options.shadows, options.workers)


if __name__ == "__main__":
    main()
