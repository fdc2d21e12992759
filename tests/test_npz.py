"""A person's own arrays: what goes in comes out, and what cannot be used is refused in one line."""

import io
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forget.core.errors import BadInput
from forget.data import find_dataset, npz
from forget.data.npz import Npz

GREY, RGB, VECTORS = (9, 7), (8, 8, 3), (5,)


def arrays(shape=GREY, n_train=40, n_test=30, labels=(0, 1, 2), seed=0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)

    def inputs(n):
        if len(shape) == 1:
            return draw.normal(size=(n, *shape))
        return draw.integers(0, 256, (n, *shape)).astype(np.uint8)

    def classes(n):
        return draw.permutation(np.resize(labels, n))

    return {"x_train": inputs(n_train), "y_train": classes(n_train),
            "x_test": inputs(n_test), "y_test": classes(n_test)}  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    """Save arrays, or the usual ones with some replaced, and give the path."""
    def save(shape=GREY, compressed=False, without=(), **changes) -> str:
        kept = {name: a for name, a in (arrays(shape) | changes).items() if name not in without}
        path = tmp_path / "own.npz"
        (np.savez_compressed if compressed else np.savez)(path, **kept)
        return str(path)

    return save


def refused(path: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        Npz(path).load()
    assert "\n" not in str(caught.value)


def inputs_of(x: np.ndarray) -> np.ndarray:
    """As a network takes them."""
    if x.ndim == 2:
        return x.astype(np.float32)
    return x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)


# What goes in comes out.


@pytest.mark.parametrize("shape", [GREY, RGB, (8, 8, 1), VECTORS], ids=str)
@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_come_back(saved, shape, compressed):
    given_arrays = arrays(shape)
    dataset = Npz(saved(shape, compressed)).load()
    assert np.array_equal(dataset.train.x.numpy(), inputs_of(given_arrays["x_train"]))
    assert np.array_equal(dataset.train.y.numpy(), given_arrays["y_train"])
    assert dataset.train.x.dtype == (torch.float32 if len(shape) == 1 else torch.uint8)
    assert dataset.train.y.dtype == torch.int64
    assert dataset.classes == ("0", "1", "2")
    assert dataset.name == "own"


@pytest.mark.parametrize(("shape", "expected"), [
    (GREY, (1, 9, 7)), (RGB, (3, 8, 8)), ((8, 8, 1), (1, 8, 8)), (VECTORS, (5,)),
])  # fmt: skip
def test_the_shape_of_an_input_has_its_channels_first(saved, shape, expected):
    assert Npz(saved(shape)).load().input_shape == expected


def test_training_ids_are_all_rows_of_x_train(saved):
    dataset = Npz(saved()).load()
    assert dataset.train.ids.tolist() == list(range(40))


@pytest.mark.parametrize("labels", [(3, 7), (-2, 0, 5), (10, 9, 8), (0, 2**40)])
def test_labels_are_numbered_in_order_and_keep_their_names(saved, labels):
    given_arrays = arrays(labels=labels)
    dataset = Npz(saved(**given_arrays)).load()
    assert dataset.classes == tuple(str(label) for label in sorted(labels))
    names = [dataset.classes[index] for index in dataset.train.y.tolist()]
    assert names == [str(label) for label in given_arrays["y_train"]]
    test_names = sorted(dataset.classes[i] for part in (dataset.test, dataset.held_out)
                        for i in part.y.tolist())  # fmt: skip
    assert test_names == sorted(str(label) for label in given_arrays["y_test"])


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u4", "i8", "u8", ">i4"])
def test_labels_may_be_integers_of_any_kind(saved, dtype):
    given_arrays = arrays()
    dataset = Npz(saved(y_train=given_arrays["y_train"].astype(dtype),
                        y_test=given_arrays["y_test"].astype(dtype))).load()  # fmt: skip
    assert dataset.train.y.tolist() == given_arrays["y_train"].tolist()
    assert dataset.classes == ("0", "1", "2")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
