"""Inputs that once went wrong: each of these ended in a traceback, a wrong answer or a silence."""

import contextlib
import gzip
import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import weights_hash
from PIL import Image

from forget.cli import main as cli
from forget.core.device import generator
from forget.core.errors import BadImage, BadInput, DamagedFile, SourceDown
from forget.data.npz import Npz
from forget.io.files import Bundle, DeclaredFile, Mirror
from forget.io.images import digit_from_picture, read_image
from forget.learners.network import Network
from forget.metrics.accuracy import Predictions
from forget.metrics.distance import kl
from forget.metrics.verdict import judge
from forget.models import build
from forget.unlearning import store
from forget.unlearning.measure import SPLITS
from forget.unlearning.store import Stored


def model_of(arch):
    return store.frozen(build(arch, (1, 12, 12), 4, generator(0)))

def record_of(arch):
    return {"learner": "network", "settings": Network(arch=arch).settings(), "seed": 0,
            "input_shape": [1, 12, 12], "n_classes": 4}

def figures(forget, test_forget, test_retain):
    return dict(zip(SPLITS, (forget, 0.9, test_forget, test_retain), strict=True))

NO_SPREAD = dict.fromkeys(SPLITS)

# test_metrics.py

@pytest.mark.parametrize(("got", "want"), [(1.0, 0.0), (0.0, 1.0), (1.0, 0.5)])
def test_a_single_sample_proves_nothing(got, want):
    assert judge(figures(got, None, .9), figures(want, None, .9), NO_SPREAD, 1, 100).good

def test_an_empty_rest_of_the_test_set_is_passed_over():
    same = figures(0.0, 0.0, None)
    assert judge(same, same, NO_SPREAD, None, 0).good

def test_kl_of_outputs_as_far_apart_as_floats_can_be_is_a_number():
    logits = torch.tensor([[3e38, -3e38]])
    far = Predictions(logits.log_softmax(1), torch.tensor([0]))
    assert kl(far, far) == 0

# test_store.py

def test_a_cnn_that_the_program_saved_is_recognised_as_a_persons_checkpoint(tmp_path):
    model = model_of("cnn")
    (tmp_path / "model.safetensors").write_bytes(store.to_bytes(Stored(model, record_of("cnn"))))
    read = store.read_foreign(tmp_path / "model.safetensors")
    assert weights_hash(read) == weights_hash(model)

def test_a_record_without_the_hash_is_found(tmp_path):
    tensors = {k: v.contiguous() for k, v in model_of("mlp").state_dict().items()}
    data = safetensors.torch.save(tensors, metadata={"forget": json.dumps(record_of("mlp"))})
    (tmp_path / "m.safetensors").write_bytes(data)
    with pytest.raises(DamagedFile):
        store.load(tmp_path / "m.safetensors")

def test_a_flipped_byte_anywhere_in_the_record_is_found(tmp_path):
    data = store.to_bytes(Stored(model_of("mlp"), record_of("mlp")))
    path = tmp_path / "m.safetensors"
    for place in range(8, 8 + int.from_bytes(data[:8], "little")):
        for bits in (0x01, 0x20, 0xFF):
            path.write_bytes(data[:place] + bytes([data[place] ^ bits]) + data[place + 1:])
            with pytest.raises(DamagedFile):
                store.load(path)

N = 10**7  # a model of these shapes would take 400 TB

BAD_STATES = {
    "scaling of another shape": lambda s: s | {"scale.shift": torch.zeros(3)},
    "sparse": lambda s: {k: v.to_sparse() for k, v in s.items()},
    "on no device": lambda s: {k: v.to("meta") for k, v in s.items()},
    "complex": lambda s: {k: v.to(torch.complex64) for k, v in s.items()},
    "truth values": lambda s: {k: v > 0 for k, v in s.items()},
    "no size": lambda s: {str(i): torch.zeros(shape) for i, shape in enumerate(
        [(0, 0), (0,), (0, 0), (0,), (4, 0), (4,)])},
    "2 kB that claim 400 TB": lambda s: {
        str(i): torch.zeros(1).expand(shape) for i, shape in enumerate(
            [(N, N), (N,), (N, N), (N,), (4, N), (4,)])},
}

@pytest.mark.parametrize("what", BAD_STATES)
def test_a_state_dict_of_odd_tensors_is_refused(tmp_path, what):
    torch.save(BAD_STATES[what](dict(model_of("mlp").state_dict())), tmp_path / "net.pt")
    with pytest.raises(DamagedFile):
        store.read_foreign(tmp_path / "net.pt")

# test_files.py: BAD_ANSWERS["damaged inside"]

