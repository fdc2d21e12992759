"""Train the digits' original model: ``python train_mnist.py [--seed N] [--set KNOB=VALUE]``.

The same as ``python -m forget train mnist``; ``--ship`` alone trains the default original anew and
puts it among the checkpoints that come with the program, with a manifest entry on how it was made.
"""

import sys

from forget import store
from forget.cli import main
from forget.data import find_dataset
from forget.learn import home_of, start_from
from forget.learners.network import Network
from forget.paths import downloads
from forget.request import NOTHING

SEED = 0
COMMAND = "python train_mnist.py --ship"


def ship() -> None:
    """Move the default original among the shipped files and write its manifest entry."""
    learner, dataset = Network(), find_dataset("mnist").load()
    stored = start_from(learner, dataset, SEED).stored
    trained = home_of(learner, dataset, SEED, NOTHING)
    store.save(stored, downloads() / trained.name)
    trained.unlink()
    about = ("seed", "settings", "test_accuracy", "seconds", "threads", "versions")
    store.write_manifest(trained.name, {"command": COMMAND, "dataset": "mnist"}
                         | {name: stored.record[name] for name in about})


def forget_shipped() -> None:
    """Take the default original away, so that it is trained anew."""
    home_of(Network(), find_dataset("mnist").load(), SEED, NOTHING).unlink(missing_ok=True)


if __name__ == "__main__":
    arguments = [word for word in sys.argv[1:] if word != "--ship"]
    if len(arguments) == len(sys.argv) - 1:
        sys.exit(main(["train", "mnist", *arguments]))
    forget_shipped()
    status = main(["train", "mnist"])
    if status == 0:
        ship()
    sys.exit(status)