def test_vectors_may_be_floats_of_any_kind(saved, dtype):
    given_arrays = {name: a.astype(dtype) if name[0] == "x" else a
                    for name, a in arrays(VECTORS).items()}  # fmt: skip
    dataset = Npz(saved(VECTORS, **given_arrays)).load()
    assert np.array_equal(dataset.train.x.numpy(), given_arrays["x_train"].astype(np.float32))


def test_arrays_in_fortran_order_come_back(saved):
    given_arrays = {name: np.asfortranarray(a) for name, a in arrays().items()}
    dataset = Npz(saved(**given_arrays)).load()
    assert np.array_equal(dataset.train.x.numpy(), inputs_of(given_arrays["x_train"]))


def test_other_arrays_in_the_file_are_left_alone(saved):
    path = saved(notes=np.array(["text"]), more=np.array([{"a": 1}], dtype=object))
    assert len(Npz(path).load().train) == 40


def test_the_data_may_be_changed_without_changing_the_file(saved):
    path = saved()
    Npz(path).load().train.x.zero_()
    assert Npz(path).load().train.x.any()


def test_the_fingerprint_is_a_function_of_what_trains(saved):
    one = Npz(saved()).load().fingerprint
    assert Npz(saved()).load().fingerprint == one
    changed = arrays()
    changed["x_train"][0, 0, 0] ^= 1
    assert Npz(saved(**changed)).load().fingerprint != one
    relabelled = arrays()
    relabelled["y_train"][0] = (relabelled["y_train"][0] + 1) % 3
    assert Npz(saved(**relabelled)).load().fingerprint != one


@pytest.mark.parametrize("shape", [GREY, (8, 8, 1), VECTORS], ids=str)
def test_every_part_has_a_fingerprint(saved, shape):
    assert len(Npz(saved(shape)).load().fingerprint) == 64


def test_describe_counts_the_parts(saved):
    path = saved()
    shown = Npz(path).describe()
    assert shown["classes"] == ["0", "1", "2"]
    assert shown["sizes"] == {"train": 40, "held_out": 6, "test": 24}
    assert shown["name"] == path
    assert shown["present"] is True


# The held-out part.


def parts_of(y_test: np.ndarray, tmp_path: Path):
    """Held-out and test rows, told apart by the first pixel pair of each row."""
    n = len(y_test)
    x = np.zeros((n, 4, 4), np.uint8)
    x[:, 0, 0], x[:, 0, 1] = np.arange(n) // 256, np.arange(n) % 256
    labels = np.unique(y_test)
    labels = np.append(labels, labels.max() + 1) if len(labels) < 2 else labels
    y_train = np.resize(labels, max(10, len(labels)))
    np.savez(tmp_path / "part.npz", x_train=np.zeros((len(y_train), 4, 4), np.uint8),
             y_train=y_train, x_test=x, y_test=y_test)  # fmt: skip
    dataset = Npz(str(tmp_path / "part.npz")).load()

    def rows(part):
        return (part.x[:, 0, 0, 0].long() * 256 + part.x[:, 0, 0, 1]).tolist()

    return dataset, rows(dataset.held_out), rows(dataset.test)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=10, max_size=120))
def test_held_out_is_a_fifth_of_each_class_and_nothing_is_lost(y):
    y = np.array(y)
    with tempfile.TemporaryDirectory() as folder:
        dataset, held, test = parts_of(y, Path(folder))
    assert sorted(held + test) == list(range(len(y)))
    names = np.array([int(name) for name in dataset.classes])
    assert names[dataset.held_out.y.numpy()].tolist() == y[held].tolist()
    assert names[dataset.test.y.numpy()].tolist() == y[test].tolist()
    for label in np.unique(y):
        count, got = int((y == label).sum()), int((y[held] == label).sum())
        assert abs(got - count / 5) <= (0.5 if count >= 3 else 1)
        assert got < count


def test_held_out_is_a_fifth_where_it_divides(tmp_path):
    y = np.repeat([0, 1, 2], [50, 20, 5])
    dataset, _, _ = parts_of(y, tmp_path)
    assert torch.bincount(dataset.held_out.y).tolist() == [10, 4, 1]
    assert torch.bincount(dataset.test.y).tolist() == [40, 16, 4]


