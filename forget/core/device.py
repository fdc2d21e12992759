"""Where and how numbers are made: the device, the thread count and every seed."""

import contextlib
import hashlib
import os
import platform
from collections.abc import Iterator
from importlib import metadata

import numpy as np
import torch

from forget.core.errors import BadInput

THREADS = 1
"""Threads of every training, unlearning and measurement, in the app and on the command line alike.

Another count sums in another order and gives other weights. One leaves the other cores to the
server, and leaves a second free where there are only two (both would train 1.5x faster).
"""


def use_fixed_threads() -> None:
    """Set the thread count for work in the calling thread."""
    if torch.get_num_threads() != THREADS:
        torch.set_num_threads(THREADS)


@contextlib.contextmanager
def without_denormals() -> Iterator[None]:
    """Numbers below 1e-38 are zero meanwhile: a sure network's gradients and moments fade to them,
    and a processor needs twenty times as long with each."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def pick_device() -> torch.device:
    """CUDA or MPS where present, else the CPU; ``FORGET_DEVICE`` names one to use instead."""
    asked = os.environ.get("FORGET_DEVICE")
    if asked:
        try:
            return torch.zeros(1, device=asked).device
        except (RuntimeError, AssertionError) as error:
            raise BadInput(f"FORGET_DEVICE is '{asked}', which this machine does not have; "
                           "set it to cpu or unset it") from error
    if torch.cuda.is_available():
        # Otherwise cuDNN may pick another algorithm, and other weights, for the same seed.
        torch.backends.cudnn.deterministic = True
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def derive(seed: int, *words: str | int) -> int:
    """A seed for one purpose, drawn from a run's seed; other words give an unrelated one.

    >>> derive(0, "reference", 0) == derive(0, "reference", 0)
    True
    """
    text = "/".join(str(word) for word in (seed, *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def generator(seed: int) -> torch.Generator:
    """A seeded generator on the CPU, so that a draw is the same on every device."""
    return torch.Generator().manual_seed(seed)


def versions() -> dict[str, str]:
    """What the numbers were made with.

    torchvision is asked for by name: importing it takes as long as importing PyTorch.
    """
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": metadata.version("torchvision"),
        "numpy": np.__version__,
    }
