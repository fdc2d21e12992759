"""A person's own data in one ``.npz`` file: ``x_train, y_train, x_test, y_test``.

Images are (N, H, W) or (N, H, W, C) uint8, feature vectors (N, d) float; labels are whole numbers,
(N,) or (N, 1), in any of numpy's kinds of numbers.
The ids of the training set are the rows of ``x_train``, all of them. Stop rules need a part that
neither trains nor is tested on: a fifth of the test rows, drawn per class by a fixed seed, is held
out, and the rest is the test set.
"""

import dataclasses
import zipfile
from pathlib import Path

import numpy as np

from forget.core import memory
from forget.core.errors import BadInput
from forget.core.words import counted
from forget.data import DATASETS, Dataset, DatasetSource, Samples
from forget.io.files import silent
from forget.io.paths import given_file
from forget.io.zips import MAX_DIRECTORY, directory_size

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
HELD_OUT_SHARE = 5
MAX_BYTES = 4 << 30
SMALL, MAX_RATIO = 64 << 20, 20
"""Over so many bytes arrays may be so many times larger than their file."""

COPIES = 2.5
"""Of the arrays, while they are read and turned into what learners take."""

MAX_CLASSES = 10_000
KINDS = {"U": "text", "S": "text", "T": "text", "c": "complex numbers",
         "M": "dates", "m": "spans of time", "V": "records of several fields"}
"""What an array holds that is no label, by numpy's letter for its kind."""


@DATASETS.register
@dataclasses.dataclass(frozen=True)
class Npz(DatasetSource):
    """Arrays that a person saved with ``numpy.savez``."""

    path: str

    name = "npz"
    title = "Your own arrays (.npz)"
    order = 90
    takes_path = True

    @classmethod
    def accepts(cls, spec: str) -> bool:
        return spec.lower().endswith(".npz") and given_file(spec)

    def load(self, progress=silent) -> Dataset:
        arrays = _read(Path(self.path))
        for part in ("train", "test"):
            _check_part(part, arrays[f"x_{part}"], arrays[f"y_{part}"])
        if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
            raise BadInput("x_train and x_test must have the same shape after the first axis")
        labels, y_train = _numbered("y_train", arrays["y_train"])
        if not 2 <= len(labels) <= MAX_CLASSES:
            raise BadInput(f"y_train has {counted(len(labels), 'class', 'classes')}; 2 to "
                           f"{MAX_CLASSES} are needed")
        tested, y_test = _numbered("y_test", arrays["y_test"])
        place = {label: index for index, label in enumerate(labels)}
        unseen = [label for label in tested if label not in place]
        if unseen:
            raise BadInput(f"y_test has class {unseen[0]}, which y_train does not have")
        y_test = np.array([place[label] for label in tested])[y_test]
        x_train, x_test = _inputs(arrays["x_train"]), _inputs(arrays["x_test"])
        held = _held_out_rows(y_test)
        return Dataset(
            name=Path(self.path).stem,
            classes=tuple(str(label) for label in labels),
            train=Samples.from_arrays(x_train, y_train),
            held_out=Samples.from_arrays(x_test[held], y_test[held]),
            test=Samples.from_arrays(x_test[~held], y_test[~held]),
        )

    def describe(self) -> dict:
        dataset = self.load()
        parts = ("train", "held_out", "test")
        return {
            "name": self.path,
            "title": self.title,
            "classes": list(dataset.classes),
            "sizes": {part: len(getattr(dataset, part)) for part in parts},
            "sources": [self.path],
            "present": True,
        }


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        _check_archive(path)
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file]
            if missing:
                raise BadInput(f"{path} lacks {', '.join(missing)}; save it with numpy.savez("
                               "path, x_train=…, y_train=…, x_test=…, y_test=…)")
            with memory.told():
                arrays = {name: _array(file, name) for name in ARRAYS}
        wrong = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
        if wrong:
            raise BadInput(f"{path}: {wrong[0]} is not an array; save it again with numpy.savez")
        return arrays
    except BadInput:
        raise
    except Exception as error:
        shown = " ".join(str(error).split())[:200]
        raise BadInput(f"{path} cannot be read as an .npz of plain arrays ({shown}); "
                       "save it again with numpy.savez") from error


