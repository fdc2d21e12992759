"""How shadow models train fastest: a loop, vmapped stacks, batched products or processes.

    python -m bench.shadows [--only CASE ...] [--models K] [--samples N] [--repeats N] [--full]

Every way trains the same models by the learner's own recipe: model k starts from seed k and reads
its own random part of one pool, in its own order. What takes long is timed for the steps that the
table says, and the seconds scaled to all. Ways take turns within a repetition: seconds are medians
over the repetitions, ratios medians of the ratios within one. The machine may be shared, so trust
the ratios, and mind that two threads wait for each other where others work.

``--full`` trains 64 digits networks in two processes instead, from the first process to the last
weight. ``--only recipe`` asks what the recipe itself could save.
"""

import argparse
import contextlib
import dataclasses
import itertools
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from joblib.externals.loky import get_reusable_executor
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

from forget.core.device import generator, without_denormals
from forget.core.parallel import WORKERS, each
from forget.core.steps import drive
from forget.data import Dataset, Samples, find_dataset
from forget.learners.network import Network, adamw, batches, shifted
from forget.metrics.accuracy import Predictions
from forget.models.cnn import SmallCNN
from forget.models.linear import RADIUS

MANY = 64
"""Shadow models of one audit."""

AIM = 120.0
"""Seconds for ``MANY`` digits networks on two cores."""

PART = 60
"""Steps that the DataLoader loops are timed for; their seconds are scaled to all steps."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A learner, the pool of samples that its shadow models draw from, and how many each reads."""

    learner: Network
    pool: Samples
    samples: int
    input_shape: tuple[int, ...]
    n_classes: int

    @classmethod
    def of(cls, learner: Network, dataset: Dataset, samples: int) -> "Case":
        pool = dataset.train.take(slice(0, 2 * samples))
        return cls(learner, pool, min(samples, len(pool)), dataset.input_shape,
                   len(dataset.classes))

    def start(self, seed: int) -> tuple[nn.Module, Tensor, torch.Generator]:
        """A fresh model, its own rows of the pool, and the generator that it goes on with."""
        draw = generator(seed)
        rows = torch.randperm(len(self.pool), generator=draw)[: self.samples]
        return self.learner.build(self.input_shape, self.n_classes, draw), rows, draw

    @property
    def epochs(self) -> int:
        per_epoch = math.ceil(self.samples / self.learner.batch_size)
        return max(self.learner.epochs, math.ceil(self.learner.min_steps / per_epoch))

    @property
    def steps(self) -> int:
        return self.epochs * math.ceil(self.samples / self.learner.batch_size)

    @property
    def images(self) -> bool:
        return len(self.input_shape) == 3

    def short(self, epochs: int) -> "Case":
        """The same for a few epochs only."""
        return dataclasses.replace(self, learner=dataclasses.replace(
            self.learner, epochs=epochs, min_steps=1))

    def optimizer(self, parameters):
        """What ``Network.train`` steps with, and its cycle."""
        optimizer = adamw(parameters, self.learner.lr)
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learner.lr, total_steps=self.steps)


# 1: the usual loop.


class Rows(TorchDataset):
    """Samples one by one, as they lie."""

    def __init__(self, data: Samples):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, row):
        return self.data.x[row], self.data.y[row]


class Pictures(Rows):
    """Samples one by one as torchvision's examples read them: a PIL image through transforms."""

    transform = transforms.Compose([transforms.RandomCrop(28, padding=1),
                                    transforms.PILToTensor()])

    def __getitem__(self, row):
        return self.transform(to_pil_image(self.data.x[row])), int(self.data.y[row])


def usual(case: Case, seeds: Sequence[int], rows: type[Rows]) -> list[nn.Module]:
    """The first ``PART`` steps of a loop over a DataLoader; the models are half done."""
    models = []
    for seed in seeds:
        model, part, draw = case.start(seed)
        optimizer, cycle = case.optimizer(model.parameters())
        loader = DataLoader(rows(case.pool.take(part)), case.learner.batch_size, shuffle=True,
                            generator=draw)
        endless = itertools.chain.from_iterable(itertools.repeat(loader))
        for x, y in itertools.islice(endless, min(PART, case.steps)):
            if rows is Rows:
                x = shifted(x, case.learner.shift, draw)
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
        models.append(model)
    return models


