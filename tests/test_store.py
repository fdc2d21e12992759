"""Models on disk: whole or not at all, checked when they are read, and nothing unpickled freely."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import tiny_dataset, weights_hash
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from forget.core.device import generator
from forget.core.errors import DamagedFile
from forget.learners.network import Network
from forget.models import build, logits_of
from forget.models.cnn import SmallCNN
from forget.models.mlp import MLP
from forget.unlearning import store
from forget.unlearning.store import Stored

TINY = tiny_dataset()
SHAPE = TINY.input_shape


def stored_model(arch="cnn", seed=0, **record) -> Stored:
    model = store.frozen(build(arch, SHAPE, 4, generator(seed)))
    learner = Network(arch=arch)
    return Stored(model, {"learner": "network", "settings": learner.settings(), "seed": seed,
                          "input_shape": list(SHAPE), "n_classes": 4} | record)  # fmt: skip


SAVED = store.to_bytes(stored_model("mlp"))
WEIGHTS_START = 8 + int.from_bytes(SAVED[:8], "little")


def same_tensors(one: dict, other: dict) -> bool:
    return list(one) == list(other) and all(
        a.dtype == b.dtype and torch.equal(a, b)
        for a, b in zip(one.values(), other.values(), strict=True)
    )


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.safetensors"


def refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match="damaged") as caught:
        store.load(path)
    assert path.name in str(caught.value)


# What the program saves itself.


@pytest.mark.parametrize("arch", ["cnn", "mlp"])
def test_a_model_comes_back_bit_for_bit(arch, path):
    stored = stored_model(arch)
    store.save(stored, path)
    loaded = store.load(path)
    assert same_tensors(loaded.model.state_dict(), stored.model.state_dict())
    assert torch.equal(logits_of(loaded.model, TINY.test.x), logits_of(stored.model, TINY.test.x))
    assert weights_hash(loaded.model) == weights_hash(stored.model)


def test_a_channels_last_model_comes_back_in_its_memory_format(path):
    stored = stored_model("cnn")
    weight = stored.model.conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    store.save(stored, path)
    loaded = store.load(path).model.conv2.weight
    assert loaded.stride() == weight.stride()
    assert torch.equal(loaded, weight)


def test_the_memory_format_does_not_change_the_hash():
    one, other = stored_model("cnn").model, stored_model("cnn").model
    other.to(memory_format=torch.contiguous_format)
    assert other.conv2.weight.is_contiguous()
    assert weights_hash(one) == weights_hash(other)


def test_extreme_values_come_back_bit_for_bit(path):
    stored = stored_model("mlp")
    values = torch.tensor([0.0, -0.0, 1e-45, -1e-45, 3.4028235e38, 1.1754944e-38, 1 / 3, -1.0])
    with torch.no_grad():
        stored.model.fc3.weight.view(-1)[:8] = values
    store.save(stored, path)
    bits = store.load(path).model.fc3.weight.view(-1)[:8].view(torch.int32)
    assert torch.equal(bits, values.view(torch.int32))


def test_the_record_comes_back(path):
    store.save(stored_model(seconds=1.25, versions={"torch": "x"}, note="Ümläut"), path)
    record = store.load(path).record
    assert record["seconds"] == 1.25
    assert record["versions"] == {"torch": "x"}
    assert record["note"] == "Ümläut"


def test_a_loaded_model_is_in_eval_mode_and_without_gradients(path):
    store.save(stored_model(), path)
    model = store.load(path).model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_saving_a_loaded_model_gives_the_same_bytes(path):
    store.save(stored_model(), path)
    assert store.to_bytes(store.load(path)) == path.read_bytes()


def test_saving_leaves_one_file_that_others_may_read(path):
    store.save(stored_model(), path)
    store.save(stored_model(seed=1), path)
    assert os.listdir(path.parent) == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_hash_sees_names_shapes_and_bytes():
    class One(nn.Module):
        def __init__(self, name, value):
            super().__init__()
            self.register_buffer(name, value)

    ones = torch.ones(2, 3)
    hashes = {weights_hash(One(*what)) for what in [
        ("a", ones), ("b", ones), ("a", ones.reshape(3, 2)), ("a", ones * 2),
        ("a", ones.double()),
    ]}  # fmt: skip
    assert len(hashes) == 5
    assert weights_hash(One("a", ones.clone())) in hashes


@pytest.mark.parametrize("arch", ["cnn", "mlp"])
def test_the_hash_changes_with_any_one_weight(arch):
    model = stored_model(arch).model
    before = weights_hash(model)
    for value in model.state_dict().values():
        first = (0,) * value.ndim
        kept = value[first].item()
        value[first] = kept + 1
        assert weights_hash(model) != before
        value[first] = kept
    assert weights_hash(model) == before


# Damage.


@pytest.fixture(scope="module")
def scratch_file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("flips") / "model.safetensors"


@given(st.integers(WEIGHTS_START, len(SAVED) - 1), st.integers(1, 255))
@example(WEIGHTS_START, 1)
@example(len(SAVED) - 1, 0x80)
def test_a_flipped_byte_anywhere_in_the_weights_is_found(scratch_file, place, bits):
    damaged = bytearray(SAVED)
    damaged[place] ^= bits
    refused(scratch_file, bytes(damaged))


@given(st.integers(0, len(SAVED) - 1))
@example(0)
@example(8)
@example(WEIGHTS_START)
@example(len(SAVED) - 1)
def test_a_file_that_ends_anywhere_before_its_end_is_found(scratch_file, length):
    refused(scratch_file, SAVED[:length])


@pytest.mark.parametrize("data", [
    b"", b"\0", b"\0" * 8, b"\xff" * 64, b"not a model", b"{}", SAVED + b"\0", SAVED * 2,
    SAVED[8:], b"\x08" + b"\0" * 7 + b"{}      ", pickle.dumps({"a": 1}),
])  # fmt: skip
def test_what_is_no_model_is_refused(path, data):
    refused(path, data)


def test_a_missing_file_is_refused(path):
    with pytest.raises(DamagedFile):
        store.load(path)


@pytest.mark.parametrize("place", range(8))
def test_a_wrong_header_length_is_found(path, place):
    damaged = bytearray(SAVED)
    damaged[place] ^= 0x41
    refused(path, bytes(damaged))


def weights_of(stored) -> dict[str, torch.Tensor]:
    return {name: value.contiguous() for name, value in stored.model.state_dict().items()}


def with_record(record) -> bytes:
    """The file as it would be with another record, under a seal that fits: one as JSON data, as
    text, or none at all."""
    tensors = weights_of(stored_model("mlp"))
    if record is None:
        return safetensors.torch.save(tensors)
    text = record if isinstance(record, str) else json.dumps(record)
    return safetensors.torch.save(tensors, store.header(text, store.seal(text, tensors)))


def good_record(**changes) -> dict:
    return stored_model("mlp").record | changes


def test_the_helper_of_the_next_tests_makes_a_file_that_loads(path):
    path.write_bytes(with_record(good_record()))
    assert store.load(path).record == good_record()


@pytest.mark.parametrize("record", [
    None, "", "{", "[]", "null", '"text"', "{}",
    good_record(learner="no such learner"), good_record(learner=None), good_record(learner=[]),
    good_record(settings={"no_such_knob": 1}), good_record(settings=None),
    good_record(settings={"epochs": -1}), good_record(settings={"arch": "cnn"}),
    good_record(n_classes=5), good_record(n_classes="4"), good_record(n_classes=-1),
    good_record(input_shape=[1, 10, 10]), good_record(input_shape=[]),
    good_record(input_shape=None), good_record(input_shape=["a", 2, 3]),
    good_record(input_shape=[-1, 12, 12]),
    {key: value for key, value in good_record().items() if key != "learner"},
    {key: value for key, value in good_record().items() if key != "input_shape"},
])  # fmt: skip
def test_a_tampered_record_is_found(path, record):
    refused(path, with_record(record))


def test_weights_of_another_model_under_an_old_record_are_found(path):
    text = json.dumps(good_record())
    header = store.header(text, store.seal(text, weights_of(stored_model("mlp"))))
    other = weights_of(stored_model("mlp", seed=1))
    refused(path, safetensors.torch.save(other, metadata=header))


@pytest.mark.parametrize("name", ["seed", "seconds", "test_accuracy"])
def test_a_record_that_was_changed_under_its_seal_is_found(path, name):
    tensors = weights_of(stored_model("mlp"))
    seal = store.seal(json.dumps(good_record()), tensors)
    header = store.header(json.dumps(good_record(**{name: 12345})), seal)
    refused(path, safetensors.torch.save(tensors, metadata=header))


def test_missing_and_additional_tensors_are_found(path):
    tensors = weights_of(stored_model("mlp"))
    text = json.dumps(good_record())
    header = store.header(text, store.seal(text, tensors))
    refused(path, safetensors.torch.save(tensors | {"more": torch.zeros(1)}, metadata=header))
    del tensors["fc2.bias"]
    refused(path, safetensors.torch.save(tensors, metadata=header))


# The manifest.


@pytest.fixture
def shipped(home) -> Path:
    """A model among the shipped ones, named in the manifest."""
    path = home / "tiny-network-abc.safetensors"
    store.save(stored_model("mlp"), path)
    store.write_manifest(path.name, {"test_accuracy": 0.5})
    return path


def test_without_a_manifest_nothing_is_shipped(home):
    assert store.manifest() == {}


def test_the_manifest_names_the_file_with_its_hash(shipped):
    entry = store.manifest()[shipped.name]
    assert entry["test_accuracy"] == 0.5
    assert len(entry["sha256"]) == 64
    assert store.load(shipped).record["seed"] == 0


def test_a_second_entry_leaves_the_first(shipped, home):
    other = home / "tiny-network-def.safetensors"
    store.save(stored_model("mlp", seed=1), other)
    store.write_manifest(other.name, {})
    assert set(store.manifest()) == {shipped.name, other.name}


def test_a_shipped_file_that_was_replaced_by_another_good_one_is_found(shipped):
    store.save(stored_model("mlp", seed=1), shipped)
    with pytest.raises(DamagedFile, match="not the file that its manifest names"):
        store.load(shipped)


def test_a_file_of_the_same_name_elsewhere_is_not_the_manifests(shipped, tmp_path):
    elsewhere = tmp_path / shipped.name
    store.save(stored_model("mlp", seed=1), elsewhere)
    assert store.load(elsewhere).record["seed"] == 1


@pytest.mark.parametrize("text", [
    "", "{", "[]", "null", "{}", '{"files": []}', '{"files": 3}', '{"files": {"a": 3}}',
    '{"files": {"a": null}}', '{"files": {"a": "text"}}', "\0",
])  # fmt: skip
def test_a_damaged_manifest_is_said_to_be_damaged(shipped, home, text):
    (home / "manifest.json").write_text(text)
    with pytest.raises(DamagedFile, match=r"manifest\.json is damaged"):
        store.manifest()
    with pytest.raises(DamagedFile, match="manifest"):
        store.load(shipped)


def test_a_manifest_that_is_no_text_is_said_to_be_damaged(home):
    home.mkdir(exist_ok=True)
    (home / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DamagedFile):
        store.manifest()


def test_a_shipped_model_is_found_before_a_trained_one(shipped, home):
    assert store.path_of("tiny", "network", "abc") == shipped
    assert store.path_of("tiny", "network", "def").parent == home / "trained"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "a\\b", "ä b", "\0", "", "x" * 50])
def test_a_datasets_name_never_leads_out_of_the_folder(home, name):
    assert store.path_of(name, "network", "abc").parent == home / "trained"


def test_keys_are_short_and_depend_on_everything():
    keys = {store.key_of(seed=s, settings={"lr": lr}) for s in (0, 1) for lr in (0.1, 0.2)}
    assert len(keys) == 4
    assert all(len(key) == 16 for key in keys)


def test_a_key_does_not_depend_on_the_order_of_its_parts():
    assert store.key_of(a=1, b=2) == store.key_of(b=2, a=1)


# Checkpoints that others saved.


def foreign_mlp(seed=0) -> nn.Sequential:
    """The architecture of the first version, with names of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64),
                             nn.ReLU(), nn.Linear(64, 10))  # fmt: skip


