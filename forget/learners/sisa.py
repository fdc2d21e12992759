"""SISA: disjoint shards, each trained slice by slice with a checkpoint after every slice."""

import dataclasses
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forget.core import parallel
from forget.core.device import derive, generator, without_denormals
from forget.core.errors import BadInput
from forget.core.knobs import knob
from forget.core.steps import Step
from forget.data import Samples
from forget.learners import LEARNERS, Learner
from forget.learners.network import Network, adamw, shifted
from forget.learners.sharding import BY_CLASS, UNIFORM, Sharding, stage_visits
from forget.models import fit_inputs
from forget.models.ensemble import Ensemble


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """All that training a shard goes on from after one slice, and which samples made it so.

    ``weights``: (P,) float32, every parameter in order.  ``optimizer``: (2 P + 1,) the two moments
    and the step count.  ``generator``: its state, uint8.  ``ids``: every sample seen, sorted.
    """

    weights: Tensor
    optimizer: Tensor
    generator: Tensor
    ids: Tensor

    def named(self, shard: int, slice_: int) -> dict[str, Tensor]:
        """As entries of a model's secret."""
        return {f"{shard}.{slice_}.{field.name}": getattr(self, field.name)
                for field in dataclasses.fields(self)}


@LEARNERS.register
@dataclasses.dataclass(frozen=True)
class Sisa(Learner):
    """Sharded, isolated, sliced, aggregated training (Bourtoule et al. 2021,
    https://arxiv.org/abs/1912.03817).

    Each of S shards trains a network of its own on its R slices: first on slice 1, then on slices
    1 and 2, and so on, 2e / (R + 1) epochs each time, which makes e epochs in all; lr falls to
    nothing within each stage. A sample influences its own shard only, from its own slice on:
    feature vectors are standardised too by what a stage trains on, and by nothing else.

    >>> Sisa(shards=20).settings()["slices"]
    4
    """

    name = "sisa"
    keeps = True
    title = "Sharded ensemble (SISA)"
    order = 2

    shards: int = knob(5, "Shards S: disjoint parts of the data, a network each", low=1, high=200)
    slices: int = knob(4, "Slices R a shard, with a checkpoint after each", low=1, high=50)
    sharding: str = knob(UNIFORM, "Draw a sample's shard at random, or keep each class in one "
                         "shard", choices=(UNIFORM, BY_CLASS))
    aggregation: str = knob("mean", "Average the shards' probabilities, or let them vote",
                            choices=("mean", "vote"))
    arch: str = knob("auto", "Network of each shard: convolutional, fully connected or linear",
                     choices=("auto", "cnn", "mlp", "linear"))
    epochs: float = knob(6.0, "Passes over each shard's data, all stages together", low=0.1,
                         high=1000.0)
    lr: float = knob(6e-3, "Learning rate at the beginning of each stage", low=1e-5, high=0.5,
                     log=True)
    batch_size: int = knob(64, "Samples a step", low=1, high=4096)
    shift: int = knob(1, "Images are shifted by up to this many pixels", low=0, high=4)
    min_steps: int = knob(20, "Train each stage at least this many steps, however few the samples",
                          low=0, high=100_000)

    @property
    def least_visits(self) -> int:
        """Samples that a stage passes over at least."""
        return self.min_steps * self.batch_size

    def network(self, input_shape, n_classes: int, draw: torch.Generator) -> nn.Module:
        """One shard's untrained network."""
        return Network(arch=self.arch).build(input_shape, n_classes, draw)

    def standardises(self, input_shape):
        return Network(arch=self.arch).standardises(input_shape)

    def build(self, input_shape, n_classes, generator):
        networks = [self.network(input_shape, n_classes, generator) for _ in range(self.shards)]
        return Ensemble(networks, n_classes, self.aggregation)

    def memory(self, n, input_shape, n_classes):
        # Each checkpoint holds its network's weights and two moments.
        return (super().memory(n, input_shape, n_classes)
                + 3 * 2 * self.slices * self.model_bytes(input_shape, n_classes))

    def divided(self, seed: int, n_classes: int) -> Sharding:
        """How samples are divided under a seed."""
        return Sharding(self.shards, self.slices, self.sharding, n_classes, seed)

    def division_of(self, model: Ensemble) -> Sharding:
        """How the samples of a trained model are divided."""
        return self.divided(int(model.secret["seed"]), model.n_classes)

    def train(self, model: Ensemble, data: Samples, generator) -> Iterator[Step]:
        seed = int(torch.randint(2**62, (), generator=generator))
        model.secret = {"seed": torch.tensor(seed)}
        everything = dict.fromkeys(range(self.shards), 0)
        yield from self.go_on(model, data, everything)

    def go_on(self, model: Ensemble, data: Samples, first: dict[int, int]) -> Iterator[Step]:
        """Train some shards from a slice on, over what of ``data`` lies in them.

        ``first``: shard to the first slice that is trained again. Its checkpoint and the later ones
        are destroyed before anything else is done; new ones take their place.
        """
        placed = self.division_of(model).place(data)
        jobs = []
        for shard, start in first.items():
            for slice_ in range(start, self.slices):
                for field in dataclasses.fields(Checkpoint):
                    model.secret.pop(f"{shard}.{slice_}.{field.name}", None)
            jobs.append(self._job(model, data, placed, shard, start))
        model.train()
        run = _elsewhere if parallel.elsewhere() else _here
        for step, finished in run(jobs):
            if finished is not None:
                job, made = finished
                self._take(model, job, made)
            if step is not None:
                yield step
        if not model.alive.any():
            raise BadInput("no shard has enough samples for a single step; take fewer shards or "
                           "more epochs")
        model.eval()

    def first_affected(self, model: Ensemble, ids: Tensor) -> dict[int, int]:
        """Shard to the first of its checkpoints that saw one of these samples: by what they saw,
        whatever the data say today."""
        first = {}
        for shard in range(self.shards):
            for slice_ in range(self.slices):
                if torch.isin(checkpoint_of(model, shard, slice_).ids, ids.cpu()).any():
                    first[shard] = slice_
                    break
        return first

    def _job(
        self, model: Ensemble, data: Samples, placed: tuple[Tensor, Tensor], shard: int, start: int
    ) -> "ShardJob":
        """All that training one shard needs: this is what goes to another process."""
        rows = torch.nonzero(placed[0] == shard).flatten()
        before = checkpoint_of(model, shard, start - 1) if start else None
        part = data.take(rows.to(data.y.device))
        order = part.ids.argsort(stable=True)  # copies of a sample share its id
        return ShardJob(self, shard, start, int(model.secret["seed"]), model.n_classes,
                        part.take(order), placed[1][rows][order.cpu()], before)

    def _take(self, model: Ensemble, job: "ShardJob", made: list[Checkpoint]) -> None:
        """Put a shard's new checkpoints in place, and the last one's weights into the ensemble."""
        for slice_, checkpoint in enumerate(made, job.start):
            model.secret |= checkpoint.named(job.shard, slice_)
        network = model.networks[job.shard]
        set_weights(network, made[-1].weights)
        fit_inputs(network, job.data.x)
        # A shard that has taken no step, having no samples, knows nothing and says nothing.
        model.alive[job.shard] = bool(made[-1].optimizer[-1] > 0)