def test_a_class_with_one_test_row_is_tested_and_not_held_out(tmp_path):
    dataset, _, _ = parts_of(np.array([0] * 10 + [1]), tmp_path)
    assert (dataset.held_out.y == 1).sum() == 0
    assert (dataset.test.y == 1).sum() == 1


def test_the_same_rows_are_held_out_every_time(tmp_path):
    y = np.repeat([0, 1], 30)
    assert parts_of(y, tmp_path)[1] == parts_of(y, tmp_path)[1]


def test_held_out_rows_are_drawn_and_not_the_first_ones(tmp_path):
    _, held, _ = parts_of(np.repeat([0, 1], 100), tmp_path)
    assert max(held) > 150
    assert held != list(range(len(held)))


# What cannot be used.


@pytest.mark.parametrize("name", npz.ARRAYS)
def test_a_missing_array_is_named(saved, name):
    refused(saved(without=[name]), rf"lacks {name}; save it with numpy\.savez")


def test_all_missing_arrays_are_named(saved):
    refused(saved(without=npz.ARRAYS, other=np.zeros(3)), "lacks x_train, y_train, x_test, y_test")


class Payload:
    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("name", npz.ARRAYS)
def test_an_array_of_objects_is_refused_and_runs_no_code(saved, tmp_path, name):
    target = tmp_path / "ran"
    path = saved(**{name: np.array([Payload(target)] * 40, dtype=object)})
    refused(path, "plain arrays")
    assert not target.exists()
    np.load(path, allow_pickle=True)[name]
    assert target.exists()


@pytest.mark.parametrize("name", ["x_train", "x_test"])
@pytest.mark.parametrize("x", [
    np.zeros((40, 9, 7)), np.zeros((40, 9, 7), np.int64), np.zeros((40, 9, 7), bool),
    np.zeros((40, 9, 7), np.float32), np.zeros(40), np.zeros(40, np.uint8),
    np.zeros((40, 5), np.uint8), np.zeros((40, 5), np.int64), np.zeros((40, 5), complex),
    np.zeros((40, 2, 2, 1, 1), np.uint8), np.array(3.0), np.array(["a"] * 40),
    np.zeros((40, 3), "M8[s]"),
], ids=lambda x: f"{x.dtype} {x.shape}")  # fmt: skip
def test_inputs_of_a_wrong_kind_are_told_the_right_ones(saved, name, x):
    refused(saved(**{name: x}), rf"{name} is .* as uint8, or feature vectors")


@pytest.mark.parametrize("channels", [0, 2, 4, 28])
def test_a_wrong_number_of_channels_is_refused(saved, channels):
    refused(saved(x_train=np.zeros((40, 9, 7, channels), np.uint8)), f"{channels} channels")


@pytest.mark.parametrize("name", ["y_train", "y_test"])
@pytest.mark.parametrize(("y", "says"), [
    (np.full(40, 0.5), "and 0.5 is none"), (np.full(40, np.nan), "and nan is none"),
    (np.full(40, np.inf), "and inf is none"), (np.full(40, 2.0**53), "float64 of 9007199254740992"),
    (np.full(40, 2048, np.float16), "float16 of 2048 or more"),
    (np.full(40, -(2.0**24), np.float32), "float32 of 16777216 or more"),
    (np.array(["1"] * 40), "it holds text; number"), (np.array([b"1"] * 40), "it holds text"),
    (np.zeros(40, complex), "complex numbers"), (np.zeros(40, "M8[s]"), "it holds dates"),
    (np.zeros(40, "i4,i4"), "records of several fields"),
    (np.eye(40, 3, dtype=int), r"3 numbers a row; .* y_\w+\.argmax"),
    (np.eye(40, 40, dtype=bool), r"40 numbers a row; .* y_\w+\.argmax"),
    (np.array(0), r"the shape \(\)"), (np.zeros(39, int), r"the shape \(39,\)"),
    (np.zeros(41, int), r"the shape \(41,\)"), (np.zeros(0, int), r"the shape \(0,\)"),
    (np.zeros((8, 5), int), r"the shape \(8, 5\)"), (np.zeros((40, 0), int), "the shape"),
], ids=str)  # fmt: skip
def test_labels_of_a_wrong_kind_or_length_are_refused_with_what_they_are(saved, name, y, says):
    x = {"x_test": np.zeros((40, 9, 7), np.uint8), "y_test": np.arange(40) % 3}
    refused(saved(**(x | {name: y})), f"{name} must be 40 whole numbers, .*{says}")


