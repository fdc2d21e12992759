"""Feature rows: what a map must do, and that they are computed once, cached whole and never mixed
up."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from conftest import tiny_dataset
from hypothesis import given
from hypothesis import strategies as st

from forget.core.device import generator
from forget.core.errors import BadInput, Cancelled, DamagedFile
from forget.data import Dataset, Samples
from forget.features import CHUNK, FEATURES, Features, features_for, rows_of
from forget.features.pixels import Pixels
from forget.features.vectors import CONSTANT, Vectors
from forget.learners import LEARNERS
from forget.learners.convex import Convex
from forget.learners.network import Network
from forget.unlearning import represent as represent_module
from forget.unlearning.learn import learn, resume
from forget.unlearning.represent import represent
from forget.unlearning.watch import Watch

GLYPHS = tiny_dataset()
SHAPES = {"scattering": (1, 12, 12), "vectors": (6,), "pixels": (1, 12, 12)}
EVERY_MAP = pytest.mark.parametrize("name", list(FEATURES))


def vectors(n=90, d=6, classes=3, seed=0, name="vecs") -> Dataset:
    rng = np.random.default_rng(seed)

    def part(count):
        y = np.arange(count) % classes
        x = rng.normal(size=(count, d)) + 2 * np.eye(classes, d)[y]
        return Samples.from_arrays(x.astype(np.float32), y)

    return Dataset(name, tuple("abcde"[:classes]), part(n), part(30), part(30))


VECTORS = vectors()


@pytest.fixture(autouse=True)
def _slow_features(monkeypatch):
    """Vectors and pixels are cached here as features that take long are."""
    monkeypatch.setattr(Vectors, "quick", False)
    monkeypatch.setattr(Pixels, "quick", False)


@pytest.fixture(autouse=True)
def _nothing_in_memory(home, monkeypatch):
    """No test sees rows that another one computed, in memory or on disk."""
    monkeypatch.setattr(represent_module, "_ready", type(represent_module._ready)())


def forget_memory():
    represent_module._ready.clear()


def same(one: Dataset, other: Dataset) -> bool:
    return all(
        torch.equal(getattr(getattr(one, part), field), getattr(getattr(other, part), field))
        for part in ("train", "held_out", "test") for field in ("x", "y", "ids"))


class Counted(Vectors):
    """Vectors that count how often they are computed."""

    calls = 0

    def forward(self, x):
        type(self).calls += 1
        return super().forward(x)


@pytest.fixture
def counted(monkeypatch):
    """A learner whose features are counted."""
    monkeypatch.setattr(Counted, "calls", 0)

    @dataclasses.dataclass(frozen=True)
    class CountedConvex(Convex):
        def feature_map(self, input_shape):
            return Counted(tuple(input_shape))

    return CountedConvex()


def inputs(name, n=300, seed=0):
    shape = SHAPES.get(name, (1, 12, 12))
    draw = generator(seed)
    if len(shape) == 1:
        return torch.randn(n, *shape, generator=draw)
    return torch.randint(0, 256, (n, *shape), generator=draw, dtype=torch.uint8)


# Feature maps.


@EVERY_MAP
def test_a_map_has_a_title_a_size_and_says_what_it_learnt_from(name):
    features = features_for(name, SHAPES.get(name, (1, 12, 12)))
    assert isinstance(features, Features)
    assert features.title
    assert features.size >= 1
    assert isinstance(features.learnt_from, str)
    assert features.version >= 1
    assert list(features.parameters()) == []


@EVERY_MAP
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e-3, 1.0, 1e3, 1e15])
def test_rows_have_a_norm_of_at_most_one(name, scale):
    """Guo's bound takes a gradient of norm at most 1 for granted."""
    x = inputs(name)
    x = x * scale if x.is_floating_point() else (x.double() * min(scale, 1)).to(torch.uint8)
    rows = rows_of(features_for(name, tuple(x.shape[1:])), x)
    assert rows.dtype == torch.float32
    assert rows.shape == (300, features_for(name, tuple(x.shape[1:])).size)
    assert rows.isfinite().all()
    assert rows.double().norm(dim=1).max().item() <= 1 + 1e-6


