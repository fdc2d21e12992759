"""Hostile files: none crashes its decoder, takes long or much memory, writes anything or runs code.

``bench/hostile.py`` has 500 of them; here are the most telling, and a test of each limit.
"""

import io
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from forget.core.errors import BadImage, BadInput, DamagedFile
from forget.data import archive, npz
from forget.data.archive import photos_from_zip
from forget.data.npz import Npz
from forget.io import images
from forget.io.images import read_image, read_photo
from forget.io.zips import directory_size
from forget.unlearning import store
from tests import hostile, sandbox, wire

TRICKS = (
    "png:a line of fifty million pixels", "png:more pixels in the header than memory",
    "png:a million empty parts",
    "jpeg:more pixels in the frame than there are", "jpeg:twenty megabytes of fill",
    "webp:a canvas far larger than its frame", "webp:a length beyond the end",
    "zip:names that lead out", "zip:links",
    "zip:entries that share their bytes", "npz:an array of objects", "npz:code in a header",
    "npz:a shape larger than memory",
    "safetensors:layers whose product does not fit in memory",
    "safetensors:channels without number", "safetensors:small numbers of four bits",
    "pt:an object that runs code", "pt:bytes without number", "pt:a key that takes years to hash",
    "pt:a key of a million tuples in each other", "pt:giant tensors of one number",
    "pt:the old form with code", "pt:a tar that leads out", "model:brackets in the record",
    "model:classes without number", "model:scattering of giant pictures",
    "manifest:brackets without end", "certificate:brackets without end",
    "certificate:another epsilon", "verifymodel:classes by the million",
    "secret:noise key of small floats", "jpeg:a film behind the end",
    "jpeg:marks without number", "jpeg:thousands of scans behind a false end",
    "jpeg:pictures without number in one", "zip:a unicode path that leads out",
    "zip:names in encodings that are not told", "canvas:EPS that writes a file",
    "canvas:EPS with a loop", "canvas:a picture of 4000 x 4000", "canvas:more data than pixels",
    "canvas:brackets", "canvas:lists without number", "canvas:bool value for a drawing",
    "labels:objects", "labels:another shape than there are numbers",
    "link:link 'file:///etc/passwd' (18)",
    "link:link 'https://[drive.google.com/' (26)", "arguments:path '/dev/zero' (9)",
    "arguments:path '' (0)", "arguments:path 'a\\nb.npz' (7)", "drive:all the same",
    "people:photos that are links out", "people:a name in a file that is no text",
    "people:a name in a file of eighty megabytes", "records:a version below none",
    "records:a view for a table", "folder:names that move the cursor",
    "export:entries by the hundred thousand",
)  # fmt: skip


@pytest.mark.slow
def test_hostile_files_are_read_or_refused_and_nothing_else(tmp_path):
    fed = sandbox.feed(tmp_path / "box", tricks=TRICKS)
    assert len(fed) == len(TRICKS)
    assert {one.name: one.faults for one in fed if one.faults} == {}
    assert any(one.outcome == "refused" for one in fed)


@pytest.mark.slow
def test_a_server_answers_hostile_messages_with_a_page(tmp_path):
    canvases = ("EPS with a loop", "a picture of 4000 x 4000", "a list for a drawing",
                "data in each other", "a fit that is none", "a picture for a stroke")
    asked = ("compare.data=NaN&compare.seeds=-1", "compare.class=%ed%a0%80", "page=" + "[" * 5_000)
    fed = wire.attack(tmp_path, canvases, asked)
    assert {one.how: (one.faults, one.detail) for one in fed if one.faults} == {}
    assert [one.outcome for one in fed] == ["refused"] * 4 + ["read"] * 5


