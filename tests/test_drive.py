"""Checkpoints from Drive, against a local stand-in for Google's side."""

import types

import gdown
import pytest
import torch
from gdown.exceptions import DownloadError
from torch import nn

from forget import store
from forget.drive import FIRST_WEIGHTS, fetch_drive
from forget.errors import BadInput, SourceDown
from forget.paths import downloads

FOLDER = "https://drive.google.com/drive/folders/abc"


def known_network() -> dict[str, torch.Tensor]:
    """The first version's 784-64-64-10, under names of its own."""
    return nn.Sequential(nn.Linear(784, 64), nn.Linear(64, 64), nn.Linear(64, 10)).state_dict()


@pytest.fixture
def drive(home, monkeypatch):
    """A pretended Drive: ``drive[path] = what to save there``; a missing one fails to download."""
    files: dict[str, object] = {}

    def download_folder(url, skip_download, **_):
        assert skip_download
        return [types.SimpleNamespace(id=path, path=path) for path in files]

    def download(output, progress, id=None, url=None, **_):
        if files.get(id) is None:
            raise DownloadError("gone")
        torch.save(files[id], output)
        progress(10, 10)
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
    assert path.parent == downloads()


def test_a_drive_that_does_not_answer_is_one_sentence_and_leaves_nothing(drive):
    drive["mlp.pt"] = None
    with pytest.raises(SourceDown, match="by hand"):
        fetch_drive(FOLDER)
    assert not list(downloads().glob("**/*.pt"))


def test_another_sites_link_is_refused(home):
    with pytest.raises(BadInput, match="not a Google Drive link"):
        fetch_drive("https://example.com/drive.google.com/folders/x")
