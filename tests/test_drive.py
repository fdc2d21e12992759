"""Checkpoints from Drive, against a local stand-in for Google's side."""

import time
import types
from pathlib import Path

import gdown
import pytest
import torch
from gdown.exceptions import DownloadError
from streamlit.testing.v1 import AppTest
from torch import nn

from forget.core.errors import BadInput, SourceDown
from forget.io.paths import downloads
from forget.unlearning import store
from forget.unlearning.drive import FIRST_WEIGHTS, _named, fetch_drive
from forget.unlearning.drive import FOLDER as FETCHED
from ui.frame import warm_up
from ui.shell.access import Access

ROOT = Path(__file__).parent.parent
FOLDER = "https://drive.google.com/drive/folders/abc"


drive_asked: list[str] = []
"""Links that Drive was asked for."""


def known_network() -> dict[str, torch.Tensor]:
    """The first version's 784-64-64-10, under names of its own."""
    return nn.Sequential(nn.Linear(784, 64), nn.Linear(64, 64), nn.Linear(64, 10)).state_dict()


@pytest.fixture
def drive(home, monkeypatch):
    """A pretended Drive: ``drive[path] = what to save there``; a missing one fails to download.

    A number is saved as a file of so many bytes. A link to a file names the first one.
    """
    files: dict[str, object] = {}
    drive_asked.clear()

    def download_folder(url, skip_download, **_):
        assert skip_download
        drive_asked.append(url)
        return [types.SimpleNamespace(id=path, path=path) for path in files]

    def download(output=None, progress=None, id=None, url=None, skip_download=False, **_):
        if skip_download:
            drive_asked.append(url)
            return types.SimpleNamespace(id=next(iter(files)), path=next(iter(files)))
        if files.get(id) is None:
            raise DownloadError("gone")
        if isinstance(files[id], int):
            Path(output + ".part").touch()
            progress(files[id] // 2, None)
            progress(files[id], files[id])
        torch.save(files[id], output)
        progress(Path(output).stat().st_size, None)
        return output

    monkeypatch.setattr(gdown, "download_folder", download_folder)
    monkeypatch.setattr(gdown, "download", download)
    return files


def test_a_known_network_is_taken_and_listed(drive):
    drive["weights/mlp.pt"] = known_network()
    fetched = fetch_drive(FOLDER)
    assert [path.name for path in fetched.taken] == ["mlp.pt"]
    assert [path.name for path in store.foreign_files()] == ["mlp.pt"]
    assert store.read_foreign(fetched.taken[0]).name == "mlp"


def test_the_first_versions_folder_is_a_drive_folder(drive):
    drive["mlp.pt"] = known_network()
    assert fetch_drive(FIRST_WEIGHTS).taken


def test_unknown_shapes_are_left_out_with_the_reason(drive):
    drive["odd.pt"] = {"weight": torch.zeros(3, 3)}
    drive["mlp.pt"] = known_network()
    fetched = fetch_drive(FOLDER)
    assert list(fetched.refused) == ["odd.pt"]
    assert "no known architecture" in fetched.refused["odd.pt"]
    assert not (downloads() / "odd.pt").exists()


def test_other_files_of_the_folder_are_not_even_downloaded(drive):
    drive["notes.txt"] = None
    drive["mlp.pt"] = known_network()
    assert len(fetch_drive(FOLDER).taken) == 1


def test_a_file_that_is_there_already_is_not_replaced(drive):
    drive["mlp.pt"] = known_network()
    (first,) = fetch_drive(FOLDER).taken
    before = first.read_bytes()
    drive["mlp.pt"] = known_network()
    again = fetch_drive(FOLDER)
    assert "there already" in again.refused["mlp.pt"]
    assert first.read_bytes() == before


def test_a_name_that_climbs_out_of_the_folder_stays_inside(drive):
    drive["../../mlp.pt"] = known_network()
    (path,) = fetch_drive(FOLDER).taken
    assert path == downloads() / FETCHED / "mlp.pt"


@pytest.mark.parametrize("name", ["machine.key", "records.db", "taught", "manifest.json", ".pt",
                                  "mlp.pt.exe", "mlp", "people/Ana/1.jpg", "config.toml"])
def test_what_is_named_as_no_checkpoint_is_left_out_with_the_reason(drive, name):
    drive[name] = known_network()
    fetched = fetch_drive(FOLDER)
    assert not fetched.taken
    (why,) = fetched.refused.values()
    assert "does not end in .safetensors" in why
    assert {path.name for path in downloads().iterdir()} == {".drive.lock"}


@pytest.mark.parametrize("name", ["mlp.PT", "mlp.Pth", "mlp.ckpt", "mlp.CKPT"])
def test_endings_are_known_in_capitals_too(drive, name):
    drive[name] = known_network()
    (path,) = fetch_drive(FOLDER).taken
    assert store.foreign_files() == [path]
    assert store.read_foreign(path).name == "mlp"


def test_files_of_one_name_are_all_taken(drive):
    for path in ("a/net.pt", "b/net.pt", "b/NET.pt", "net.pt", "a-net.pt", "other.pt"):
        drive[path] = known_network()
    fetched = fetch_drive(FOLDER)
    assert not fetched.refused
    assert sorted(path.name for path in fetched.taken) == [
        "a-net (2).pt", "a-net.pt", "b-NET (2).pt", "b-net.pt", "net.pt", "other.pt"]
    again = fetch_drive(FOLDER)
    assert len(again.refused) == 6
    assert not again.taken


def test_each_file_has_one_outcome_whatever_became_of_the_others(drive):
    drive |= {"gone.pt": None, "large.pt": store.MAX_BYTES + 1, "odd.pt": {"w": torch.zeros(3)},
              "note.txt": known_network(), "mlp.pt": known_network()}
    fetched = fetch_drive(FOLDER)
    assert [path.name for path in fetched.taken] == ["mlp.pt"]
    assert {name: why.split(":")[0] for name, why in fetched.refused.items()} == {
        "gone.pt": "Google Drive did not give it (DownloadError)",
        "large.pt": "it has over 64 MB; no known architecture needs that",
        "odd.pt": fetched.refused["odd.pt"].split(":")[0],
        "note.txt": "it does not end in .safetensors, .pt, .pth, .ckpt"}
    assert not list(downloads().glob(".partial-*"))


def test_the_folder_has_a_quota(drive, monkeypatch):
    monkeypatch.setattr("forget.unlearning.drive.QUOTA", 300_000)  # one of these has 220 kB
    drive |= {"a.pt": known_network(), "b.pt": 200_000, "c.pt": known_network()}
    fetched = fetch_drive(FOLDER)
    assert [path.name for path in fetched.taken] == ["a.pt"]
    assert list(fetched.refused) == ["b.pt", "c.pt"]
    assert all("delete some of its files first" in why for why in fetched.refused.values())


def test_the_folder_has_room_for_so_many_files(drive, monkeypatch):
    monkeypatch.setattr("forget.unlearning.drive.MOST_FILES", 2)
    drive |= {f"{number}.pt": known_network() for number in range(4)}
    fetched = fetch_drive(FOLDER)
    assert len(fetched.taken) == 2
    assert all("is full, with 2 files" in why for why in fetched.refused.values())


@pytest.mark.parametrize("name", ["a\nb.pt", "..pt", " .hidden.pt", "a:b*?.pt", "x" * 300 + ".pt",
                                  "Größe 安娜 (1).pt"])
def test_any_name_becomes_one_of_a_file_in_the_folder(drive, name):
    drive[name] = known_network()
    fetched = fetch_drive(FOLDER)
    for path in fetched.taken:
        assert path.parent == downloads() / FETCHED
        assert not path.name.startswith(".")
        assert path.name.isprintable()
    assert len(fetched.taken) + len(fetched.refused) == 1


@pytest.mark.parametrize("link", [
    FOLDER, f" {FOLDER}", f"{FOLDER}\n", "drive.google.com/drive/folders/abc",
    "http://drive.google.com/drive/folders/abc", "https://Drive.Google.com/drive/folders/abc",
    f"\u00a0{FOLDER}", f"{FOLDER}#top"])
def test_a_link_may_be_copied_with_more_or_less_around_it(drive, link):
    drive["mlp.pt"] = known_network()
    assert fetch_drive(link).taken
    assert drive_asked == [FOLDER]


def test_a_link_to_one_file_is_treated_as_a_folder_of_one(drive):
    drive["notes.pdf"] = known_network()
    file = "drive.google.com/file/d/abc/view?usp=sharing"
    assert list(fetch_drive(file).refused) == ["notes.pdf"]
    assert drive_asked == [f"https://{file}"]


def test_a_drive_that_does_not_answer_is_one_sentence_and_leaves_nothing(drive):
    drive["mlp.pt"] = None
    with pytest.raises(SourceDown, match="by hand"):
        fetch_drive(FOLDER)
    assert not list(downloads().glob("**/*.pt"))


def test_another_sites_link_is_refused(home):
    for link in ("https://example.com/drive.google.com/folders/x", "", "x", "file:///etc/passwd",
                 "https://drive.google.com@example.com/drive/folders/x", "https://[",
                 "https://drive.google.com.example.com/drive/folders/x", "ftp://drive.google.com/x",
                 "https://drive.google.com:8080/drive/folders/x", "localhost/drive/folders/x"):
        with pytest.raises(BadInput, match="not a Google Drive link"):
            fetch_drive(link)


def test_a_link_to_neither_a_folder_nor_a_file_is_said(home):
    with pytest.raises(BadInput, match="no Google Drive link to a folder or a file"):
        fetch_drive("https://drive.google.com/drive/my-drive")


def offered(home, monkeypatch, access: Access) -> list[str]:
    """The labels of what the page asks for, for somebody with this access."""
    monkeypatch.setattr("ui.shell.access.who", lambda: access)
    at = AppTest.from_file(ROOT / "pages" / "models.py", default_timeout=60)
    at.session_state["framed"] = True
    assert warm_up().done.wait(60)
    at.run()
    assert not at.exception
    return [one.label for one in at.text_input]


def test_only_this_machine_and_who_signed_in_may_fetch(home, monkeypatch):
    assert offered(home, monkeypatch, Access(local=True, sign_in=False, user=None))
    assert offered(home, monkeypatch, Access(local=False, sign_in=True, user="ana@example.org"))
    assert not offered(home, monkeypatch, Access(local=False, sign_in=False, user=None))


def test_a_checkpoints_name_is_no_link_on_the_page(home, monkeypatch):
    home.mkdir(exist_ok=True)
    (home / "[Ana](https:evil.example).pt").write_bytes(b"no")
    monkeypatch.setattr("ui.shell.access.who", lambda: Access(True, False, None))
    at = AppTest.from_file(ROOT / "pages" / "models.py", default_timeout=60)
    at.session_state["framed"] = True
    assert warm_up().done.wait(60)
    at.run()
    (table,) = [one.value for one in at.table if "Usable" in one.value]
    assert r"\[Ana\](" in table["File"].iloc[0]
    assert r"\[Ana\](" in table["Usable"].iloc[0]


@pytest.mark.parametrize("link", ["https://drive.google.com/a\r\nHost: example.org",
                                  "https://example.org/\n\x1b[31m", "x" * 5_000])
def test_what_is_said_of_a_link_is_one_line_of_what_can_be_shown(link):
    with pytest.raises(BadInput) as refused:
        fetch_drive(link)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 1_000


def test_three_thousand_files_of_one_name_are_named_in_no_time():
    """Each has a name of its own; looking for one among all before took minutes."""
    files = [types.SimpleNamespace(path="net.pt", id=str(number)) for number in range(3_000)]
    before = time.process_time()
    named = _named(files)
    assert time.process_time() - before < 2
    assert len(named) == 3_000 and list(named)[:3] == ["net.pt", "net (2).pt", "net (3).pt"]