def agrees(model: nn.Module, foreign: nn.Module) -> bool:
    x = torch.randint(0, 256, (50, 1, 28, 28), generator=generator(0), dtype=torch.uint8)
    return torch.allclose(model(x), foreign((x.float() - 127.5) / 255), atol=1e-5)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_state_dict_with_foreign_names_is_recognised(tmp_path, suffix):
    foreign = foreign_mlp()
    torch.save(foreign.state_dict(), tmp_path / f"net{suffix}")
    model = store.read_foreign(tmp_path / f"net{suffix}")
    assert isinstance(model, MLP)
    assert model.input_shape == (1, 28, 28)
    assert model.n_classes == 10
    assert agrees(model, foreign)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_state_dict_inside_a_training_checkpoint_is_recognised(tmp_path):
    foreign = foreign_mlp()
    torch.save({"state_dict": foreign.state_dict(), "epoch": 3}, tmp_path / "net.pt")
    assert agrees(store.read_foreign(tmp_path / "net.pt"), foreign)


def test_a_state_dict_in_the_old_file_format_is_recognised(tmp_path):
    foreign = foreign_mlp()
    torch.save(foreign.state_dict(), tmp_path / "net.pt", _use_new_zipfile_serialization=False)
    assert agrees(store.read_foreign(tmp_path / "net.pt"), foreign)