@EVERY_MAP
@pytest.mark.parametrize("first", [1, 17, 100])
def test_a_samples_row_does_not_depend_on_what_is_before_it(name, first):
    """Else data from which the forgotten were deleted would have other rows."""
    x = inputs(name)
    features = features_for(name, tuple(x.shape[1:]))
    assert torch.equal(rows_of(features, x)[first:], rows_of(features, x[first:]))


@pytest.mark.parametrize("name", ["vectors", "pixels"])
def test_a_samples_row_is_the_same_alone(name):
    x = inputs(name, n=40)
    features = features_for(name, tuple(x.shape[1:]))
    alone = torch.cat([rows_of(features, x[i : i + 1]) for i in range(40)])
    assert torch.equal(alone, rows_of(features, x))


@EVERY_MAP
def test_a_map_is_a_constant_of_the_recipe(name):
    """No statistic of the data, no global chance, nothing kept from call to call."""
    x = inputs(name)
    shape = tuple(x.shape[1:])
    torch.manual_seed(1)
    one = features_for(name, shape)
    rows_of(one, inputs(name, seed=5))
    torch.manual_seed(2)
    torch.rand(7)
    assert torch.equal(rows_of(one, x), rows_of(features_for(name, shape), x))


@EVERY_MAP
def test_a_map_leaves_its_inputs_as_they_were(name):
    x = inputs(name)
    before = x.clone()
    rows_of(features_for(name, tuple(x.shape[1:])), x)
    assert torch.equal(x, before)


def test_vectors_are_the_direction_and_a_constant_column():
    x = inputs("vectors")
    rows = Vectors((6,))(x).double()
    assert torch.allclose(rows[:, -1], torch.tensor(CONSTANT, dtype=torch.float64))
    direction = x.double() / x.double().norm(dim=1, keepdim=True)
    torch.testing.assert_close(rows[:, :-1], direction * math.sqrt(1 - CONSTANT**2),
                               rtol=1e-6, atol=1e-7)


def test_pixels_are_scaled_as_in_the_paper():
    x = inputs("pixels")
    wanted = x.flatten(1).double() / 255 - 0.5
    wanted = wanted / wanted.norm(dim=1, keepdim=True)
    torch.testing.assert_close(Pixels((1, 12, 12))(x).double(), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("shape", "name"), [
    ((1, 28, 28), "scattering"), ((3, 32, 32), "scattering"), ((128,), "vectors"),
    ((1, 4, 4), "pixels"),
])  # fmt: skip
def test_the_features_are_chosen_by_the_inputs(shape, name):
    assert features_for("auto", shape).name == name


@pytest.mark.parametrize(("name", "shape"), [
    ("vectors", (1, 8, 8)), ("scattering", (20,)), ("scattering", (1, 4, 4)), ("pixels", (20,)),
])  # fmt: skip
def test_features_that_do_not_suit_the_inputs_are_bad_input(name, shape):
    with pytest.raises(BadInput, match="choose one of: auto"):
        features_for(name, shape)


def test_unknown_features_are_bad_input():
    with pytest.raises(BadInput, match="no feature map called"):
        features_for("wavelets", (1, 8, 8))


# Representing.


@pytest.mark.parametrize(("dataset", "settings"), [
    (VECTORS, {}), (GLYPHS, {"features": "pixels"}), (GLYPHS, {}),
], ids=["vectors", "pixels", "scattering"])  # fmt: skip
def test_a_represented_dataset_is_its_rows_and_otherwise_itself(dataset, settings):
    learner = Convex(**settings)
    done = represent(learner, dataset)
    features = learner.feature_map(dataset.input_shape)
    for part in ("train", "held_out", "test"):
        before, after = getattr(dataset, part), getattr(done, part)
        assert torch.equal(after.x, rows_of(features, before.x))
        assert torch.equal(after.y, before.y)
        assert torch.equal(after.ids, before.ids)
    assert done.through == features.name
    assert done.input_shape == dataset.input_shape
    assert done.fingerprint == dataset.fingerprint
    assert (done.name, done.classes) == (dataset.name, dataset.classes)
    assert done.feature_seconds >= 0


