"""Models and data names everything that lies in the data folder."""

import os
from pathlib import Path

import pytest
from browser import ROOT, copy_home
from small_data import opened

from forget.report.inventory import OTHER, inventory
from forget.unlearning import store
from ui.frame import warm_up

PLACES = {
    "mnist/t10k.gz": "Data: Handwritten digits (MNIST)", "faces/s1.pgm": "Data: Faces",
    "trained/a.safetensors": "Models trained here", "features/a.safetensors": "Features of data",
    "embeddings/x/00/a.safetensors": "What networks make", "runs/a.json": "Finished runs",
    "audits/a/b.safetensors": "Small models of audits",
    "taught/a.safetensors": "learnt what people",
    "people/x/1.jpg": "Photos of people", "records.db": "Records of what people gave",
    "records.db-wal": "Records of what people gave", "machine.key": "Records of what people gave",
    "ledger.end": "Records of what people gave",
    "dlib_resnet/a.dat": "Network that reads faces", "mine.safetensors": "Your own checkpoints",
    "from a friend/net.pt": "Your own checkpoints", "notes.txt": OTHER, ".mnist.lock": OTHER,
    "of another program/big.bin": OTHER, "manifest.json": "Models that come with the program",
}


@pytest.fixture
def filled(home):
    for place, (name, _) in enumerate(PLACES.items()):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'{"files": {}}' if name == "manifest.json" else b"x" * (100 + place))
    return home


def test_every_file_is_counted_once(filled):
    there = [path for path in filled.rglob("*") if path.is_file()]
    parts = inventory()
    assert sum(part.files for part in parts) == len(there) == len(PLACES)
    assert sum(part.size for part in parts) == sum(path.stat().st_size for path in there)
    assert parts[-1].what == OTHER


@pytest.mark.parametrize("name", PLACES)
def test_each_kind_of_file_has_its_line(filled, name):
    before = {part.what: part.files for part in inventory()}
    (filled / name).unlink()
    after = {part.what: part.files for part in inventory()}
    (gone,) = [what for what in before if before[what] != after.get(what, 0)]
    if name == "manifest.json":  # the list of shipped files
        assert gone.startswith(PLACES[name])
    else:
        assert PLACES[name] in gone


def test_folders_that_are_linked_count_as_the_folders_own(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGET_HOME", str(copy_home(tmp_path / "home")))
    of_digits = next(part for part in inventory() if "MNIST" in part.what)
    assert of_digits.size == sum(path.stat().st_size for path in
                                 (ROOT / "forget_downloads" / "mnist").rglob("*") if path.is_file())


def test_the_page_shows_the_whole(filled):
    assert warm_up().done.wait(60)
    at = opened(str(ROOT / "pages" / "models.py"))
    (rows,) = [table.value for table in at.table if "MB" in table.value]
    assert sum(map(int, rows["Files"])) == len(PLACES)
    assert any(f"In all {len(PLACES)} files" in caption.value for caption in at.caption)


def test_a_link_that_leads_anywhere_hinders_nobody(home, monkeypatch):
    """What may not be looked at is passed over: a link of somebody's, or a folder of another's."""
    home.mkdir()
    (home / "net.pt").write_bytes(b"x")
    (home / "there.pt").symlink_to("/forbidden/net.pt")
    (home / "shut").mkdir()
    stat, scan = os.stat, Path.iterdir

    def no_stat(path, *args, **how):
        if os.fspath(path).endswith("there.pt") and how.get("follow_symlinks", True):
            raise PermissionError(13, "Permission denied")
        return stat(path, *args, **how)

    def no_scan(path):
        if path.name == "shut":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "stat", no_stat)
    monkeypatch.setattr(Path, "iterdir", no_scan)
    assert [path.name for path in store.foreign_files()] == ["net.pt"]
    assert sum(part.files for part in inventory()) == 1