def test_the_sandbox_tells_what_a_file_does(tmp_path, monkeypatch, capfd):
    """A decoder that writes, and one that dies: both are found out, and put down to their file."""
    (tmp_path / "files").mkdir()
    bad = {"png-1.png": lambda path: (tmp_path / "canary").touch(),
           "jpeg-1.jpg": lambda path: sandbox.os.kill(sandbox.os.getpid(), 9),
           "webp-1.webp": lambda path: 1 / 0, "zip-1.zip": lambda path: bytearray(600 << 20)}
    found = {}
    for name, decoder in bad.items():
        path = tmp_path / "files" / name
        path.write_bytes(b"")
        monkeypatch.setitem(sandbox.DECODERS, name.partition("-")[0], decoder)
        row = sandbox.fed_alone(path, tmp_path)
        found[name] = sandbox.Fed(how="", **row | {"touched": tuple(row["touched"])}).faults
    assert "touched canary (found there)" in found["png-1.png"]
    assert found["jpeg-1.jpg"] == ["crashed: ended with -9"]
    assert "ZeroDivisionError" in found["webp-1.webp"][0]
    assert found["zip-1.zip"][0].endswith("MiB")


def test_the_same_seed_makes_the_same_files(monkeypatch):
    for kind in hostile.KINDS:
        monkeypatch.setitem(hostile.TRICKS, kind, [])
    monkeypatch.setattr(hostile, "KINDS", ("png", "zip", "npz", "safetensors", "pt"))
    once, again, other = ([file.data for file in hostile.made(seed, 20)] for seed in (3, 3, 4))
    assert once == again
    assert once != other


# Pictures.


def test_a_line_longer_than_the_limit_is_refused():
    with pytest.raises(BadImage, match="sides of at most"):
        read_image(hostile.png(images.MAX_SIDE + 1, 1))
    read_photo(hostile.png(images.MAX_SIDE, 1))


def test_a_jpeg_of_too_many_scans_is_refused(monkeypatch):
    data = hostile.encoded(hostile.photo(), "jpeg", progressive=True)
    count = data.count(b"\xff\xda")
    monkeypatch.setattr(images, "MAX_SCANS", count)
    read_photo(data)
    monkeypatch.setattr(images, "MAX_SCANS", count - 1)
    with pytest.raises(BadImage, match="layers"):
        read_photo(data)


