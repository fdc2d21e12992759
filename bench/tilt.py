"""What tilted training gives: the default network with and without it, on the test set and on
copies of it turned, thickened, thinned and made small.

    python -m bench.tilt [--seeds 2]

Processor seconds of one thread. The share below 70 % is of answers that a person would call shaky.
"""

import argparse
import os
import time

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from forget.core.device import generator, use_fixed_threads
from forget.core.steps import drive
from forget.data import Samples, find_dataset
from forget.data.mnist import RECIPES
from forget.io.paper import as_mnist
from forget.learners.network import Network
from forget.metrics.accuracy import Predictions

COUNT = 600
ENLARGED = 140
SHAKY = 0.7


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    use_fixed_threads()
    print(f"python -m bench.tilt --seeds {options.seeds}\n{os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}; right in %, and answers below {SHAKY:.0%}\n")
    digits = find_dataset("mnist").load()
    parts = {"test": digits.test} | changed(digits.test)
    print(f"{'tilt':>4} {'seed':>4} {'seconds':>7}  " + "  ".join(f"{name:>9}" for name in parts))
    for seed in range(options.seeds):
        for settings in ({}, RECIPES["network"]):
            began = time.process_time()
            model = trained(Network(**settings), digits.train, seed)
            seconds = time.process_time() - began
            print(f"{settings.get('tilt', 0):4} {seed:4} {seconds:7.1f}  "
                  + "  ".join(f"{shown(model, part):>9}" for part in parts.values()), flush=True)


def trained(learner: Network, train: Samples, seed: int):
    draw = generator(seed)
    model = learner.build(train.x.shape[1:], 10, draw)
    drive(learner.train(model, train, draw))
    return model


def shown(model, part: Samples) -> str:
    said = Predictions.of(model, part)
    shaky = (said.log_p.amax(1).exp() < SHAKY).double().mean().item()
    return f"{100 * said.accuracy:.1f}/{100 * shaky:.1f}"


def changed(test: Samples) -> dict[str, Samples]:
    """Copies of some test digits, each changed in one way and set again as MNIST's were."""
    rows = np.random.default_rng(0).permutation(len(test))[:COUNT]
    some = test.take(torch.from_numpy(rows))

    def copies(change) -> Samples:
        x = np.stack([change(picture) for picture in some.x[:, 0].numpy()])
        return Samples.from_arrays(x[:, None], some.y.numpy())

    return {
        **{f"{angle:+} deg": copies(lambda x, angle=angle: again(
            lambda big: np.asarray(Image.fromarray(big).rotate(angle, Image.Resampling.BICUBIC)),
            x)) for angle in (20, -20, 30, -30)},
        "thick": copies(lambda x: again(lambda big: ndimage.grey_dilation(big, (7, 7)), x)),
        "thin": copies(lambda x: again(_thinner, x)),
        "small": copies(_small),
    }


def again(change, picture: np.ndarray) -> np.ndarray:
    big = change(np.asarray(Image.fromarray(picture).resize((ENLARGED, ENLARGED),
                                                            Image.Resampling.BICUBIC)))
    rows, columns = (np.flatnonzero((big > 100).any(axis)) for axis in (1, 0))
    return as_mnist(big[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].astype(np.float32))


def _thinner(big: np.ndarray) -> np.ndarray:
    thin = ndimage.grey_erosion(big, (5, 5))
    return thin if thin.max() > 150 else big


def _small(picture: np.ndarray) -> np.ndarray:
    return np.pad(np.asarray(Image.fromarray(picture).resize((22, 22), Image.Resampling.BOX)), 3)


if __name__ == "__main__":
    main()