def checkpoint_of(model: Ensemble, shard: int, slice_: int) -> Checkpoint:
    """The checkpoint after one slice of one shard."""
    return Checkpoint(*(model.secret[f"{shard}.{slice_}.{field.name}"]
                        for field in dataclasses.fields(Checkpoint)))


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """One shard to train from ``start`` on: its samples by id, their slices, and the checkpoint
    before, None for the very beginning."""

    learner: Sisa
    shard: int
    start: int
    seed: int
    n_classes: int
    data: Samples
    slices: Tensor
    before: Checkpoint | None

    @property
    def steps(self) -> int:
        """Batches of this job."""
        return sum(-(-self.stage_visits(slice_) // self.learner.batch_size)
                   for slice_ in range(self.start, self.learner.slices))

    def stage_visits(self, slice_: int) -> int:
        n = int((self.slices <= slice_).sum())
        return stage_visits(n, self.learner.slices, self.learner.epochs,
                            self.learner.least_visits)

    def run(self) -> Iterator[tuple[int, float]]:
        """Train the shard; yields (samples, loss) after each batch, returns its checkpoints."""
        learner, device = self.learner, self.data.y.device
        draw = generator(derive(self.seed, "training", self.shard))
        network = learner.network(tuple(self.data.x.shape[1:]), self.n_classes, draw).to(device)
        optimizer = adamw(network.parameters(), learner.lr)
        if self.before is not None:
            _restore(network, optimizer, draw, self.before)
        made = []
        for slice_ in range(self.start, learner.slices):
            rows = torch.nonzero(self.slices <= slice_).flatten()
            fit_inputs(network, self.data.x[rows.to(device)])
            yield from _stage(learner, network, optimizer, self.data, rows.to(device),
                              self.stage_visits(slice_), draw)
            made.append(_checkpoint(network, optimizer, draw, self.data.ids[rows.to(device)]))
        return made


def _stage(
    learner: Sisa, network: nn.Module, optimizer, data: Samples, rows: Tensor, visits: int,
    draw: torch.Generator,
) -> Iterator[tuple[int, float]]:
    """One slice's stage: passes over ``rows`` in fresh orders until ``visits`` samples are seen."""
    network.train()
    order = _passes(len(rows), visits, draw)
    batches = order.split(learner.batch_size) if visits else ()
    for index, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = learner.lr * (1 - index / len(batches))
        x, y = fetch(data, rows[batch])
        with without_denormals():
            loss = F.cross_entropy(network(shifted(x, learner.shift, draw)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield len(y), loss.item()


def fetch(data: Samples, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The one place where training reads samples."""
    return data.x[rows], data.y[rows]


def _passes(n: int, visits: int, draw: torch.Generator) -> Tensor:
    """Row numbers (visits,): one random order of all n after another, the last one cut."""
    orders = [torch.randperm(n, generator=draw) for _ in range(-(-visits // max(n, 1)))]
    return torch.cat(orders)[:visits] if orders else torch.empty(0, dtype=torch.int64)


def _checkpoint(network: nn.Module, optimizer, draw: torch.Generator, ids: Tensor) -> Checkpoint:
    parameters = list(network.parameters())
    states = [optimizer.state.get(parameter, {}) for parameter in parameters]
    moments = [torch.cat([state[name].flatten() if state else torch.zeros(parameter.numel())
                          for parameter, state in zip(parameters, states, strict=True)])
               for name in ("exp_avg", "exp_avg_sq")]
    count = states[0]["step"].reshape(1).cpu() if states[0] else torch.zeros(1)
    return Checkpoint(
        torch.cat([parameter.detach().flatten().cpu() for parameter in parameters]),
        torch.cat([*(moment.cpu() for moment in moments), count]),
        draw.get_state(), ids.cpu().sort().values)


def _restore(network: nn.Module, optimizer, draw: torch.Generator, before: Checkpoint) -> None:
    """Set everything as it was when the checkpoint was made."""
    parameters = list(network.parameters())
    set_weights(network, before.weights)
    sizes = [parameter.numel() for parameter in parameters]
    first, second, count = before.optimizer.split([sum(sizes), sum(sizes), 1])
    for parameter, m, v in zip(parameters, first.split(sizes), second.split(sizes), strict=True):
        optimizer.state[parameter] = {
            "step": count[0].clone().to(parameter.device),
            "exp_avg": _like(m, parameter), "exp_avg_sq": _like(v, parameter)}
    draw.set_state(before.generator)


@torch.no_grad()
def set_weights(network: nn.Module, weights: Tensor) -> None:
    """Fill a network's parameters, in order, from one flat vector."""
    parameters = list(network.parameters())
    for parameter, values in zip(
        parameters, weights.split([parameter.numel() for parameter in parameters]), strict=True
    ):
        parameter.copy_(values.reshape(parameter.shape))


def _like(values: Tensor, parameter: Tensor) -> Tensor:
    """Flat values in a parameter's shape and memory layout, as the optimizer itself makes them."""
    return torch.empty_like(parameter).copy_(values.reshape(parameter.shape))


def _here(jobs: list[ShardJob]):
    """Train the shards one after the other: a step a batch, and what each shard made."""
    total, index = sum(job.steps for job in jobs) + 1, 0
    for number, job in enumerate(jobs, 1):
        work = job.run()
        while True:
            try:
                _, loss = next(work)
            except StopIteration as done:
                yield None, (job, done.value)
                break
            index += 1
            yield Step(index, total, f"training shard {job.shard + 1} "
                       f"({number} of {len(jobs)})", {"loss": loss}), None
    yield Step(index + 1, index + 1, "all shards trained", {"shards": float(len(jobs))}), None


def _elsewhere(jobs: list[ShardJob]):
    """Train the shards in other processes: a step a shard, in the order in which they end."""
    for done, (index, (made, loss)) in enumerate(
        parallel.each(run_alone, [(job,) for job in jobs]), 1
    ):
        job = jobs[index]
        yield Step(done, len(jobs), f"trained shard {job.shard + 1}", {"loss": loss}), (job, made)


def run_alone(job: ShardJob) -> tuple[list[Checkpoint], float]:
    """A shard's checkpoints and last loss, without looking up in between."""
    work, loss = job.run(), 0.0
    while True:
        try:
            _, loss = next(work)
        except StopIteration as done:
            return done.value, loss
