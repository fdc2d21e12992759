"""Digits of the test set on every kind of paper, read and shown to the model that ships.

    python -m bench.paper [--count 200] [--seed 0] [--kinds "box,ruled"]

Of each kind as many digits as ``--count``, each one that is read right on a plain white sheet.
*Right*: the model's answer is the digit. *Refused*: a sentence in place of an answer. *Wrong*:
another answer; *sure*: another answer, at over 90 %. Seconds are the slowest picture's,
from bytes to 28 x 28, on one thread.
"""

import argparse
import datetime
import os
import time

import numpy as np
import torch
from PIL import Image

from forget.core.errors import BadImage
from forget.data import find_dataset
from forget.data.mnist import RECIPES
from forget.io.images import digit_from_picture, read_image
from forget.learners.network import Network
from forget.unlearning.learn import start_from
from tests.papers import KINDS

SURE = 0.9
AMONG = 1000
"""So many digits of the test set, its first."""


def read_right(model, dataset) -> tuple[np.ndarray, np.ndarray]:
    """The test digits that the model reads right from a plain white sheet, and their labels."""
    digits, labels = dataset.test.x[:, 0].numpy(), dataset.test.y.numpy()
    sheets = [Image.fromarray(255 - digit).resize((280, 280), Image.Resampling.BICUBIC)
              for digit in digits[:AMONG]]
    seen = np.stack([digit_from_picture(sheet) for sheet in sheets])
    right = answers(model, seen).argmax(1) == labels[:AMONG]
    return digits[:AMONG][right], labels[:AMONG][right]


@torch.inference_mode()
def answers(model, digits: np.ndarray) -> np.ndarray:
    """Probabilities (N, 10) of digits (N, 28, 28)."""
    return model(torch.from_numpy(digits)[:, None]).softmax(1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    dataset = find_dataset("mnist").load()
    model = start_from(Network(**RECIPES["network"]), dataset, 0).model
    digits, labels = read_right(model, dataset)
    print(f"python -m bench.paper --count {options.count} --seed {options.seed}\n"
          f"{datetime.date.today()}, {os.cpu_count()} cores\n\n"
          f"{'kind':14} {'right':>6} {'refused':>8} {'wrong':>6} {'sure':>5} {'slowest':>9}")
    for name in options.kinds.split(","):
        row(name, model, digits, labels, options)


def row(name: str, model, digits, labels, options) -> None:
    rng = np.random.default_rng([options.seed, list(KINDS).index(name)])
    right = refused = wrong = sure = 0
    slowest = 0.0
    for place in rng.permutation(len(digits))[:options.count]:
        data = KINDS[name](digits[place], rng)
        began = time.perf_counter()
        try:
            digit = digit_from_picture(read_image(data))
        except BadImage:
            refused += 1
            continue
        finally:
            slowest = max(slowest, time.perf_counter() - began)
        answer = answers(model, digit[None])[0]
        if answer.argmax() == labels[place]:
            right += 1
        else:
            wrong += 1
            sure += bool(answer.max() > SURE)
    share = right / options.count
    print(f"{name:14} {share:6.1%} {refused:8} {wrong:6} {sure:5} {slowest:7.2f} s", flush=True)


if __name__ == "__main__":
    main()
