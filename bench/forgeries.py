"""Certificates that say something else than what was done: how many are verified as such.

    python -m bench.forgeries

The vectors are scikit-learn's handwritten digits (1,797 rows of 64 figures, in no test), the
requests a class, 20 samples drawn at random, and three by number. Each is carried out honestly, in
both modes; then somebody forges the files. *Sealed* is forged by whoever has the secret: every hash
and the seal are made to fit with the library's own functions. Each forgery is checked on four ways:
with the secret; with the secret and the request that was made; by this machine's ledger, which
holds the honest certificate; and by a third party that has the public files and the retained data
and solves on them. Nothing vouches to that one for who wrote the fields, so it verifies nothing:
*not refuted* counts where it finds no fault, and what that means is the reader's to know. The
latter two don't look at the secret: its forgeries have no figure there.

The last rows of each mode are no forgeries: the honest files, and certificates with another ε or δ
whose bounds were worked out anew and hold as well, written by whoever issued the first.
"""

import copy
import dataclasses
import datetime
import itertools
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from forget.certified.privacy import grid_multiplier, residual_allowed
from forget.core.errors import ForgetError
from forget.data import Dataset, Samples
from forget.learners.convex import Convex
from forget.methods.certified import ASSUMPTIONS, Certified
from forget.report.export import save_outcome
from forget.unlearning.certificate import retained_rows, statement_over, text_of
from forget.unlearning.checks import Check, is_verified
from forget.unlearning.learn import start_from
from forget.unlearning.request import NOTHING, Forgotten, parse_request
from forget.unlearning.result import Result
from forget.unlearning.run import run
from forget.unlearning.verify import verify

MODES = {"residual": Convex(lam=1e-3), "guo": Convex(lam=1e-2, mode="guo", sigma=10.0, loss="ovr")}
REQUESTS = ("class:3", "random:20", "samples:3,17,99")
FILES = ("certificate.json", "model.safetensors", "model.secret.safetensors")
VERIFYING = ("secret", "and request", "ledger")
THIRD = "not refuted"
WAYS = (*VERIFYING, THIRD)
WITHOUT_SECRET = ("ledger", THIRD)

OF_THE_SECRET = ("one bit of the secret", "the secret of another request")
ASKED = "another request is asked about"
TRUE = ("honest", "another ε or δ that holds too, sealed")

FALSE = [
    ("kind", "forget certificate, version 3"), ("mode", "guo"), ("epsilon", 0.001),
    ("epsilon", 0.999), ("delta", 1e-9), ("delta", 1e-12), ("sigma", 1e-4), ("lam", 1e-4),
    ("residual", 0.0),
    ("residual", 1e-9), ("residual_allowed", 1e-3), ("residual_allowed", 0.0), ("iterations", 3),
    ("iterations", 0), ("n_retained", 219), ("n_retained", 240), ("n_forgotten", 1_000_000),
    ("n_forgotten", 0), ("n_forgotten", 3), ("loss", "ovr"), ("features", "pixels"),
    ("radius", 1.0), ("weights", 1), ("assumptions", []), ("assumptions", ["It is all true."]),
    ("empty_classes", [2]), ("empty_classes", []), ("empty_classes", [1, 1]),
    ("covers", "all backups"), ("covers", "whole model"), ("covers_because", "it was asked for"),
    ("noise_multiplier", 1.0), ("distance_allowed", 1.0), ("embedder", "dlib_resnet"),
    ("a new field", "passed"), ("retrained", True),
]
"""What a certificate can be made to say that is not so."""

Forgery = tuple[str, Path]
"""Its kind, and the folder with its files."""


def digits() -> Dataset:
    x, y = load_digits(return_X_y=True)
    train, rest, y_train, y_rest = train_test_split(x / 16, y, test_size=300, random_state=0)
    parts = (Samples.from_arrays(rows.astype("float32"), labels) for rows, labels in
             ((train, y_train), (rest[:150], y_rest[:150]), (rest[150:], y_rest[150:])))
    return Dataset("digits of scikit-learn", tuple("0123456789"), *parts)


def retold(stated: dict[str, Any]) -> None:
    """Fields that follow from others, made to fit again: what a careful forger does."""
    allowed = residual_allowed(stated["sigma"], stated["lam"] * stated["n_retained"],
                               stated["epsilon"], stated["delta"], stated["weights"])
    stated |= {"residual_allowed": allowed,
               "distance_allowed": allowed / (stated["lam"] * stated["n_retained"]),
               "noise_multiplier": grid_multiplier(stated["epsilon"], stated["delta"],
                                                   stated["weights"])}


