"""Small made-up data under the names of the shipped datasets, for tests of whole pages."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from clusters import people
from conftest import glyphs
from streamlit.testing.v1 import AppTest

from forget.data import Dataset, Samples
from forget.data.faces import Faces
from forget.data.mnist import Mnist
from ui.jobs import shared

PEOPLE, PHOTOS = 4, 20


def small_faces() -> Dataset:
    """Four people as rows of 16 numbers, with pictures."""
    return dataclasses.replace(people(PEOPLE, PHOTOS, held_out=2, embedder=""),
                               name="faces")


def small_digits() -> Dataset:
    """Four kinds of bars in pictures of a digit's size."""
    rng = np.random.default_rng(0)
    parts = [Samples.from_arrays(x[:, None], y) for x, y in
             (glyphs(rng, each, 4, side=28) for each in (60, 20, 20))]
    return Dataset("mnist", tuple("0123"), *parts)


@contextmanager
def small_data() -> Iterator[None]:
    """Digits and Faces are small and ready while this lasts; their recipes train in moments."""
    with pytest.MonkeyPatch.context() as patch:
        for cls, made in ((Mnist, small_digits), (Faces, small_faces)):
            patch.setattr(cls, "load", lambda self, progress=None, made=made: made())
            patch.setattr(cls, "ready", lambda self: True)
        patch.setattr(Mnist, "recipes", {
            "network": {"arch": "mlp", "min_steps": 60, "epochs": 1.0},
            "sisa": {"shards": 2, "slices": 2, "epochs": 2.0}, "convex": {"features": "pixels"}})
        patch.setattr(Faces, "recipes", {
            "network": {"arch": "linear", "min_steps": 60, "epochs": 1.0},
            "sisa": {"arch": "linear", "shards": 2, "slices": 2, "epochs": 4.0}})
        shared.dataset.clear()
        try:
            yield
        finally:
            shared.dataset.clear()


def opened(page: str, **query: str) -> AppTest:
    """A page of the app as a link with these values opens it."""
    at = AppTest.from_file(page, default_timeout=60)
    at.session_state["framed"] = True
    for name, value in query.items():
        at.query_params[name.replace("__", ".")] = value
    return ran(at)


def ran(at: AppTest) -> AppTest:
    """The page, run once more without an exception."""
    at.run()
    assert not at.exception
    return at


def finish(at: AppTest, held) -> AppTest:
    """Run the page until its job is over."""
    for _ in range(600):
        if not held.busy:
            return ran(at)
        time.sleep(0.1)
    raise AssertionError(f"the job did not end: {held.job.state}, {held.job.doing}")


def said(at: AppTest) -> str:
    """All that the page says in its texts, captions and boxes."""
    return "\n".join(one.value for kind in (at.markdown, at.caption, at.info, at.warning, at.error,
                                            at.success, at.subheader) for one in kind)