def _array(file: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        return file[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise BadInput(f"{name} holds objects of Python, which are never read; save plain arrays "
                       f"of numbers, for example {name}.astype(int)") from error


def _check_archive(path: Path) -> None:
    """Refuse what would take far more memory than its file says."""
    with path.open("rb") as file:
        if directory_size(file) > MAX_DIRECTORY:
            raise BadInput(f"{path} lists too many arrays; save it again with the four alone")
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    unpacked, packed = (sum(getattr(entry, size) for entry in entries)
                        for size in ("file_size", "compress_size"))
    if unpacked > MAX_BYTES:
        raise BadInput(f"{path} unpacks to {unpacked >> 30} GiB; at most 4 GiB are read")
    memory.check(COPIES * unpacked, f"reading {path}",
                 "save fewer rows, or smaller numbers such as float32")
    if unpacked > max(SMALL, MAX_RATIO * min(packed, path.stat().st_size)):
        raise BadInput(f"{path} is packed over {MAX_RATIO} times smaller than it is; save it with "
                       "numpy.savez, not numpy.savez_compressed")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
           for entry in entries):  # the others unpack without a limit
        raise BadInput(f"{path} is packed in another way than numpy does; save it again with "
                       "numpy.savez")


def _check_part(part: str, x: np.ndarray, y: np.ndarray) -> None:
    images = x.dtype == np.uint8 and x.ndim in (3, 4)
    vectors = x.ndim == 2 and np.issubdtype(x.dtype, np.floating)
    if not images and not vectors:
        raise BadInput(f"x_{part} is {x.dtype} of shape {x.shape}; give images (N, H, W) or "
                       "(N, H, W, C) as uint8, or feature vectors (N, d) as floats")
    if x.ndim == 4 and x.shape[3] not in (1, 3):
        raise BadInput(f"x_{part} has {x.shape[3]} channels; images have 1 or 3, as the last axis")
    if len(x) < 10:
        raise BadInput(f"x_{part} has {counted(len(x), 'row')}; at least 10 are needed")
    if not x.size:
        raise BadInput(f"x_{part} has the shape {x.shape}, which holds no values at all")
    _check_labels(part, y, len(x))
    if vectors and not max(x.max(), -x.min()) <= np.finfo(np.float32).max:
        raise BadInput(f"x_{part} holds NaN or infinite values, or some too large for "
                       "float32; remove those rows")


def _check_labels(part: str, y: np.ndarray, rows: int) -> None:
    """Refuse what is not one whole number a row, whichever way it was saved."""
    wanted = f"y_{part} must be {rows} whole numbers, one for each row of x_{part}"
    if y.dtype.kind not in "iubf":
        raise BadInput(f"{wanted}, and it holds {KINDS.get(y.dtype.kind, y.dtype)}; number the "
                       "classes, for example with numpy.unique(y, return_inverse=True)")
    if y.ndim == 2 and y.shape[0] == rows and y.shape[1] > 1:
        raise BadInput(f"{wanted}, and it has {y.shape[1]} numbers a row; where these are one-hot, "
                       f"save y_{part}.argmax(axis=1) instead")
    if y.size != rows or rows not in y.shape:
        raise BadInput(f"{wanted}, and it has the shape {y.shape}")
    if y.dtype.kind == "f":
        whole = np.isfinite(y) & (np.trunc(y) == y)
        if not whole.all():
            raise BadInput(f"{wanted}, and {y[~whole][0]} is none")
        exact = 2 ** (np.finfo(y.dtype).nmant + 1)  # from here on neighbours look alike
        if max(y.max(), -y.min()) >= exact:
            raise BadInput(f"{wanted}, and it holds {y.dtype} of {exact} or more, which may have "
                           "been rounded; save it as integers")


def _numbered(name: str, y: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The labels that occur, ascending, and for each row (N,) the place of its own among them.

    Labels are Python's integers: numpy compares int64 with uint64 as floats, and takes neighbours
    above 2^53 for one.
    """
    found, places = np.unique(y.reshape(-1), return_inverse=True)
    if len(found) > MAX_CLASSES:
        raise BadInput(f"{name} has {len(found)} classes; 2 to {MAX_CLASSES} are needed")
    return [int(label) for label in found], places


def _inputs(x: np.ndarray) -> np.ndarray:
    """Images as (N, C, H, W) uint8, vectors as (N, d) float32."""
    if x.ndim == 2:
        return x.astype(np.float32)
    return np.moveaxis(x, 3, 1) if x.ndim == 4 else x[:, None]


def _held_out_rows(y: np.ndarray) -> np.ndarray:
    """Mask of the held-out test rows: of each class a fifth, rounded, never all of it."""
    draw = np.random.default_rng(0)
    held = np.zeros(len(y), bool)
    for label in np.unique(y):
        rows = draw.permutation(np.flatnonzero(y == label))
        held[rows[: min(max(1, round(len(rows) / HELD_OUT_SHARE)), len(rows) - 1)]] = True
    return held
