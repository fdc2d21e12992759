"""Made-up people: clouds of rows around a centre each, as an embedder would give them."""

import hashlib

import numpy as np
import torch

from forget.data import Dataset, Samples


def people(
    count: int = 6, photos: int = 10, spread: float = 0.6, *, size: int = 16, held_out: int = 1,
    seed: int = 0, private: dict | None = None, embedder: str = "dlib_resnet",
) -> Dataset:
    """So many people p0, p1, …, half of whose photos are tested on and ``held_out`` held out.

    ``spread``: of a person's rows around their centre, where centres are about 1.4 apart.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, size))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    test = photos // 2
    sizes = {"train": photos - test - held_out, "held_out": held_out, "test": test}
    parts = {}
    for part, each in sizes.items():
        y = np.repeat(np.arange(count), each)
        x = centres[y] + spread * rng.normal(size=(len(y), size)) / np.sqrt(size)
        parts[part] = Samples(
            torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y), torch.arange(len(y)),
            torch.from_numpy(rng.integers(0, 256, (len(y), 3, 8, 8)).astype(np.uint8)),
            tuple(hashlib.sha256(f"{seed}/{part}/{row}".encode()).hexdigest()
                  for row in range(len(y))))
    return Dataset("crowd", tuple(f"p{one}" for one in range(count)), **parts,
                   embedder=embedder, private=private)