@pytest.mark.parametrize(("train", "test"), [
    ("i8", "u8"), ("u8", "i8"), ("i1", "u8"), ("u1", "i8"), (">u8", "<i8"), ("f8", "u8"),
    ("u8", "f4"), ("f2", "i1"), ("g", "u8"),
])  # fmt: skip
def test_labels_of_two_kinds_are_compared_as_the_numbers_they_are(saved, train, test):
    given_arrays = arrays()
    dataset = Npz(saved(y_train=given_arrays["y_train"].astype(train),
                        y_test=given_arrays["y_test"].astype(test))).load()  # fmt: skip
    assert dataset.train.y.tolist() == given_arrays["y_train"].tolist()
    assert _test_labels(dataset) == sorted(given_arrays["y_test"].tolist())


def _test_labels(dataset) -> list[int]:
    return sorted(int(dataset.classes[i]) for part in (dataset.test, dataset.held_out)
                  for i in part.y.tolist())  # fmt: skip


def test_neighbouring_labels_that_a_float_cannot_tell_apart_stay_apart(saved):
    """numpy compares int64 with uint64 as float64: a third of the test rows got the right class."""
    labels = [2**62, 2**62 + 1, 2**62 + 2]
    given_arrays = arrays(labels=(0, 1, 2))
    dataset = Npz(saved(y_train=(given_arrays["y_train"] + 2**62).astype("i8"),
                        y_test=given_arrays["y_test"].astype("u8") + np.uint64(2**62))).load()
    assert dataset.classes == tuple(map(str, labels))
    assert _test_labels(dataset) == sorted((given_arrays["y_test"] + 2**62).tolist())


def test_labels_beyond_the_signed_integers_keep_their_names(saved):
    given_arrays = arrays(labels=(0, 1, 2))
    big = {name: given_arrays[name].astype("u8") + np.uint64(2**64 - 3)
           for name in ("y_train", "y_test")}
    dataset = Npz(saved(**big)).load()
    assert dataset.classes == tuple(str(2**64 - 3 + label) for label in range(3))
    assert dataset.train.y.tolist() == given_arrays["y_train"].tolist()


def test_a_negative_label_is_no_huge_unsigned_one(saved):
    y = arrays()["y_train"].astype("i8") - 1
    refused(saved(y_train=y, y_test=arrays()["y_test"].astype("u8") + np.uint64(2**64 - 3)),
            f"y_test has class {2**64 - 3}, which y_train does not have")


@pytest.mark.parametrize("shape", [(-1, 1), (1, -1), (-1, 1, 1)])
def test_labels_in_one_column_are_one_a_row(saved, shape):
    given_arrays = arrays()
    dataset = Npz(saved(y_train=given_arrays["y_train"].reshape(shape),
                        y_test=given_arrays["y_test"].reshape(shape))).load()  # fmt: skip
    assert dataset.train.y.tolist() == given_arrays["y_train"].tolist()
    assert _test_labels(dataset) == sorted(given_arrays["y_test"].tolist())


def test_truth_values_are_the_labels_0_and_1(saved):
    given_arrays = arrays(labels=(0, 1))
    dataset = Npz(saved(y_train=given_arrays["y_train"].astype(bool),
                        y_test=given_arrays["y_test"])).load()  # fmt: skip
    assert dataset.classes == ("0", "1")
    assert dataset.train.y.tolist() == given_arrays["y_train"].tolist()


@pytest.mark.parametrize("name", ["own.NPZ", "OWN.Npz"])
def test_the_ending_may_be_in_capitals(saved, tmp_path, name):
    Path(saved()).rename(tmp_path / name)
    assert find_dataset(str(tmp_path / name)).load().classes == ("0", "1", "2")


