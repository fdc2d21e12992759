"""Shadow models: the same recipe and method over and over, each on half of what is to be forgotten.

Shadows come in pairs. Of a request for samples each sample is in one model of a pair and not in the
other; of a class, the first model has all of it and the second none. Each shadow then unlearns what
it had, by the method under audit, and is scored on all of it. Models retrained without any of it
stand beside them. All is kept on disk as it is made, so an audit that was stopped goes on.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from forget.core import parallel
from forget.core.device import THREADS, derive, generator
from forget.core.errors import BadInput
from forget.core.steps import Step, drive
from forget.data import Dataset, evenly
from forget.io.files import write_atomically
from forget.io.paths import downloads
from forget.learners import Learner
from forget.methods import Method
from forget.metrics.accuracy import Predictions
from forget.metrics.membership import margin
from forget.metrics.probe import probe
from forget.metrics.relearn import BACK_WITHIN, relearn
from forget.unlearning import store
from forget.unlearning.certificate import retained_rows
from forget.unlearning.learn import check_memory, suited
from forget.unlearning.measure import Splits
from forget.unlearning.represent import content_hash, recipe_of, represent
from forget.unlearning.request import NOTHING, Forgotten, Request, split
from forget.unlearning.result import Start
from forget.unlearning.run import unlearn
from forget.unlearning.store import Stored
from forget.unlearning.watch import UNWATCHED, Watch

SAMPLES = 10_000
"""Training samples of the small world in which shadow models live; the whole set where it has
fewer."""

JUDGED = 1000
"""Samples of the request whose scores are kept."""

LEAST, MOST, EVERY = 24, 1024, 8
TRACED = 16
"""Models of each kind that are trained on and probed, where a class was forgotten."""

FOLDER = "audits"
VERSION = 1
"""Of what a score file holds: another one makes all shadows anew."""

ORIGINAL, REFERENCE = "original", "reference"

Scores = dict[str, dict[str, Tensor]]
"""Kind of model (original, reference, or a method's name) to what was measured of it."""


@dataclasses.dataclass(frozen=True)
class World:
    """A small copy of a request: fewer samples, the same learner, N shadow models.

    ``dataset``: rows of the learner's features, numbered anew.  ``request``: in those numbers.
    ``rows``: (n,) where its samples stand in the whole training set.  ``learner``, ``seed``.
    """

    dataset: Dataset
    request: Request
    rows: Tensor
    learner: Learner
    seed: int

    @property
    def whole_class(self) -> bool:
        return self.request.class_index is not None

    @cached_property
    def judged(self) -> Tensor:
        """The samples (m,) that are scored: all of the request, or a thousand of it."""
        ids = self.request.ids
        return ids[evenly(len(ids), JUDGED)]

    def holds(self, shadow: int) -> Tensor:
        """Which of the request's samples a shadow model learnt: (len(request),) bool."""
        first = torch.ones(len(self.request), dtype=torch.bool)
        if not self.whole_class:
            draw = generator(derive(self.seed, "pair", shadow // 2))
            first = torch.randint(2, (len(self.request),), generator=draw).bool()
        return first if shadow % 2 == 0 else ~first

    def member(self, count: int) -> Tensor:
        """(count, m): which judged samples the first shadow models learnt."""
        rows = torch.isin(self.request.ids, self.judged)
        return torch.stack([self.holds(shadow)[rows] for shadow in range(count)])

    @cached_property
    def key(self) -> str:
        """A name for all that determines the scores, but for number and method."""
        return store.key_of(
            version=VERSION, data=content_hash(self.dataset),
            recipe=recipe_of(self.learner, self.dataset), forget=Forgotten((self.request,)).key,
            class_index=self.request.class_index, seed=self.seed, threads=THREADS,
            device=self.dataset.train.y.device.type, torch=torch.__version__)


def small_world(
    dataset: Dataset, request: Request, learner: Learner, seed: int, samples: int = SAMPLES,
    watch: Watch = UNWATCHED,
) -> World:
    """The world of an audit: at most ``samples`` training samples, the request's among them.

    Of a class as large a share as of the rest is taken; of single samples all, up to a thousand.
    """
    learner = suited(learner, dataset)
    check_memory(learner, dataset)
    dataset = represent(learner, dataset, watch)
    rows = _rows(len(dataset.train), request, seed, samples)
    asked = torch.isin(rows, request.ids)
    if not asked.any():
        raise BadInput("none of what is to be forgotten is among the samples of the audit; "
                       "allow more samples")
    train = dataset.train.take(rows.to(dataset.train.y.device))
    train = dataclasses.replace(train, ids=torch.arange(len(rows), device=train.ids.device))
    small = dataclasses.replace(dataset, train=train)
    ids = asked.nonzero().flatten()
    return World(small, Request(request.spec, ids, request.class_index), rows, learner, seed)


def _rows(n: int, request: Request, seed: int, samples: int) -> Tensor:
    """Sorted rows (at most ``samples``) of the training set."""
    if n <= samples:
        return torch.arange(n)
    draw = generator(derive(seed, "audit"))
    order = torch.randperm(n, generator=draw)
    if request.class_index is not None:
        return order[:samples].sort().values
    asked = torch.isin(order, request.ids)
    chosen = order[asked][:JUDGED]
    return torch.cat([chosen, order[~asked][: samples - len(chosen)]]).sort().values


def score(
    world: World, methods: Sequence[Method], count: int, processes: int = 1,
    watch: Watch = UNWATCHED,
) -> dict[str, list[dict[str, Tensor]]]:
    """What was measured of every model: ``count`` shadows before and after each method, and half as
    many retrained models; kind to a list in order.

    ``processes``: how many of this machine's to use. The figures are the same with any number.
    """
    check_count(count)
    shelf = Shelf(world, methods)
    watch.phase("Training shadow models")
    jobs = [(kind, number) for number in range(count) for kind in ("shadow", "control")
            if kind == "shadow" or number < count // 2]
    missing = [job for job in jobs if not shelf.has(*job)]
    done = len(jobs) - len(missing)
    first = [job for job in missing if job == ("shadow", 0)]  # the others take their target from it
    for batch in (first, [job for job in missing if job not in first]):
        target = None if batch == first else shelf.target()
        work = [(world, tuple(shelf.lacking(*job)), *job, target) for job in batch]
        for index, scores in _carried_out(work, processes, watch):
            shelf.put(*batch[index], scores)
            done += 1
            watch.step(Step(done, len(jobs), "training shadow models", {}), 0.0)
            watch.check()
    return shelf.all(count)


def check_count(count: int) -> None:
    """Refuse a number of shadow models that cannot be divided as the attack needs it."""
    if not LEAST <= count <= MOST or count % EVERY:
        raise BadInput(f"{count} shadow models are not possible; take a multiple of {EVERY} from "
                       f"{LEAST} to {MOST}")


def _carried_out(work: list[tuple], processes: int, watch: Watch) -> Iterator[tuple[int, Scores]]:
    """Every job's scores as they are made: here, where the watch can stop a training and where an
    accelerator is, or in other processes."""
    on_card = any(job[0].dataset.train.y.device.type != "cpu" for job in work)
    if on_card or (processes == 1 and not parallel.elsewhere()):
        yield from ((index, measured(*job, watch)) for index, job in enumerate(work))
    else:
        yield from parallel.each(measured, work, processes)


def measured(
    world: World, methods: tuple[Method, ...], kind: str, number: int, target: float | None,
    watch: Watch = UNWATCHED,
) -> Scores:
    """Train one model of the world and measure it, and what each method makes of it.

    ``target``: the accuracy at which relearning ends; None takes this model's own.
    """
    quiet = _Quiet(watch)
    request, whole = world.request, world.whole_class
    seed = derive(world.seed, kind, number)
    has = (world.holds(number) if kind == "shadow" else
           torch.zeros(len(request), dtype=torch.bool))
    model = _trained(world, request.ids[~has], seed, quiet)
    judge = _Judge(world, number, quiet)
    if kind == "control":
        return {REFERENCE: judge(model, target, number < TRACED)}
    if target is None:
        target = judge.accuracy(model) - BACK_WITHIN
    traced = whole and bool(has.all()) and number < 2 * TRACED
    scores = {ORIGINAL: judge(model, target, traced)}
    out = NOTHING if has.all() else NOTHING + Request("never there", request.ids[~has],
                                                      request.class_index)
    asked = Request(request.spec, request.ids[has], request.class_index)
    if not has.any():  # it has nothing to unlearn
        return scores | dict.fromkeys((method.name for method in methods), scores[ORIGINAL])
    start = Start(Stored(model, {}), world.learner, out)
    splits = Splits(world.dataset, asked, out)
    for method in methods:
        changed = unlearn(world.dataset, start, asked, method, seed, splits, quiet,
                          with_curve=False).model
        scores[method.name] = judge(changed, target, traced)
    return scores


def _trained(world: World, without: Tensor, seed: int, watch: Watch) -> nn.Module:
    """A model of the world's recipe on all its samples but some."""
    dataset, learner = world.dataset, world.learner
    data = dataset.train.take(retained_rows(dataset, without))
    draw = generator(seed)
    model = learner.build(dataset.input_shape, len(dataset.classes), draw).to(data.y.device)
    drive(learner.train(model, data, draw), watch.step, watch.cancelled)
    return store.frozen(model)


class _Judge:
    """Measures the models of one shadow: margins, and for a class how it comes back and whether
    the features still hold it."""

    def __init__(self, world: World, number: int, watch: Watch):
        train = world.dataset.train
        self._world, self._number, self._watch = world, number, watch
        self._judged = train.take(world.judged.to(train.y.device))

    def accuracy(self, model: nn.Module) -> float:
        return Predictions.of(model, self._judged).accuracy

    def __call__(self, model: nn.Module, target: float, traced: bool) -> dict[str, Tensor]:
        said = Predictions.of(model, self._judged, self._watch.check)
        found = {"margins": margin(said),
                 "accuracy": torch.tensor(said.accuracy, dtype=torch.float64)}
        if not (traced and self._world.whole_class):
            return found
        train = self._world.dataset.train
        seed = derive(self._world.seed, "trace", self._number)
        back = relearn(model, *split(train, self._world.request, NOTHING), target, generator(seed))
        found |= {"relearned": torch.tensor(back.accuracies, dtype=torch.float64),
                  "steps": torch.tensor(back.steps, dtype=torch.float64)}
        recall = probe(model, train, self._world.dataset.test, self._world.request.class_index,
                       generator(seed))
        return found if recall is None else found | {
            "probe": torch.tensor(recall, dtype=torch.float64)}


class _Quiet(Watch):
    """Hears of cancelling, and tells nothing: a shadow's own steps are too many to follow."""

    def __init__(self, watch: Watch):
        self.cancelled: Callable[[], bool] = watch.cancelled


class Shelf:
    """The scores of a world's models on disk; in memory where the data are private."""

    def __init__(self, world: World, methods: Sequence[Method]):
        self._methods = {method.name: method for method in methods}
        self._held: dict[str, dict[str, Tensor]] = {}
        self._private = world.dataset.private
        self._world = world
        name = store.path_of(world.dataset.name, "audit", world.key).stem
        self._folder = downloads() / FOLDER / name

    def _name(self, kind: str, number: int) -> str:
        """``kind``: original, reference or a method's name."""
        method = self._methods.get(kind)
        settings = f"-{store.key_of(settings=method.settings())}" if method else ""
        return f"{kind}{settings}-{number}.safetensors"

    def _find(self, kind: str, number: int) -> dict[str, Tensor] | None:
        name = self._name(kind, number)
        if name not in self._held:
            path = self._folder / name
            if self._private is not None:
                found = self._private.get(f"{self._world.key}/{name}")
            else:
                found = store.read_sealed(path)[0] if path.is_file() else None
            if found is None:
                return None
            self._held[name] = found
        return self._held[name]

    def lacking(self, kind: str, number: int) -> list[Method]:
        """The methods whose scores of a shadow model are missing."""
        return [method for name, method in self._methods.items()
                if kind == "shadow" and self._find(name, number) is None]

    def has(self, kind: str, number: int) -> bool:
        own = self._find(ORIGINAL if kind == "shadow" else REFERENCE, number)
        return own is not None and not self.lacking(kind, number)

    def put(self, kind: str, number: int, scores: Scores) -> None:
        for of, values in scores.items():
            name = self._name(of, number)
            self._held[name] = values
            if self._private is not None:
                self._private[f"{self._world.key}/{name}"] = values
            else:
                write_atomically(self._folder / name,
                                 store.sealed_bytes(values, {"world": self._world.key}))

    def target(self) -> float:
        """The accuracy at which relearning ends: the first original's, less a margin."""
        return self._find(ORIGINAL, 0)["accuracy"].item() - BACK_WITHIN

    def all(self, count: int) -> dict[str, list[dict[str, Tensor]]]:
        kinds = {ORIGINAL: count, REFERENCE: count // 2} | dict.fromkeys(self._methods, count)
        return {kind: [self._find(kind, number) for number in range(total)]
                for kind, total in kinds.items()}
