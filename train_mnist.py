"""Train the digits' original model: ``python train_mnist.py [--seed N] [--set KNOB=VALUE]``.

The same as ``python -m forget train mnist``; ``--ship`` alone trains the default original anew and
puts it among the checkpoints that come with the program, with a manifest entry on how it was made.
"""

import sys

from forget.cli.main import main
from forget.core.errors import BadInput, ForgetError
from forget.data import find_dataset
from forget.data.mnist import RECIPES
from forget.io.paths import downloads
from forget.learners.network import Network
from forget.unlearning import store
from forget.unlearning.learn import home_of, start_from
from forget.unlearning.request import NOTHING

SEED = 0
COMMAND = "python train_mnist.py --ship"


def ship() -> None:
    """Train the default original and put it among the shipped files with its manifest entry."""
    learner, dataset = Network(**RECIPES["network"]), find_dataset("mnist").load()
    home = home_of(learner, dataset, SEED, NOTHING)
    shipped = downloads() / home.name
    if home == shipped:
        raise BadInput(f"{shipped} is there already; delete it first to make it anew")
    stored = start_from(learner, dataset, SEED).stored
    store.save(stored, shipped)
    home.unlink()
    about = ("seed", "settings", "test_accuracy", "seconds", "device", "threads", "versions")
    store.write_manifest(home.name, {"command": COMMAND, "dataset": "mnist"}
                         | {name: stored.record[name] for name in about})
    print(f"shipped: {shipped}")


if __name__ == "__main__":
    if sys.argv[1:] != ["--ship"]:
        sys.exit(main(["train", "mnist", *sys.argv[1:]]))
    try:
        ship()
    except ForgetError as error:
        print(f"forget: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