@pytest.mark.parametrize(("n_train", "n_test"), [(9, 30), (40, 9), (0, 30), (40, 0)])
def test_too_few_rows_are_refused(saved, n_train, n_test):
    refused(saved(**arrays(n_train=n_train, n_test=n_test)), "at least 10 are needed")


def test_ten_rows_are_enough(saved):
    dataset = Npz(saved(**arrays(n_train=10, n_test=10, labels=(0, 1)))).load()
    assert [len(p) for p in (dataset.train, dataset.held_out, dataset.test)] == [10, 2, 8]


@pytest.mark.parametrize("name", ["x_train", "x_test"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(saved, name, value):
    x = arrays(VECTORS)[name]
    x[3, 2] = value
    refused(saved(VECTORS, **{name: x}), f"{name} holds NaN or infinite")


def test_one_class_is_refused(saved):
    refused(saved(**arrays(labels=(4,))), "1 class; 2 to")


def test_too_many_classes_are_refused(saved, monkeypatch):
    monkeypatch.setattr(npz, "MAX_CLASSES", 2)
    refused(saved(), "3 classes; 2 to 2")


def test_a_test_label_that_training_does_not_have_is_named(saved):
    y = arrays()["y_test"]
    y[5] = 77
    refused(saved(y_test=y), "y_test has class 77")


def test_a_class_without_test_rows_is_allowed(saved):
    dataset = Npz(saved(y_test=np.arange(30) % 2)).load()
    assert dataset.classes == ("0", "1", "2")
    assert set(dataset.test.y.tolist()) == {0, 1}


def test_training_and_test_inputs_of_different_shapes_are_refused(saved):
    refused(saved(x_test=np.zeros((30, 9, 8), np.uint8)), "the same shape")
    refused(saved(x_test=np.zeros((30, 5))), "the same shape")


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04", b"\0" * 500, b"\x93NUMPY\x01\0"])
def test_what_is_no_npz_is_refused(tmp_path, data):
    (tmp_path / "own.npz").write_bytes(data)
    refused(str(tmp_path / "own.npz"), "cannot be read as an .npz")


def test_a_single_array_is_no_npz(tmp_path):
    out = io.BytesIO()
    np.save(out, np.zeros(5))
    (tmp_path / "own.npz").write_bytes(out.getvalue())
    refused(str(tmp_path / "own.npz"), "cannot be read as an .npz")


def test_a_pickle_is_no_npz(tmp_path):
    np.array([1], dtype=object).dump(tmp_path / "own.npz")
    refused(str(tmp_path / "own.npz"), "cannot be read as an .npz")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_truncated_file_is_refused(saved, share, compressed):
    path = Path(saved(compressed=compressed))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(str(path), "cannot be read as an .npz")


@pytest.mark.parametrize("name", npz.ARRAYS)
def test_a_flipped_byte_in_an_array_is_found(saved, name):
    path = Path(saved())
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo(f"{name}.npy").header_offset + 400
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    refused(str(path), "cannot be read as an .npz")


def test_a_file_that_unpacks_to_too_much_is_refused_unread(saved, monkeypatch):
    monkeypatch.setattr(npz, "MAX_BYTES", 1000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("read"))
    refused(saved(compressed=True), "at most 4 GiB")


def test_a_missing_file_is_refused(tmp_path):
    refused(str(tmp_path / "none.npz"), "cannot be read")


# Finding it by its path.


def test_a_path_is_found_as_a_dataset(saved):
    path = saved()
    source = find_dataset(path)
    assert isinstance(source, Npz)
    assert source.path == path


@pytest.mark.parametrize("spec", ["none.npz", "npz", "x.npy", "", "mnist.npz", "\0.npz"])
def test_what_is_no_dataset_is_told_what_there_is(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"mnist.*\.npz file that exists"):
        find_dataset(spec)


def test_a_folder_is_no_npz(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    assert not Npz.accepts(str(tmp_path / "folder.npz"))


def test_a_registered_name_is_found():
    assert find_dataset("mnist").name == "mnist"