def with_weights(result: Result, weights: torch.Tensor) -> Result:
    """The same run with another published model."""
    model = copy.deepcopy(result.unlearned)
    with torch.no_grad():
        model.weight.copy_(weights)
    return dataclasses.replace(result, unlearned=model)


def over_everything(result: Result, dataset: Dataset) -> Result:
    """The original under a statement that calls all data retained: nothing was left out."""
    model = copy.deepcopy(result.start.model)
    for name in ("data_key", "forgotten_marks"):
        model.secret[name] = result.unlearned.secret[name]
    mode = result.statement["mode"]
    statement = statement_over(result.statement, dataset, NOTHING) | {
        "n_retained": len(dataset.train), "assumptions": list(ASSUMPTIONS[mode])}
    if mode == "residual":
        retold(statement)
    return dataclasses.replace(result, unlearned=model, statement=statement)


@dataclasses.dataclass(frozen=True)
class Bench:
    """One honest run, and a place for forgeries of its files."""

    dataset: Dataset
    result: Result
    folder: Path
    numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    @property
    def stated(self) -> dict[str, Any]:
        return json.loads((self.honest / FILES[0]).read_text())

    @property
    def honest(self) -> Path:
        return self.folder / "honest"

    def copied(self) -> Path:
        """The honest files once more."""
        return shutil.copytree(self.honest, self.folder / str(next(self.numbers)))

    def rewritten(self, stated: dict[str, Any]) -> Path:
        """The files with another certificate that nobody sealed."""
        folder = self.copied()
        (folder / FILES[0]).write_text(text_of(stated))
        return folder

    def sealed(self, **changes: Any) -> Path:
        """The files of a changed result, with every hash and the seal of its own."""
        folder = self.folder / str(next(self.numbers))
        save_outcome(dataclasses.replace(self.result, **changes), folder)
        return folder

    def with_weights(self, weights: torch.Tensor) -> Path:
        return self.sealed(unlearned=with_weights(self.result, weights).unlearned)


def fields(bench: Bench) -> Iterator[Forgery]:
    """Fields that are not so, gone, or not of their kind."""
    for field, value in FALSE:
        if bench.stated.get(field) == value or (field == "mode" and bench.stated["mode"] == value):
            continue
        yield "a field, not sealed", bench.rewritten(bench.stated | {field: value})
        yield "a field, sealed", bench.sealed(statement=bench.result.statement | {field: value})
        if bench.stated["mode"] == "residual" and field in ("epsilon", "delta", "sigma", "lam"):
            careful = bench.result.statement | {field: value}
            retold(careful)
            yield (TRUE[1] if field in ("epsilon", "delta") else "a field and what follows, sealed",
                   bench.sealed(statement=careful))
    for field in bench.stated:
        yield "a field is gone", bench.rewritten(
            {name: value for name, value in bench.stated.items() if name != field})


def models(bench: Bench) -> Iterator[Forgery]:
    """Models that are not what was certified."""
    unlearned, original = bench.result.unlearned, bench.result.start.model
    own = unlearned.secret["weights"]
    yield "the untouched original, sealed", bench.with_weights(original.weight)
    yield "the original as the solution, sealed", bench.sealed(unlearned=copy.deepcopy(original))
    for size in (0.0, 0.2, 0.8, 1.2, 3.0):
        if bench.stated["mode"] == "residual":  # Guo's noise is in the loss, not on the weights
            yield "noise of another scale, sealed", bench.with_weights(
                own + size * (unlearned.weight - own))
    yield "weights that are a little off, sealed", bench.with_weights(unlearned.weight + 1e-9)


def everything_retained(bench: Bench) -> Iterator[Forgery]:
    forged = over_everything(bench.result, bench.dataset)
    yield "whole data as retained, sealed", bench.sealed(unlearned=forged.unlearned,
                                                         statement=forged.statement)