@pytest.mark.parametrize("names", [
    ["fc1", "fc2", "fc3"], ["layer.2", "layer.10", "layer.11"], ["a", "b", "c"],
    ["net.0", "net.2", "net.4"], ["1", "3", "5"], ["l9", "l10", "l11"],
])  # fmt: skip
def test_safetensors_whose_alphabetical_order_mixes_layers_are_put_in_order(tmp_path, names):
    foreign = foreign_mlp()
    layers = [layer for layer in foreign if isinstance(layer, nn.Linear)]
    tensors = {}
    for name, layer in zip(names, layers, strict=True):
        tensors[f"{name}.bias"] = layer.bias.detach()
        tensors[f"{name}.weight"] = layer.weight.detach()
    safetensors.torch.save_file(tensors, tmp_path / "net.safetensors")
    assert agrees(store.read_foreign(tmp_path / "net.safetensors"), foreign)


def by_names(foreign: nn.Sequential, names: list[str]) -> dict[str, torch.Tensor]:
    layers = [layer for layer in foreign if isinstance(layer, nn.Linear)]
    return {f"{name}.{what}": getattr(layer, what).detach()
            for name, layer in zip(names, layers, strict=True) for what in ("weight", "bias")}


def saved(tensors: dict[str, torch.Tensor], file) -> None:
    (torch.save if file.suffix == ".pt" else safetensors.torch.save_file)(tensors, file)