def test_the_dataset_itself_is_left_as_it_was():
    before = VECTORS.train.x.clone()
    represent(Convex(), VECTORS)
    assert torch.equal(VECTORS.train.x, before)
    assert VECTORS.through == ""


def test_a_represented_dataset_comes_back_as_it_is():
    done = represent(Convex(), VECTORS)
    assert represent(Convex(), done) is done
    assert represent(Convex(sigma=1.0), done) is done


@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "convex"])
def test_a_learner_of_raw_inputs_gets_the_dataset_itself(name):
    assert represent(LEARNERS[name](), VECTORS) is VECTORS


def test_rows_are_computed_once_in_a_process(counted):
    represent(counted, VECTORS)
    calls = Counted.calls
    assert calls == math.ceil(90 / CHUNK) + 2
    represent(counted, VECTORS)
    represent(counted, vectors())
    assert Counted.calls == calls


def test_rows_are_computed_once_on_a_disk_and_read_back_identical(counted):
    one = represent(counted, VECTORS)
    calls = Counted.calls
    forget_memory()
    other = represent(counted, VECTORS)
    assert Counted.calls == calls
    assert same(one, other)
    assert other.feature_seconds == one.feature_seconds
    assert other.through == one.through


def test_rows_of_other_data_are_not_used(counted):
    represent(counted, VECTORS)
    for other in (vectors(seed=1), vectors(n=91), vectors(d=7)):
        done = represent(counted, other)
        assert torch.equal(done.train.x, rows_of(Vectors(other.input_shape), other.train.x))


@pytest.mark.parametrize("part", ["train", "held_out", "test"])
def test_one_changed_number_in_any_part_is_other_data(part):
    represent(Convex(), VECTORS)
    data = getattr(VECTORS, part)
    x = data.x.clone()
    x[3, 2] += 1
    changed = dataclasses.replace(VECTORS, **{part: dataclasses.replace(data, x=x)})
    done = represent(Convex(), changed)
    assert torch.equal(getattr(done, part).x, rows_of(Vectors((6,)), x))


@pytest.mark.parametrize("part", ["train", "held_out", "test"])
def test_one_changed_label_in_any_part_is_other_data(part):
    represent(Convex(), VECTORS)
    data = getattr(VECTORS, part)
    y = data.y.clone()
    y[3] = (y[3] + 1) % 3
    changed = dataclasses.replace(VECTORS, **{part: dataclasses.replace(data, y=y)})
    assert torch.equal(getattr(represent(Convex(), changed), part).y, y)


def test_rows_of_other_features_are_not_used():
    one = represent(Convex(features="pixels"), GLYPHS)
    other = represent(Convex(features="scattering"), GLYPHS)
    assert (one.through, other.through) == ("pixels", "scattering")
    assert one.train.x.shape[1] == 144
    assert other.train.x.shape[1] == 256


def test_rows_of_another_version_of_the_features_are_not_used(counted, monkeypatch):
    represent(counted, VECTORS)
    calls = Counted.calls
    forget_memory()
    monkeypatch.setattr(Counted, "version", 2)
    represent(counted, VECTORS)
    assert Counted.calls == 2 * calls


def test_images_of_the_same_bytes_in_another_shape_are_other_data():
    """The shape and the type belong to the name on disk and in memory."""
    wide = dataclasses.replace(GLYPHS, **{
        part: dataclasses.replace(getattr(GLYPHS, part),
                                  x=getattr(GLYPHS, part).x.reshape(-1, 1, 9, 16))
        for part in ("train", "held_out", "test")})
    one, other = (represent(Convex(), data) for data in (GLYPHS, wide))
    assert not torch.equal(one.train.x, other.train.x)
    assert other.input_shape == (1, 9, 16)


def test_the_same_data_under_another_name_keep_their_own(counted):
    """A model's record says which data it is of; a file that was renamed must still resume."""
    represent(counted, VECTORS)
    other = represent(counted, dataclasses.replace(VECTORS, name="renamed"))
    assert other.name == "renamed"