# 2: this program's own loop.


def loop(case: Case, seeds: Sequence[int]) -> list[nn.Module]:
    """One model after another, as the learner trains them."""
    models = []
    for seed in seeds:
        model, rows, draw = case.start(seed)
        drive(case.learner.train(model, case.pool.take(rows), draw))
        models.append(model)
    return models


# 3 and 4: stacks of K models, one optimiser for all: AdamW is element by element.


def drawn(
    case: Case, parts: Sequence[Tensor], draws: Sequence[torch.Generator]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (K, B, ...) and (K, B), those of each model drawn as ``Network.train`` draws them."""
    size, shift = case.learner.batch_size, case.learner.shift
    orders = [batches(len(part), size, case.epochs, draw)
              for part, draw in zip(parts, draws, strict=True)]
    for picked in zip(*orders, strict=True):
        rows = torch.stack([part[own] for part, own in zip(parts, picked, strict=True)])
        x = case.pool.x[rows]
        if case.images:
            x = torch.stack([shifted(own, shift, draw) for own, draw in zip(x, draws, strict=True)])
        yield x, case.pool.y[rows]


Gradients = Callable[[dict[str, Tensor], dict[str, Tensor], Tensor, Tensor], None]
"""Fills ``.grad`` of stacked parameters (K, ...) from inputs (K, B, ...) and labels (K, B)."""


def stack(
    case: Case, seeds: Sequence[int], gradients_of: Callable[[nn.Module], Gradients]
) -> list[nn.Module]:
    """All models at once, each with its own batches."""
    models, parts, draws = zip(*map(case.start, seeds), strict=True)
    parameters, buffers = stack_module_state(list(models))
    parameters = {name: value.detach().contiguous().requires_grad_()
                  for name, value in parameters.items()}
    optimizer, cycle = case.optimizer(parameters.values())
    gradients = gradients_of(models[0])
    for x, y in drawn(case, parts, draws):
        optimizer.zero_grad()
        gradients(parameters, buffers, x, y)
        optimizer.step()
        cycle.step()
    for k, model in enumerate(models):
        model.load_state_dict({name: value[k].detach() for name, value in
                               (parameters | buffers).items()})
    return list(models)


class PlainCNN(SmallCNN):
    """The default network with pixels last in memory, which is all that vmap takes."""

    def embed(self, x: Tensor) -> Tensor:
        x = self.norm1(self.conv1(self.scale(x))).relu()
        x = self.norm2(self.conv2(x)).relu()
        return self.fc1(x.permute(0, 2, 3, 1).flatten(1)).relu()


def vmapped(model: nn.Module) -> Gradients:
    """torch.func: one model's gradient, vectorised over the stack."""
    if isinstance(model, SmallCNN):
        model = PlainCNN(model.channels, model.side, model.n_classes)

    def loss(parameters, buffers, x, y):
        return F.cross_entropy(functional_call(model, (parameters, buffers), x), y)

    every = vmap(grad(loss))

    def gradients(parameters, buffers, x, y):
        found = every({name: value.detach() for name, value in parameters.items()}, buffers, x, y)
        for name, value in parameters.items():
            # The fused step goes through memory in order, whatever the strides.
            value.grad = found[name].contiguous()

    return gradients


def batched(model: nn.Module) -> Gradients:
    """Batched products and grouped convolutions, written by hand."""
    forward = BY_HAND[model.name]

    def gradients(parameters, buffers, x, y):
        if "scale.shift" in buffers:
            shift, span = (value.unsqueeze(1) if value.ndim == 2 else
                           value.view(-1, *[1] * (x.ndim - 1))
                           for value in (buffers["scale.shift"], buffers["scale.span"]))
            x = (x.float() - shift) / span
        logits = forward(parameters, x)  # (K, B, n_classes)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum") / y.shape[1]
        loss.backward()

    return gradients


def dense(parameters: dict[str, Tensor], layer: str, x: Tensor) -> Tensor:
    """(K, B, d) through K fully connected layers."""
    return torch.baddbmm(parameters[f"{layer}.bias"][:, None], x,
                         parameters[f"{layer}.weight"].transpose(1, 2))


def linear_stack(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    return dense(parameters, "fc", RADIUS * F.normalize(x, dim=2))


def mlp_stack(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    x = dense(parameters, "fc1", x.flatten(2)).relu()
    return dense(parameters, "fc3", dense(parameters, "fc2", x).relu())


def cnn_stack(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    """Channels of all models side by side, a group of them a model."""
    k = len(x)
    x = x.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
    for index, padding in ((1, 2), (2, 1)):
        weight, bias = (parameters[f"conv{index}.{name}"].flatten(0, 1)
                        for name in ("weight", "bias"))
        x = F.conv2d(x, weight, bias, stride=2, padding=padding, groups=k)
        weight, bias = (parameters[f"norm{index}.{name}"].flatten(0, 1)
                        for name in ("weight", "bias"))
        x = F.group_norm(x, 4 * k, weight, bias).relu()
    x = x.unflatten(1, (k, -1)).permute(1, 0, 3, 4, 2).flatten(2)  # (K, B, pixels * channels)
    return dense(parameters, "fc2", dense(parameters, "fc1", x).relu())


BY_HAND = {"cnn": cnn_stack, "mlp": mlp_stack, "linear": linear_stack}


# 5: two processes of one thread each.


@contextlib.contextmanager
def two_processes() -> Iterator[None]:
    """``forget.core.parallel.each`` with two workers meanwhile."""
    before = os.environ.get(WORKERS)
    os.environ[WORKERS] = "2"
    try:
        yield
    finally:
        if before is None:
            del os.environ[WORKERS]
        else:
            os.environ[WORKERS] = before


def processes(
    case: Case, seeds: Sequence[int], train: Callable = loop, at_once: int = 1
) -> list[nn.Module]:
    """Jobs of ``at_once`` models each, by ``train``, shared out between two processes."""
    groups = [seeds[first : first + at_once] for first in range(0, len(seeds), at_once)]
    with two_processes():
        found = dict(each(train, [(case, group) for group in groups]))
    return [model for index in range(len(groups)) for model in found[index]]


def wake() -> None:
    """Two processes are there once this returns, and have imported what they need."""
    with two_processes():
        list(each(time.sleep, [(0.2,), (0.2,)]))


def start_processes() -> float:
    """Seconds until two fresh processes have both answered."""
    get_reusable_executor().shutdown(wait=True)
    started = time.perf_counter()
    wake()
    return time.perf_counter() - started


def stack_by_hand(case: Case, seeds: Sequence[int]) -> list[nn.Module]:
    return stack(case, seeds, batched)


# The comparison.


@dataclasses.dataclass(frozen=True)
class Way:
    """One way of training: its name, the threads of this process, models a call, part of steps."""

    title: str
    threads: int
    train: Callable[[Case, Sequence[int]], list[nn.Module]]
    models: int
    part: bool = False
    in_processes: bool = False

    def timed(self, case: Case) -> Case:
        """An epoch of images; all of it in processes, where sending a job must not weigh more than
        it does."""
        return case.short(1) if case.images and not self.in_processes else case

    def steps(self, case: Case) -> int:
        """Steps that are timed."""
        steps = self.timed(case).steps
        return min(PART, steps) if self.part else steps


def ways_for(case: Case, k: int) -> list[Way]:
    """Every way; loops train one model a turn, the others ``k``."""
    ways = [Way("1  DataLoader, row by row", threads, partial(usual, rows=Rows), 1, part=True)
            for threads in (2, 1)]
    if case.images:
        ways += [Way("1b DataLoader, PIL and transforms", 2, partial(usual, rows=Pictures), 1,
                     part=True)]
    return [
        *ways,
        *(Way("2  this program's loop", threads, loop, 1) for threads in (1, 2)),
        *(Way(f"3  vmapped stack of {k}", threads, partial(stack, gradients_of=vmapped), k)
          for threads in (1, 2)),
        *(Way(f"4  batched products, stack of {k}", threads, stack_by_hand, k)
          for threads in (1, 2)),
        *([] if case.images else
          [Way(f"4  batched products, stack of {4 * k}", 1, stack_by_hand, 4 * k)]),
        Way("5  two processes, the loop", 1, processes, k, in_processes=True),
        Way(f"6  two processes, stacks of {k // 2}", 1,
            partial(processes, train=stack_by_hand, at_once=k // 2), k, in_processes=True),
    ]


def seconds_a_model(way: Way, case: Case, first_seed: int) -> tuple[float, list[nn.Module]]:
    """Scaled to all steps, and the models."""
    torch.set_num_threads(way.threads)
    if way.in_processes:
        wake()
    started = time.perf_counter()
    models = way.train(way.timed(case), range(first_seed, first_seed + way.models))
    seconds = (time.perf_counter() - started) / way.models
    torch.set_num_threads(1)
    return seconds * case.steps / way.steps(case), models


def mean_accuracy(models: Sequence[nn.Module], test: Samples) -> float:
    return statistics.fmean(Predictions.of(model, test).accuracy for model in models)


def compare(case: Case, test: Samples, k: int, repeats: int) -> None:
    """Print the table of one case."""
    ways = ways_for(case, k)
    start_up = start_processes()
    seconds, accuracy = {way: [] for way in ways}, {}
    for repeat in range(-1, repeats):  # the first one is to warm up
        for way in ways:
            spent, models = seconds_a_model(way, case, max(repeat, 0) * k)
            if repeat >= 0:
                seconds[way].append(spent)
            elif not way.part:
                accuracy[way] = mean_accuracy(models, test)
    print(f"{case.samples:,} samples, {case.steps} steps of {case.learner.batch_size}; two "
          f"processes start in {start_up:.1f} s")
    print(f"{'':36}{'threads':>8}{'timed':>7}{'s a model':>11}{'faster':>9}{'accuracy':>10}"
          f"{MANY:>7} models, s")
    usual_seconds = [min(pair) for pair in zip(seconds[ways[0]], seconds[ways[1]], strict=True)]
    for way, found in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(usual_seconds, found, strict=True))
        middle = statistics.median(found)
        many = MANY * middle + (start_up if way.in_processes else 0)
        right = f"{accuracy[way]:.2%}" if way in accuracy else ""
        threads = "2 x 1" if way.in_processes else str(way.threads)
        print(f"{way.title:36}{threads:>8}{way.steps(case):7}{middle:11.3f}{ratio:8.2f}x"
              f"{right:>10}{many:10.0f}", flush=True)


# What the recipe could save.


class PlainNetwork(Network):
    """The learner with pixels last in memory, not channels."""

    def build(self, input_shape, n_classes, generator):
        model = super().build(input_shape, n_classes, generator)
        plain = PlainCNN(model.channels, model.side, n_classes)
        plain.load_state_dict(model.state_dict())
        return plain.to(memory_format=torch.contiguous_format)


def without_denormals_loop(case: Case, seeds: Sequence[int]) -> list[nn.Module]:
    with without_denormals():
        return loop(case, seeds)


def bfloat16_loop(case: Case, seeds: Sequence[int]) -> list[nn.Module]:
    """Convolutions and products in bfloat16, where the processor has it."""
    for kind in (torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul):
        kind.fp32_precision = "bf16"
    try:
        return loop(case, seeds)
    finally:
        for kind in (torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul):
            kind.fp32_precision = "none"


def variants_of(case: Case) -> dict[str, tuple[Case, Callable]]:
    def changed(**knobs) -> Case:
        return dataclasses.replace(case, learner=dataclasses.replace(case.learner, **knobs))

    plain = dataclasses.replace(case, learner=PlainNetwork(**case.learner.settings()))
    return {
        "as it is": (case, loop),
        "without denormals": (case, without_denormals_loop),
        "pixels last in memory": (plain, loop),
        "products in bfloat16": (case, bfloat16_loop),
        "batch 64, min_steps 1200": (changed(batch_size=64, min_steps=1200), loop),
        "batch 256, min_steps 300": (changed(batch_size=256, min_steps=300), loop),
        "batch 512, min_steps 150": (changed(batch_size=512, min_steps=150), loop),
        **{f"min_steps {least}": (changed(min_steps=least), loop) for least in (395, 316, 237)},
    }


def recipes(case: Case, test: Samples, repeats: int) -> None:
    """The loop on one thread by other recipes: seconds, and what they cost in accuracy."""
    torch.set_num_threads(1)
    variants = variants_of(case)
    seconds, models = {name: [] for name in variants}, {name: [] for name in variants}
    for repeat in range(repeats):
        for name, (changed, train) in variants.items():
            started = time.perf_counter()
            models[name] += train(changed, [repeat])
            seconds[name].append(time.perf_counter() - started)
    print(f"{'':28}{'steps':>7}{'s a model':>11}{'of the time':>13}{'accuracy':>10}{'lowest':>9}")
    for name, found in seconds.items():
        share = statistics.median(a / b for a, b in zip(found, seconds["as it is"], strict=True))
        right = [mean_accuracy([model], test) for model in models[name]]
        print(f"{name:28}{variants[name][0].steps:7}{statistics.median(found):11.2f}{share:13.2f}"
              f"{statistics.fmean(right):10.2%}{min(right):9.2%}")


# All of them.


def clocked(case: Case, seeds: Sequence[int]) -> list[tuple[nn.Module, float]]:
    """``loop``, and the seconds that the processor itself worked for each model."""
    found = []
    for seed in seeds:
        started = time.process_time()
        found += [(model, time.process_time() - started) for model in loop(case, [seed])]
    return found


def full(case: Case, test: Samples) -> None:
    """``MANY`` models in two processes, against the aim."""
    get_reusable_executor().shutdown(wait=True)
    started = time.perf_counter()
    models, worked = zip(*processes(case, range(MANY), train=clocked), strict=True)
    seconds = time.perf_counter() - started
    right = [Predictions.of(model, test).accuracy for model in models]
    met = "ok    " if seconds <= AIM else "MISSED"
    print(f"{met}  {MANY} models of {case.samples:,} samples, {case.steps} steps each, in two "
          f"processes, their start included: {seconds:.0f} s (wanted at most {AIM:.0f}), "
          f"{seconds / MANY:.2f} s a model; accuracy {statistics.fmean(right):.2%}, "
          f"{min(right):.2%} to {max(right):.2%}")
    print(f"        the processor itself: {statistics.fmean(worked):.2f} s a model, "
          f"{sum(worked):.0f} s in all, or {sum(worked) / 2:.0f} s on two cores that do nothing "
          f"else; load {os.getloadavg()[0]:.1f} at the end", flush=True)


def header(samples: int) -> str:
    level = torch.backends.cpu.get_cpu_capability()
    return (f"torch {torch.__version__}, {os.cpu_count()} cores ({level}), load "
            f"{os.getloadavg()[0]:.1f} before, pool of {2 * samples:,}")


CASES = {"cnn": "digits, the default network", "mlp": "digits, arch=mlp",
         "mlp128": "faces as 128-d vectors, arch=mlp",
         "linear": "faces as 128-d vectors, arch=linear"}


def case_of(name: str, samples: int) -> tuple[Case, Samples]:
    dataset = find_dataset("mnist" if name in ("cnn", "mlp") else "faces").load()
    case = Case.of(Network(arch=name.removesuffix("128")), dataset, samples)
    return case, dataset.test


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=[*CASES, "recipe"], default=[*CASES, "recipe"])
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    print(header(options.samples), flush=True)
    if options.full:
        full(*case_of("cnn", options.samples))
        return
    for name in options.only:
        if name == "recipe":
            print("\n== recipe: the default network on digits, one thread")
            recipes(*case_of("cnn", options.samples), options.repeats)
        else:
            print(f"\n== {name}: {CASES[name]}")
            compare(*case_of(name, options.samples), options.models, options.repeats)


if __name__ == "__main__":
    main()