BOTH = pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
WRAPPED = pytest.mark.parametrize("pattern", [
    "module.{}", "_orig_mod.{}", "module._orig_mod.{}", "_orig_mod.module.{}",
    "module.module.{}", "_orig_mod.module._orig_mod.module.{}", "model.{}", "module.net.body.{}",
    "{}._orig_mod", "module.{}.module",
])  # fmt: skip


@BOTH
@WRAPPED
@pytest.mark.parametrize("names", [["fc1", "fc2", "fc3"], ["0", "2", "4"]], ids=str)
def test_a_wrappers_part_of_the_names_is_passed_over(tmp_path, suffix, pattern, names):
    foreign = foreign_mlp()
    saved(by_names(foreign, [pattern.format(name) for name in names]), tmp_path / f"net{suffix}")
    assert agrees(store.read_foreign(tmp_path / f"net{suffix}"), foreign)


@BOTH
@WRAPPED
def test_a_wrapped_network_of_this_program_keeps_its_scaling(tmp_path, suffix, pattern):
    model = SmallCNN(1, 28, 10)
    model.scale.shift.fill_(3.0)
    tensors = {}
    for name, value in model.state_dict().items():
        layer, _, what = name.rpartition(".")
        tensors[f"{pattern.format(layer)}.{what}"] = value.contiguous()
    saved(tensors, tmp_path / f"net{suffix}")
    assert same_tensors(store.read_foreign(tmp_path / f"net{suffix}").state_dict(),
                        model.state_dict())


def test_what_the_wrappers_themselves_save_is_recognised(tmp_path):
    foreign = foreign_mlp()
    for wrapped in (nn.DataParallel(foreign), torch.compile(foreign),
                    torch.compile(nn.DataParallel(foreign))):
        torch.save(wrapped.state_dict(), tmp_path / "net.pt")
        assert agrees(store.read_foreign(tmp_path / "net.pt"), foreign)


def test_a_layer_with_and_without_a_wrapper_is_refused(tmp_path):
    tensors = by_names(foreign_mlp(), ["fc1", "fc2", "fc3"])
    torch.save(tensors | {"module.fc1.weight": torch.zeros(64, 784)}, tmp_path / "net.pt")
    with pytest.raises(DamagedFile, match="a layer twice"):
        store.read_foreign(tmp_path / "net.pt")


@BOTH
@pytest.mark.parametrize("names", [
    ["input", "hidden", "output"], ["stem", "body", "head"], ["z", "y", "x"], ["fc3", "fc2", "fc1"],
    ["dense_9", "dense", "dense_1"], ["fc1", "fc10", "fc2"],
], ids=" ".join)  # fmt: skip
@pytest.mark.parametrize("shuffled", [False, True])
def test_layers_are_found_by_their_shapes_whatever_their_names(tmp_path, suffix, names, shuffled):
    foreign = foreign_mlp()
    tensors = by_names(foreign, names)
    saved(dict(sorted(tensors.items())) if shuffled else tensors, tmp_path / f"net{suffix}")
    assert agrees(store.read_foreign(tmp_path / f"net{suffix}"), foreign)