def test_a_model_of_the_same_data_under_another_name_can_be_resumed():
    learn(Convex(), VECTORS, 0)
    renamed = dataclasses.replace(VECTORS, name="renamed")
    stored = learn(Convex(), renamed, 1)
    assert stored.record["dataset"] == "renamed"
    trained = represent_module.downloads() / "trained"
    (path,) = trained.glob("renamed-convex-*[0-9a-f].safetensors")
    assert resume(path, renamed).stored.record["dataset"] == "renamed"


def test_few_datasets_are_kept_in_memory():
    for seed in range(5):
        represent(Convex(), vectors(seed=seed))
    assert len(represent_module._ready) <= represent_module.KEPT


def test_the_dataset_used_last_is_kept_in_memory(counted):
    represent(counted, VECTORS)
    for seed in range(1, 4):
        represent(counted, vectors(seed=seed))
        calls = Counted.calls
        represent(counted, VECTORS)
        assert Counted.calls == calls


def test_a_stopped_computation_leaves_no_file(home):
    class Stopped(Watch):
        def cancelled(self):
            return True

    with pytest.raises(Cancelled):
        represent(Convex(), VECTORS, Stopped())
    assert list((home / "features").glob("*.safetensors")) == []
    assert represent(Convex(), VECTORS).through == "vectors"


def test_a_failed_computation_leaves_no_file(home, counted, monkeypatch):
    def fail(self, x):
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(Counted, "forward", fail)
        with pytest.raises(RuntimeError, match="a bug"):
            represent(counted, VECTORS)
    assert list((home / "features").glob("*")) == []
    assert represent(counted, VECTORS).through == "vectors"


def test_the_watch_is_told_of_each_part():
    class Kept(Watch):
        def __init__(self):
            self.phases, self.steps = [], []

        def phase(self, name):
            self.phases.append(name)

        def step(self, step, seconds):
            self.steps.append(step)

    watch = Kept()
    data = vectors(n=2 * CHUNK + 7)
    represent(Convex(), data, watch)
    assert len(watch.phases) == 3
    assert [(step.index, step.total) for step in watch.steps] == [
        (1, 3), (2, 3), (3, 3), (1, 1), (1, 1)]
    again = Kept()
    represent(Convex(), data, again)
    assert again.phases == again.steps == []


# Damage.


def cached(home):
    represent(Convex(), VECTORS)
    forget_memory()
    paths = sorted((home / "features").glob("*.safetensors"), key=lambda p: -p.stat().st_size)
    assert len(paths) == 3
    return paths[0]


def check_damaged(path):
    forget_memory()
    with pytest.raises(DamagedFile, match="is damaged: delete it") as error:
        represent(Convex(), VECTORS)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [
    lambda data: b"", lambda data: data[:-1], lambda data: data[:5], lambda data: data + b"x",
    lambda data: bytes(len(data)), lambda data: b"not safetensors" * 50,
    lambda data: data[:-4] + b"\x00\x00\xc0\x7f",
], ids=["empty", "cut", "stub", "longer", "zeros", "text", "NaN"])  # fmt: skip
def test_a_damaged_cache_is_said_in_one_sentence(home, change):
    path = cached(home)
    path.write_bytes(change(path.read_bytes()))
    check_damaged(path)


def test_a_damaged_cache_that_is_deleted_is_made_again(home):
    path = cached(home)
    data = path.read_bytes()
    path.write_bytes(data[:100])
    check_damaged(path)
    path.unlink()
    assert torch.equal(represent(Convex(), VECTORS).train.x,
                       rows_of(Vectors((6,)), VECTORS.train.x))


def test_the_cache_of_another_part_is_not_taken_for_this_one(home):
    path = cached(home)
    other = sorted((home / "features").glob("*.safetensors"), key=lambda p: p.stat().st_size)[0]
    path.write_bytes(other.read_bytes())
    check_damaged(path)


def test_every_flipped_bit_of_a_caches_header_is_said_or_harmless(home):
    """Blanks of the header apart, every byte of it means something."""
    path = cached(home)
    data = path.read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    wrong = []
    for position in range(size):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 7
        path.write_bytes(changed)
        forget_memory()
        try:
            done = represent(Convex(), VECTORS)
        except DamagedFile:
            continue
        except Exception as error:  # noqa: BLE001 - the point of the test
            wrong.append((position, type(error).__name__))
        else:
            if not math.isfinite(done.feature_seconds) or done.feature_seconds < 0:
                wrong.append((position, done.feature_seconds))
            assert torch.equal(done.train.x, rows_of(Vectors((6,)), VECTORS.train.x))
    assert wrong == []


