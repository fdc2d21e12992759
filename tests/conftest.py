"""What tests share: small datasets that train in moments, and a home folder of their own."""

import collections
import functools
import itertools
import random
import weakref
from pathlib import Path

import numpy as np
import pytest
import streamlit
from hypothesis import settings
from small_base import SMALL, SmallBase
from streamlit.components.v2 import manifest_scanner

from forget.core.device import use_fixed_threads
from forget.data import Dataset, Samples
from forget.data.faces import Faces
from forget.records import bases
from forget.unlearning import store

ROOT = Path(__file__).parent.parent

# The same examples every time, and no limit on the wall clock: the machine may be shared.
settings.register_profile("forget", deadline=None, derandomize=True, max_examples=40)
settings.register_profile("exhaustive", settings.get_profile("forget"), max_examples=400)
settings.load_profile("forget")


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what -m does not name
def pytest_collection_modifyitems(items):
    """Of a test marked ``drawn(N)``, N cases are run each time, and the others by `make test-all`.

    They are drawn from all over the list, and always the same ones: cases of a kind stand together.
    """
    cases = collections.defaultdict(list)
    for item in items:
        if item.get_closest_marker("drawn"):
            cases[item.nodeid.partition("[")[0]].append(item)
    for alike in cases.values():
        drawn = _drawn(len(alike), *alike[0].get_closest_marker("drawn").args)
        for place in set(range(len(alike))) - drawn:
            alike[place].add_marker("exhaustive")


def _drawn(of: int, count: int) -> set[int]:
    """Up to ``count`` places of ``of``: one of each stretch."""
    draw, count = random.Random(0), min(count, of)
    edges = [of * step // count for step in range(count + 1)]
    return {draw.randrange(*edge) for edge in itertools.pairwise(edges)}


@pytest.fixture(scope="session", autouse=True)
def _threads():
    use_fixed_threads()


@pytest.fixture(scope="session", autouse=True)
def _one_search_for_components():
    """Streamlit's test driver reads what every installed package says of itself, for each page that
    it opens; that takes longer than most pages."""
    found = functools.cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", found)
        yield


@pytest.fixture(autouse=True)
def _no_job_outlives_its_test(monkeypatch):
    """Or it writes into the data folder of the next one."""
    from ui.jobs.queue import JobQueue  # here: the library's tests run where there is no app

    submitted, submit = weakref.WeakSet(), JobQueue.submit

    def noted(queue, job, *args):
        submitted.add(job)
        return submit(queue, job, *args)

    monkeypatch.setattr(JobQueue, "submit", noted)
    yield  # and what monkeypatch has set, such as the data folder, is still there
    left = [job for job in submitted if not job.over]
    for job in left:
        job.cancel(60)
    left = [job.title for job in left if not job.over]
    assert not left, f"still at work after the test: {left}"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty ``forget_downloads/`` for one test."""
    folder = tmp_path / "downloads"
    monkeypatch.setenv("FORGET_HOME", str(folder))
    return folder


def glyphs(rng: np.random.Generator, per_class: int, n_classes: int, side: int = 12):
    """Images of ``n_classes`` bars at different places and angles, noisy: easily learnt."""
    y = np.repeat(np.arange(n_classes), per_class)
    x = rng.integers(0, 60, (len(y), side, side))
    for row, label in enumerate(y):
        place = 1 + 2 * (label // 2) + rng.integers(0, 2)
        if label % 2:
            x[row, place, 1:-1] += 180
        else:
            x[row, 1:-1, place] += 180
    order = rng.permutation(len(y))
    return x[order].astype(np.uint8), y[order]


def tiny_dataset(seed: int = 0, n_classes: int = 4) -> Dataset:
    """Three parts of glyphs: 60 training, 20 held-out and 20 test samples a class."""
    rng = np.random.default_rng(seed)
    parts = []
    for per_class in (60, 20, 20):
        x, y = glyphs(rng, per_class, n_classes)
        parts.append(Samples.from_arrays(x[:, None], y))
    return Dataset("tiny", tuple("abcdefgh"[:n_classes]), *parts)


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    return tiny_dataset()


@pytest.fixture(scope="session")
def orl() -> dict[str, bytes]:
    """The AT&T photos by name, "s1/1.pgm" to "s40/10.pgm", from the folder of the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(ROOT / "forget_downloads"))
        return {one.name: one.data for one in Faces().photos()}


def weights_hash(model) -> str:
    """A hash by which two models with the same weights are known."""
    tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return store.seal("", tensors)


@pytest.fixture(scope="module")
def chrome():
    """A browser for one file's tests."""
    from browser import FLAGS, chromium
    from playwright.sync_api import sync_playwright

    path = chromium()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def small(tmp_path, monkeypatch) -> SmallBase:
    """The only base there is, over an empty data folder."""
    monkeypatch.setenv("FORGET_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(bases, "BASES", {SMALL.name: SMALL})
    for module in ("records.requests", "records.trace", "cli.records"):
        monkeypatch.setattr(f"forget.{module}.BASES", bases.BASES)
    return SMALL


@pytest.fixture
def base(small) -> SmallBase:
    """The small base, and a server that has just started."""
    from ui.frame import warm_up
    from ui.jobs import shared  # here: the library's tests run where there is no app

    assert warm_up().done.wait(60)
    shared.resumed.clear()
    return small


@pytest.fixture
def elsewhere(monkeypatch):
    """The server can be reached from other machines."""
    real = streamlit.get_option
    monkeypatch.setattr(streamlit, "get_option", lambda name: "0.0.0.0"
                        if name == "server.address" else real(name))