def test_a_mirror_whose_packed_bytes_are_damaged_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGET_HOME", str(tmp_path))
    content = b"abcdefgh" * 4000
    packed = bytearray(gzip.compress(content))
    for place in range(12, 40):
        packed[place] ^= 0x5A

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            self.wfile.write(bytes(packed))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = DeclaredFile("a", hashlib.sha256(content).hexdigest(), len(content))
    bundle = Bundle("t", (file,), (Mirror(f"http://127.0.0.1:{server.server_port}/"),), "by hand")
    with pytest.raises(SourceDown):
        bundle.ensure()
    server.shutdown()
    server.server_close()

# test_images.py

@pytest.mark.parametrize("size", [(2000, 1), (1, 2000), (2000, 2), (5000, 3)])
def test_a_very_long_picture_gives_a_digit_or_is_refused(size):
    image = Image.new("L", size, 255)
    image.paste(0, (size[0] // 3, size[1] // 3, size[0] // 2 + 1, size[1] // 2 + 1))
    with contextlib.suppress(BadImage):
        assert digit_from_picture(image).shape == (28, 28)

@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_damaged_exif_is_refused_or_passed_over(form):
    # A rotation, and a second entry whose type says rational where its value is none.
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x011A] = 72.0
    out = io.BytesIO()
    Image.new("RGB", (40, 40), "white").save(out, form, exif=exif)
    data = out.getvalue()
    for place in range(len(data)):
        for value in range(13):
            try:
                read_image(data[:place] + bytes([value]) + data[place + 1:])
            except BadImage:
                continue

# test_npz.py and test_cli.py

@pytest.fixture
def saved(tmp_path):
    def save(how=np.savez, **changes):
        draw = np.random.default_rng(0)
        usual = {"x_train": draw.integers(0, 256, (40, 9, 9)).astype(np.uint8),
                 "y_train": np.arange(40) % 3,
                 "x_test": draw.integers(0, 256, (30, 9, 9)).astype(np.uint8),
                 "y_test": np.arange(30) % 3}
        how(tmp_path / "own.npz", **(usual | changes))
        return tmp_path / "own.npz"

    return save

def rgb():
    return {"x_train": np.zeros((40, 9, 9, 3), np.uint8),
            "x_test": np.zeros((30, 9, 9, 3), np.uint8)}

def test_colour_images_have_a_fingerprint(saved):
    assert len(Npz(str(saved(**rgb()))).load().fingerprint) == 64

def test_colour_images_can_be_forgotten(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("FORGET_HOME", str(tmp_path / "home"))
    assert cli.main(["run", str(saved(**rgb())), "--forget", "class:0", "--method", "retrain",
                     "--set", "learner.min_steps=5", "--set", "learner.epochs=1"]) == 0

@pytest.mark.parametrize("method", ["retrain", "gradient_ascent", "finetune"])
def test_a_test_set_of_the_forgotten_class_alone_works(saved, tmp_path, monkeypatch, method):
    monkeypatch.setenv("FORGET_HOME", str(tmp_path / "home"))
    path = saved(y_test=np.zeros(30, int))
    assert cli.main(["run", str(path), "--forget", "class:0", "--method", method,
                     "--set", "learner.min_steps=5", "--set", "learner.epochs=1"]) in (0, 2)

@pytest.mark.parametrize("shape", [(0, 0), (0,), (5, 0)])
def test_inputs_without_a_size_are_refused(saved, shape):
    kind = float if len(shape) == 1 else np.uint8
    path = saved(x_train=np.zeros((40, *shape), kind), x_test=np.zeros((30, *shape), kind))
    with pytest.raises(BadInput):
        Npz(str(path)).load()

def test_values_that_only_fit_float64_are_refused(saved):
    path = saved(x_train=np.full((40, 3), 1e39), x_test=np.zeros((30, 3)))
    with pytest.raises(BadInput):
        Npz(str(path)).load()

def refused(path):
    with pytest.raises(BadInput):
        Npz(str(path)).load()

def test_members_that_are_no_arrays_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", "hello")
    refused(tmp_path / "own.npz")

def test_a_header_that_claims_a_petabyte_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", header.getvalue())
    refused(tmp_path / "own.npz")

@pytest.mark.parametrize(("how", "step"), [
    (np.savez, 71), (np.savez_compressed, 11),
    pytest.param(np.savez, 7, marks=pytest.mark.exhaustive),
    pytest.param(np.savez_compressed, 1, marks=pytest.mark.exhaustive)])
def test_a_flipped_byte_anywhere_is_refused_or_does_no_harm(saved, how, step):
    path = saved(how)
    data = path.read_bytes()
    for place in range(0, len(data), step):
        for bits in (0x01, 0xFF):
            path.write_bytes(data[:place] + bytes([data[place] ^ bits]) + data[place + 1:])
            try:
                Npz(str(path)).load()
            except BadInput:
                continue