def square() -> nn.Sequential:
    """A network of which two layers have one shape: 64-64-64-10."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                         nn.Linear(64, 10))


@BOTH
@pytest.mark.parametrize("names", [
    ["fc2", "fc10", "fc11"], ["hidden9", "hidden10", "out"], ["0", "2", "4"],
    ["fc1", "fc2", "fc3"], ["module.layers.9", "module.layers.10", "module.layers.11"],
], ids=" ".join)  # fmt: skip
def test_numbers_in_the_names_order_layers_of_one_shape(tmp_path, suffix, names):
    foreign = square()
    saved(by_names(foreign, names), tmp_path / f"net{suffix}")
    model = store.read_foreign(tmp_path / f"net{suffix}")
    assert same_tensors(dict(zip("abcdef", model.parameters(), strict=True)),
                        dict(zip("abcdef", foreign.parameters(), strict=True)))


def test_the_order_of_a_pt_file_orders_layers_of_one_shape(tmp_path):
    foreign = square()
    torch.save(by_names(foreign, ["stem", "body", "head"]), tmp_path / "net.pt")
    first = next(store.read_foreign(tmp_path / "net.pt").parameters())
    assert torch.equal(first, foreign[0].weight)


@pytest.mark.parametrize(("suffix", "names"), [
    (".safetensors", ["stem", "body", "head"]), (".safetensors", ["input", "hidden", "out"]),
    (".pt", ["layer2", "layer1", "out"]),
])  # fmt: skip
def test_layers_of_one_shape_whose_order_nothing_tells_are_refused(tmp_path, suffix, names):
    saved(by_names(square(), names), tmp_path / f"net{suffix}")
    with pytest.raises(DamagedFile, match="do not say which comes first") as caught:
        store.read_foreign(tmp_path / f"net{suffix}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model"])
def test_weights_beside_an_optimizers_state_are_found(tmp_path, name):
    foreign = foreign_mlp()
    optimizer = torch.optim.SGD(foreign.parameters(), momentum=0.9)
    torch.save({"epoch": 3, name: foreign.state_dict(), "loss": 0.5,
                "optimizer_state_dict": optimizer.state_dict()}, tmp_path / "net.pt")
    assert agrees(store.read_foreign(tmp_path / "net.pt"), foreign)


def test_the_programs_own_mlp_is_recognised_with_its_scaling(path):
    stored = stored_model("mlp")
    stored.model.scale.shift.fill_(3.0)
    path.write_bytes(store.to_bytes(stored))
    model = store.read_foreign(path)
    assert isinstance(model, MLP)
    assert torch.equal(model(TINY.test.x), stored.model(TINY.test.x))


def test_a_cnns_state_dict_is_recognised(tmp_path):
    model = SmallCNN(1, 28, 10)
    torch.save(model.state_dict(), tmp_path / "net.pt")
    loaded = store.read_foreign(tmp_path / "net.pt")
    assert isinstance(loaded, SmallCNN)
    assert same_tensors(loaded.state_dict(), model.state_dict())


@pytest.mark.parametrize("shapes", [
    [(64, 784), (64,), (64, 64), (64,)],
    [(64, 784), (64,), (64, 64), (64,), (10, 63), (10,)],
    [(64, 784), (64,), (64, 64), (64,), (10, 64), (9,)],
    [(64, 784), (63,), (64, 64), (64,), (10, 64), (10,)],
    [(64, 784), (64,), (32, 64), (32,), (10, 32), (10,)],
    [(64,), (64, 784), (64,), (64, 64), (10,), (10, 64)],
    [(64, 784), (64,), (64, 64), (64,), (10, 64), (10,), (1,)],
    [(10, 784), (11,)], [(3,)], [()], [(16, 1, 5, 5), (16,)],
], ids=str)  # fmt: skip
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_shapes_of_no_known_architecture_are_refused(tmp_path, shapes, suffix):
    # Numbered names are kept in this order by both formats.
    tensors = {f"{index:02}.weight": torch.zeros(shape) for index, shape in enumerate(shapes)}
    file = tmp_path / f"net{suffix}"
    if suffix == ".pt":
        torch.save(tensors, file)
    else:
        safetensors.torch.save_file(tensors, file)
    with pytest.raises(DamagedFile, match="no known architecture"):
        store.read_foreign(file)


@pytest.mark.parametrize("place", range(12))
def test_a_cnn_with_one_wrong_shape_is_refused(tmp_path, place):
    tensors = dict(SmallCNN(1, 28, 10).state_dict())
    name = [name for name in tensors if not name.startswith("scale")][place]
    tensors[name] = torch.zeros([size + 1 for size in tensors[name].shape])
    torch.save(tensors, tmp_path / "net.pt")
    with pytest.raises(DamagedFile):
        store.read_foreign(tmp_path / "net.pt")


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return exec, (f"open({self.target!r}, 'w').write('ran')",)


@pytest.mark.parametrize("how", ["whole", "inside", "plain pickle", "old format"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run_it(tmp_path, how):
    target, file = tmp_path / "ran.txt", tmp_path / "net.pt"
    payload = Payload(target)
    if how == "whole":
        torch.save(payload, file)
    elif how == "inside":
        torch.save({"a.weight": torch.zeros(2), "evil": payload}, file)
    elif how == "old format":
        torch.save({"evil": payload}, file, _use_new_zipfile_serialization=False)
    else:
        file.write_bytes(pickle.dumps(payload))
    with pytest.raises(DamagedFile):
        store.read_foreign(file)
    assert not target.exists()
    # The file would have done it: this is no harmless one.
    if how == "plain pickle":
        pickle.loads(file.read_bytes())  # noqa: S301
    else:
        torch.load(file, weights_only=False)
    assert target.exists()


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(foreign_mlp(), tmp_path / "net.pt")
    with pytest.raises(DamagedFile, match="save its state_dict"):
        store.read_foreign(tmp_path / "net.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_that_are_not_finite_are_refused(tmp_path, value, suffix):
    tensors = foreign_mlp().state_dict()
    tensors["3.weight"][5, 5] = value
    file = tmp_path / f"net{suffix}"
    if suffix == ".pt":
        torch.save(tensors, file)
    else:
        safetensors.torch.save_file(tensors, file)
    with pytest.raises(DamagedFile, match="NaN or infinite"):
        store.read_foreign(file)


@pytest.mark.parametrize("what", [
    [torch.zeros(3)], torch.zeros(3), 5, None, "text", {}, {"a": 1}, {"a": "text"},
    {1: torch.zeros(3)}, {"state_dict": {"a": 1}}, {"state_dict": 5}, {"state_dict": []},
    {"a": torch.zeros(3), "b": [torch.zeros(3)]}, {"state_dict": {"state_dict": {}}},
], ids=str)  # fmt: skip
def test_what_is_no_dictionary_of_tensors_is_refused(tmp_path, what):
    torch.save(what, tmp_path / "net.pt")
    with pytest.raises(DamagedFile):
        store.read_foreign(tmp_path / "net.pt")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"text", b"PK\x03\x04rest", b"\x80\x02."])
def test_bytes_that_are_no_checkpoint_are_refused(tmp_path, suffix, data):
    (tmp_path / f"net{suffix}").write_bytes(data)
    with pytest.raises(DamagedFile, match=f"net{suffix}"):
        store.read_foreign(tmp_path / f"net{suffix}")


def test_a_truncated_state_dict_is_refused(tmp_path):
    torch.save(foreign_mlp().state_dict(), tmp_path / "net.pt")
    data = (tmp_path / "net.pt").read_bytes()
    for length in (100, len(data) // 2, len(data) - 10):
        (tmp_path / "net.pt").write_bytes(data[:length])
        with pytest.raises(DamagedFile):
            store.read_foreign(tmp_path / "net.pt")


def test_a_file_over_the_limit_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MAX_BYTES", 1000)
    torch.save(foreign_mlp().state_dict(), tmp_path / "net.pt")
    with pytest.raises(DamagedFile, match="MB"):
        store.read_foreign(tmp_path / "net.pt")


def test_only_a_persons_own_files_are_listed_as_foreign(shipped, home):
    for name in ("mine.pt", "sub/mine.pth", "trained/x.safetensors", ".partial-drive/y.pt",
                 "embeddings/z.safetensors", "features/z.safetensors", "facenet/w.pt",
                 "notes.txt", "mine.pt.txt"):  # fmt: skip
        (home / name).parent.mkdir(exist_ok=True)
        shutil.copy(shipped, home / name)
    listed = [str(path.relative_to(home)) for path in store.foreign_files()]
    assert sorted(listed) == ["mine.pt", "sub/mine.pth"]
