"""Embedding 64 face crops: this program's dlib network against the dlib package, in one run.

    python -m bench.embed [--rounds N]

Both read the same file of weights; the crops are noise, which takes as long as faces.  This
program's rows are those that it caches and learns from (chunks of one size), on all cores and on
one.  How much of the processor is used: multiply-adds of all convolutions per second, against a
float32 matrix product of 4096 x 4096, timed in turn with it.  The dlib package gets the crops one
by one and as one list.  Every figure is the fastest of its rounds: what else runs on the machine
only ever adds time, to two threads far more than to one.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forget.core.device import THREADS, generator
from forget.faces.align import SIDE
from forget.faces.embedders import CHUNK, rows_of
from forget.faces.embedders.dlib_resnet import WEIGHTS, DlibResNet

CROPS = 64
MATRIX = 4096
DLIB_ROUNDS = 3


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def taps(side: int, layer: nn.Conv2d, axis: int) -> int:
    """Products along one axis of an image of ``side`` that do not fall on the padding."""
    ones = torch.ones(1, 1, layer.kernel_size[axis])
    inside = F.conv1d(torch.ones(1, 1, side), ones, None, layer.stride[axis], layer.padding[axis])
    return int(inside.sum())


def multiply_adds(network: nn.Module, crop: Tensor) -> tuple[int, int]:
    """Of all convolutions for one crop: as they are defined, and without products with padding."""
    total, inside = 0, 0

    def count(layer, inputs, output):
        nonlocal total, inside
        filters, height, width = output.shape[1:]
        total += filters * height * width * layer.weight[0].numel()
        across = taps(inputs[0].shape[2], layer, 0) * taps(inputs[0].shape[3], layer, 1)
        inside += filters * layer.in_channels * across

    hooks = [layer.register_forward_hook(count) for layer in network.modules()
             if isinstance(layer, nn.Conv2d)]
    network(crop[None])
    for hook in hooks:
        hook.remove()
    return total, inside


def ours(network: DlibResNet, crops: Tensor, threads: int, rounds: int) -> tuple[float, float]:
    """Seconds for all crops, and multiply-adds per second of the matrix product."""
    torch.set_num_threads(threads)
    matrix = torch.randn(MATRIX, MATRIX, generator=generator(1))
    rows_of(network, crops)
    times, rates = [], []
    for _ in range(rounds):
        rates.append(MATRIX**3 / seconds_of(lambda: matrix @ matrix))
        times.append(seconds_of(lambda: rows_of(network, crops)))
    return min(times), max(rates)


def theirs(path: str, crops: Tensor, rows: Tensor) -> tuple[float, float, float] | None:
    """The dlib package: seconds one by one, seconds as a list, the largest difference in a row."""
    try:
        import dlib
    except ImportError:
        return None
    pictures = [np.ascontiguousarray(crop.permute(1, 2, 0).numpy()) for crop in crops]
    network = dlib.face_recognition_model_v1(path)
    network.compute_face_descriptor(pictures[0])
    one_by_one = min(
        seconds_of(lambda: [network.compute_face_descriptor(p) for p in pictures])
        for _ in range(DLIB_ROUNDS))
    as_list = min(
        seconds_of(lambda: network.compute_face_descriptor(pictures)) for _ in range(DLIB_ROUNDS))
    found = np.array([np.array(v) for v in network.compute_face_descriptor(pictures)])
    return one_by_one, as_list, float(np.abs(rows.numpy() - found).max())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    cores = os.cpu_count()
    path = str(DlibResNet.files.ensure()[WEIGHTS.name])
    torch.set_num_threads(THREADS)
    loading = min(seconds_of(DlibResNet.load) for _ in range(5))
    network = DlibResNet.load()
    crops = torch.randint(0, 256, (CROPS, 3, SIDE, SIDE), dtype=torch.uint8,
                          generator=generator(0))
    total, inside = multiply_adds(network, crops[0])

    print(f"{CROPS} crops in chunks of {CHUNK}; "
          f"loading the network {loading:.2f} s on one thread")
    print(f"{total:,} multiply-adds a crop, {inside:,} without those on padding\n")
    print(f"{'':28}{'threads':>8}{'s':>8}{'ms/crop':>9}{'GMA/s':>8}{'product':>9}{'share':>7}"
          f"{'no padding':>12}")
    fastest = None
    for threads in sorted({cores, THREADS}, reverse=True):
        seconds, product = ours(network, crops, threads, options.rounds)
        fastest = fastest or seconds
        rate = total * CROPS / seconds
        print(f"{'forget':28}{threads:8}{seconds:8.3f}{seconds / CROPS * 1e3:9.2f}{rate / 1e9:8.0f}"
              f"{product / 1e9:9.0f}{rate / product:7.0%}{rate * inside / total / product:12.0%}",
              flush=True)

    torch.set_num_threads(cores)
    compared = theirs(path, crops, rows_of(network, crops))
    if compared is None:
        print("dlib not installed: pip install dlib-bin")
        return
    *times, difference = compared
    for label, seconds in zip(("one by one", "as one list"), times, strict=True):
        print(f"{'dlib package, ' + label:28}{'':8}{seconds:8.3f}{seconds / CROPS * 1e3:9.2f}"
              f"    forget on {cores} threads is {seconds / fastest:.0f}x faster")
    print(f"\nlargest difference from the dlib package in any number of any row: {difference:.1e}")


if __name__ == "__main__":
    main()