@pytest.mark.parametrize("read", [read_image, read_photo])
def test_what_follows_the_end_of_a_jpeg_is_not_counted(read):
    """A film of eight megabytes, as telephones append: full of bytes that look like scans."""
    photo = hostile.encoded(hostile.photo(), "jpeg")
    film = np.random.default_rng(0).bytes(8 << 20)
    assert film.count(b"\xff\xda") > images.MAX_SCANS
    assert np.array_equal(read(photo + film), read(photo))
    inside = photo[:2] + b"\xff\xe1\xff\xff" + b"\xff\xda" * ((0xffff - 2) // 2) + b"\0" + photo[2:]
    assert np.array_equal(read(inside), read(photo))


@pytest.mark.parametrize("hidden", [b"", b"\xff\xd0", b"\xff\x00\x07", b"\xff\xff\xff"])
def test_scans_are_counted_wherever_a_decoder_finds_them(hidden, monkeypatch):
    monkeypatch.setattr(images, "MAX_SCANS", 40)
    data = hostile.encoded(hostile.photo(), "jpeg", progressive=True)
    at = data.rindex(b"\xff\xda")
    with pytest.raises(BadImage, match="layers"):
        read_photo(data[:at] + (hidden + data[at:-2]) * 40 + data[-2:])


def test_a_file_of_too_many_parts_is_refused(monkeypatch):
    monkeypatch.setattr(images, "MAX_READS", 1000)
    read_photo(hostile.png(8, 8, before=hostile.chunk(b"abCd", b"") * 50))
    with pytest.raises(BadImage):
        read_photo(hostile.png(8, 8, before=hostile.chunk(b"abCd", b"") * 1000))


def test_a_webp_has_a_limit_of_its_own(monkeypatch):
    monkeypatch.setattr(images, "MAX_WEBP_PIXELS", 64 * 64 - 1)
    read_photo(hostile.encoded(hostile.photo(), "png"))
    with pytest.raises(BadImage, match="pixels"):
        read_photo(hostile.encoded(hostile.photo(), "webp"))


@pytest.mark.parametrize("side", [37, 256, 1000])
def test_a_transparent_picture_shrinks_in_strips_as_it_would_whole(side, monkeypatch):
    monkeypatch.setattr(images, "STRIP", 8)
    image = hostile.photo("RGBA", 1000)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    found = images._reduced(image, side)
    factor = max(1, 1000 // side)
    assert np.array_equal(np.asarray(found), np.asarray(image.reduce(factor)))


@pytest.mark.parametrize("most", [200, 60_000])
def test_grey_of_16_bits_is_halved_in_strips_as_it_would_be_whole(most, monkeypatch):
    monkeypatch.setattr(images, "STRIP", 7)
    values = np.random.default_rng(0).integers(0, most, (50, 40)).astype(np.uint16)
    found = np.asarray(images._in_bytes(Image.fromarray(values)))
    assert np.array_equal(found, values if most == 200 else values // 257)


# Archives.


@pytest.mark.parametrize("before", [b"", b"some bytes"])
def test_the_larger_of_two_list_sizes_is_believed(before):
    assert directory_size(io.BytesIO(hostile.large_directory(10, before))) == 10 * 51
    assert directory_size(io.BytesIO(hostile.zipped({"a": b""}))) == 47


def test_a_long_list_that_only_the_record_of_64_bits_tells_is_refused_unread(tmp_path):
    assert len(zipfile.ZipFile(io.BytesIO(hostile.large_directory(10))).filelist) == 10
    data = hostile.large_directory(90_000)
    with pytest.raises(BadInput, match="more than"):
        photos_from_zip(data)
    (tmp_path / "own.npz").write_bytes(data)
    with pytest.raises(BadInput, match="too many arrays"):
        Npz(str(tmp_path / "own.npz")).load()


def test_small_files_of_zeros_may_not_add_up(monkeypatch):
    data = hostile.zipped({f"A/{number}.png": bytes(10_000) for number in range(20)})
    photos_from_zip(data)
    monkeypatch.setattr(archive, "SMALL_TOTAL", 100_000)
    with pytest.raises(BadInput, match="times smaller"):
        photos_from_zip(data)


def test_a_small_zip_does_not_make_a_hundred_megabytes():
    data = hostile.zipped({f"A/{number}.png": bytes(1 << 20) for number in range(133)})
    assert len(data) < 200_000
    with pytest.raises(BadInput, match="times smaller"):
        photos_from_zip(data)


def test_a_zip_may_hold_as_much_as_there_is_room_for():
    data = hostile.zipped({f"A/{number}.png": bytes(10_000) for number in range(3)})
    assert len(photos_from_zip(data, 30_000)[0]) == 3
    with pytest.raises(BadInput, match="together: take fewer"):
        photos_from_zip(data, 29_999)


def test_arrays_may_not_be_packed_a_thousand_times_smaller(tmp_path, monkeypatch):
    path = tmp_path / "own.npz"
    path.write_bytes(hostile.npz(extra=np.zeros(100_000)))
    Npz(str(path)).load()
    monkeypatch.setattr(npz, "SMALL", 100_000)
    with pytest.raises(BadInput, match=r"numpy\.savez, not"):
        Npz(str(path)).load()


def test_arrays_packed_as_numpy_does_not_are_refused(tmp_path):
    path = tmp_path / "own.npz"
    path.write_bytes(hostile.npz(zipfile.ZIP_BZIP2))
    with pytest.raises(BadInput, match="another way"):
        Npz(str(path)).load()


def test_what_numpy_says_is_told_in_one_line(tmp_path):
    path = tmp_path / "own.npz"
    path.write_bytes(hostile.npz(x_train=b"\x93NUMPY\2\0" + struct.pack("<L", 20_000)
                                 + b" " * 20_000))
    with pytest.raises(BadInput) as caught:
        Npz(str(path)).load()
    assert "\n" not in str(caught.value)


# Checkpoints.


def refused(tmp_path, data: bytes, name="net.pt", match=None) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DamagedFile, match=match):
        store.read_foreign(tmp_path / name)


@pytest.mark.parametrize("how", ["new", "old"])
def test_a_checkpoint_of_a_whole_training_is_still_read(tmp_path, how):
    net = torch.nn.Sequential(torch.nn.Linear(784, 64), torch.nn.Linear(64, 64),
                              torch.nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.zeros(2, 784)).sum().backward()
    optimizer.step()
    torch.save({"epoch": 3, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict()},
               tmp_path / "net.pt", _use_new_zipfile_serialization=how == "new")
    read = store.read_foreign(tmp_path / "net.pt")
    assert torch.equal(read.fc1.weight, net[0].weight)


@pytest.mark.parametrize("make", [
    hostile.bytes_without_number, hostile.a_key_that_takes_years_to_hash,
    hostile.a_key_of_a_million_tuples_in_each_other, hostile.lists_a_million_deep,
], ids=hostile.words)  # fmt: skip
def test_a_pickle_that_torch_would_carry_out_is_refused_before(tmp_path, make, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was carried out"))
    refused(tmp_path, make(hostile.random.Random(0)), match="ValueError")


def test_packed_weights_are_refused(tmp_path):
    plain = zipfile.ZipFile(io.BytesIO(hostile.torch_bytes(hostile.mlp())))
    files = {name: plain.read(name) for name in plain.namelist()}
    refused(tmp_path, hostile.zipped(files), match="ValueError")
    (tmp_path / "net.pt").write_bytes(hostile.zipped(files, zipfile.ZIP_STORED))
    store.read_foreign(tmp_path / "net.pt")


def test_more_numbers_than_the_file_holds_are_refused(tmp_path):
    refused(tmp_path, hostile.giant_tensors_of_one_number(None), match="more numbers")


def test_shapes_of_a_network_larger_than_the_file_are_refused(tmp_path):
    for make in (hostile.layers_whose_product_does_not_fit_in_memory,
                 hostile.channels_without_number):
        refused(tmp_path, make(None), "net.safetensors", "fit no known")


def test_numbers_that_torch_cannot_calculate_with_are_refused(tmp_path):
    refused(tmp_path, hostile.small_numbers_of_four_bits(None), "net.safetensors", "not plain")


def test_a_header_over_the_limit_is_refused_unread(tmp_path, monkeypatch):
    data = hostile.good("safetensors")
    (tmp_path / "net.safetensors").write_bytes(data)
    store.read_foreign(tmp_path / "net.safetensors")
    monkeypatch.setattr(store, "MAX_HEADER", 100)
    refused(tmp_path, data, "net.safetensors")
    assert not store.is_own(tmp_path / "net.safetensors")


@pytest.mark.parametrize("changes", [
    {"n_classes": 30_000_000}, {"input_shape": [1, 5000, 5000]}, {"n_classes": 2**80},
    {"learner": "convex", "settings": {}, "input_shape": [1, 4096, 4096]},
], ids=str)  # fmt: skip
def test_a_record_does_not_decide_how_much_memory_is_taken(tmp_path, home, changes):
    path = tmp_path / "model.safetensors"
    path.write_bytes(hostile.own())
    store.load(path)
    path.write_bytes(hostile.own(**changes))
    with pytest.raises(DamagedFile):
        store.load(path)


@pytest.mark.parametrize("text", ["[" * 200_000, " " * (1 << 20) + '{"files": {}}'])
def test_a_manifest_that_misleads_readers_of_json_is_damaged(home, text):
    home.mkdir()
    (home / store.MANIFEST).write_text(text)
    with pytest.raises(DamagedFile):
        store.manifest()


def test_a_secret_whose_keys_are_none_is_refused_by_name(tmp_path):
    from forget.unlearning.verify import _wrong_secrets

    good = {name: torch.zeros(32, dtype=torch.uint8) for name in
            ("seal_key", "ids_key", "noise_key", "salt")} | {
        "forgotten_ids": torch.zeros(2, dtype=torch.int64),
        "weights": torch.zeros(2, 2, dtype=torch.float64)}
    of_guo = good | {"spent": torch.zeros((), dtype=torch.float64)}
    for mode, kept in (("residual", good), ("guo", of_guo)):
        assert _wrong_secrets(kept, mode) == []
        for name in kept:
            assert _wrong_secrets(kept | {name: torch.zeros(3, 3, 3)}, mode) == [name]
            left = {key: kept[key] for key in kept if key != name}
            assert _wrong_secrets(left, mode) == [name]
