"""Train the model of faces: ``python train_face.py [--data FOLDER] [--learner L] [--seed N] …``.

The same as ``python -m forget train faces``, or with ``--data`` the same for a folder with one
sub-folder of photos a person. What is wrong with the photos is said before anything is learnt.
"""

import argparse
import sys

from forget.cli.main import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Train the model of faces.", allow_abbrev=False,
        epilog="Further options, as --learner, --seed and --set: python -m forget train --help")
    parser.add_argument("--data", default="faces", metavar="FOLDER",
                        help="a folder with one sub-folder of photos a person, or a dataset's "
                        "name; default: faces, the AT&T faces")
    options, rest = parser.parse_known_args()
    sys.exit(main(["train", options.data, *rest]))