def bytes_changed(bench: Bench) -> Iterator[Forgery]:
    for name, place in itertools.product(FILES, range(12)):
        folder = bench.copied()
        data = bytearray((folder / name).read_bytes())
        data[place * len(data) // 12 + 5] ^= 1 << place % 7
        (folder / name).write_bytes(data)
        yield OF_THE_SECRET[0] if name == FILES[2] else "one bit of a file", folder


def swapped(bench: Bench, others: list[Bench]) -> Iterator[Forgery]:
    for other, name in itertools.product(others, FILES):
        folder = bench.copied()
        shutil.copy(other.honest / name, folder / name)
        yield OF_THE_SECRET[1] if name == FILES[2] else "a file of another request", folder


def ways(bench: Bench, folder: Path, asked: str) -> dict[str, Callable[[], list[Check]]]:
    """Each way of checking, whose data and knowledge it takes."""
    certificate, model, secret = (folder / name for name in FILES)
    named = Forgotten((parse_request(asked, bench.dataset, 0),))
    left = dataclasses.replace(bench.dataset, train=bench.dataset.train.take(
        retained_rows(bench.dataset, bench.result.forgotten.ids)))
    return {
        "secret": lambda: verify(certificate, model, left, secret),
        "and request": lambda: verify(certificate, model, bench.dataset, secret, named),
        "ledger": lambda: verify(certificate, model, left, entered=[bench.stated]),
        THIRD: lambda: verify(certificate, model, left, reference=True),
    }


def verified(bench: Bench, folder: Path, asked: str) -> dict[str, bool]:
    """On which ways files are verified, or not refuted; a sentence of the library's is a no."""
    found = {}
    for way, check in ways(bench, folder, asked).items():
        try:
            checks = check()
            found[way] = (all(one.passed is not False for one in checks) if way == THIRD else
                          is_verified(checks))
        except ForgetError:
            found[way] = False
    return found


def forgeries(bench: Bench, others: list[Bench]) -> Iterator[Forgery]:
    yield from fields(bench)
    yield from models(bench)
    yield from everything_retained(bench)
    yield from bytes_changed(bench)
    yield from swapped(bench, others)


def table(mode: str, dataset: Dataset, folder: Path) -> Iterator[tuple[str, int, Counter]]:
    """A row a kind: how many, and how many of them were verified on each way."""
    start = start_from(MODES[mode], dataset, 0)
    benches = []
    for number, spec in enumerate(REQUESTS):
        result = run(dataset, start, parse_request(spec, dataset, 0), Certified(), 0, references=0)
        benches.append(Bench(dataset, result, folder / mode / str(number)))
        save_outcome(result, benches[-1].honest)
    count, yes = Counter(), {}

    def note(kind: str, bench: Bench, at: Path, asked: str) -> None:
        count[kind] += 1
        found = verified(bench, at, asked)
        yes.setdefault(kind, Counter()).update(way for way, so in found.items() if so)

    for bench, spec in zip(benches, REQUESTS, strict=True):
        others = [one for one in benches if one is not bench]
        for kind, at in forgeries(bench, others):
            note(kind, bench, at, spec)
            shutil.rmtree(at)
        for asked in REQUESTS:
            note(TRUE[0] if asked == spec else ASKED, bench, bench.honest, asked)
    yield from ((kind, count[kind], yes[kind]) for kind in sorted(count, key=TRUE.__contains__))


def figure(kind: str, way: str, yes: Counter) -> int | None:
    """How many were verified; None on a way that looks at nothing that was forged."""
    blind = ((kind in OF_THE_SECRET and way in WITHOUT_SECRET)
             or (kind == ASKED and way != "and request"))
    return None if blind else yes[way]


def main() -> None:
    print(f"python -m bench.forgeries\n{datetime.date.today()}, {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f} before\n")
    with tempfile.TemporaryDirectory() as home:
        os.environ["FORGET_HOME"] = home
        dataset, total = digits(), Counter()
        for mode in MODES:
            print(f"{mode} mode{'':<34}{'files':>7}"
                  + "".join(f"{way:>13}" for way in WAYS))
            for kind, count, yes in table(mode, dataset, Path(home)):
                found = [figure(kind, way, yes) for way in WAYS]
                print(f"{kind:<45}{count:>7}" + "".join(
                    f"{'–' if one is None else one:>13}" for one in found), flush=True)
                if kind not in TRUE:
                    total["forgeries"] += count
                    total["verified"] += sum(one or 0 for way, one in zip(
                        WAYS, found, strict=True) if way in VERIFYING)
            print()
    print(f"{total['forgeries']} forgeries; verified as something that they are not, all ways "
          f"together: {total['verified']}")


if __name__ == "__main__":
    main()