def test_the_seconds_in_a_cache_are_under_its_seal(home):
    """They are part of the speed-up that is shown."""
    path = cached(home)
    data = path.read_bytes()
    start = data.index(b'"forget":"') + len(b'"forget":"') + 65
    end = data.index(b'"', start)
    for digit in range(start, end):
        if data[digit : digit + 1].isdigit():
            changed = bytearray(data)
            changed[digit] ^= 1
            path.write_bytes(changed)
            check_damaged(path)


@given(position=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_a_changed_byte_of_the_rows_is_said(position, mask, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(home))
        forget_memory()
        path = cached(home)
        data = bytearray(path.read_bytes())
        size = 8 + int.from_bytes(data[:8], "little")
        data[size + position % (len(data) - size)] ^= mask
        path.write_bytes(data)
        check_damaged(path)


# Raw and represented.


@pytest.mark.parametrize(("dataset", "settings"), [
    (VECTORS, {}), (VECTORS, {"loss": "ovr"}), (GLYPHS, {"features": "pixels"}), (GLYPHS, {}),
    (VECTORS, {"mode": "guo"}), (GLYPHS, {"features": "pixels", "mode": "guo"}),
], ids=["vectors", "ovr", "pixels", "scattering", "guo", "pixels, guo"])  # fmt: skip
def test_a_model_says_the_same_of_raw_inputs_and_of_their_rows(dataset, settings):
    """A head must tell the two apart: see the test on lengths."""
    learner = Convex(**settings)
    model = learn(learner, dataset, 0).model
    rows = represent(learner, dataset).test.x
    torch.testing.assert_close(model(dataset.test.x), model(rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("dataset", "settings"), [
    (VECTORS, {}), (GLYPHS, {"features": "pixels"}),
], ids=["vectors", "pixels"])  # fmt: skip
def test_a_learner_learns_the_same_from_raw_inputs_and_from_their_rows(dataset, settings):
    learner = Convex(**settings)
    weights = []
    for data in (dataset, represent(learner, dataset)):
        model = learner.build(dataset.input_shape, len(dataset.classes), generator(0))
        for _ in learner.train(model, data.train, generator(0)):
            pass
        weights.append(model.secret["weights"])
    assert (weights[0] - weights[1]).abs().max().item() <= 1e-5


@EVERY_MAP
@pytest.mark.parametrize("shape", [(6,), (256,), (257,), (1, 12, 12), (3, 8, 8)])
def test_no_map_gives_rows_that_could_be_taken_for_its_inputs(name, shape):
    """A head takes raw inputs or rows, and knows rows by their length."""
    if FEATURES[name].suits(shape):
        assert shape != (features_for(name, shape).size,)


def test_a_network_reads_raw_inputs_beside_a_convex_head():
    represent(Convex(), VECTORS)
    assert learn(Network(arch="mlp", epochs=1, min_steps=1), VECTORS, 0).model(
        VECTORS.test.x).shape == (30, 3)


def test_quickly_made_rows_are_not_written(home, monkeypatch):
    monkeypatch.setattr(Vectors, "quick", True)
    dataset = vectors()
    rows = represent(Convex(), dataset).train.x
    assert rows.shape == (len(dataset.train), Vectors(dataset.input_shape).size)
    assert not list(home.rglob("*.safetensors"))


def test_nothing_of_private_data_is_written_and_its_models_are_kept_with_it(home):
    dataset = dataclasses.replace(vectors(), private={})
    first = learn(Convex(), dataset, 0)
    assert learn(Convex(), dataset, 0).model is first.model
    assert len(dataset.private) == 1
    again = learn(Convex(), dataclasses.replace(dataset, private={}), 0)
    assert again.model is not first.model
    assert not [path for path in home.rglob("*") if path.suffix == ".safetensors"]
