"""The models that a person can start from, and the work of getting one ready."""

import dataclasses
from collections.abc import Iterable

import streamlit as st

from forget.core.errors import BadInput
from forget.core.spelling import is_text
from forget.data import Dataset, find_dataset
from forget.io.paths import downloads
from forget.learners import Learner
from forget.metrics.unknown import Threshold
from forget.unlearning import store
from forget.unlearning.adopt import adopt
from forget.unlearning.learn import home_of, is_stored, start_from
from forget.unlearning.request import NOTHING
from forget.unlearning.result import Start
from forget.unlearning.strangers import calibrate
from forget.unlearning.watch import UNWATCHED, Watch
from ui.jobs import shared
from ui.jobs.queue import Job
from ui.run.method_form import knob_widgets
from ui.shell.words import told


@dataclasses.dataclass(frozen=True)
class Original:
    """A model to start from: one that this program trains, or a file that a person brought."""

    label: str
    learner: Learner | None = None
    file: str = ""

    def ready(self, dataset: Dataset, seed: int) -> bool:
        """Whether it can be loaded without training."""
        if self.file:
            return True
        if dataset.embedder:  # the models that know what strangers look like may be missing
            return False
        home = home_of(self.learner, dataset, seed, NOTHING)
        return is_stored(self.learner, dataset, home, NOTHING)

    def start(self, dataset: Dataset, seed: int, watch: Watch = UNWATCHED) -> Start:
        if not self.file:
            return start_from(self.learner, dataset, seed, watch)
        path = downloads() / self.file
        if not path.is_file():
            raise BadInput(f"{self.file} is no longer there: choose another model")
        return adopt(path, dataset)


def with_files(models: tuple[Original, ...]) -> tuple[Original, ...]:
    """The models that are made here, and then the checkpoints that lie in the folder and whose
    names a browser can send back."""
    brought = (Original(f"File: {name}", file=name) for name in
               (str(path.relative_to(downloads())) for path in store.foreign_files())
               if is_text(name))
    return (*models, *brought)


def label_for(models: tuple[Original, ...], learner: str) -> str:
    """The first model to start from that a learner makes."""
    return next(original.label for original in models
                if original.learner is not None and original.learner.name == learner)


@dataclasses.dataclass(frozen=True)
class Named:
    """Data that every session may use, by the name that :func:`find_dataset` knows."""

    name: str

    def ready(self) -> bool:
        """Whether :meth:`dataset` takes moments."""
        return find_dataset(self.name).ready()

    def dataset(self) -> Dataset:
        return shared.dataset(self.name)

    def fetch(self, watch: Job) -> Dataset:
        """The dataset, downloaded and computed where it must be; one copy for all sessions."""
        if not self.ready():
            find_dataset(self.name).load(watch.bytes)
        return self.dataset()

    def photo(self, key: str) -> bytes:
        """The file behind a sample, where there is one."""
        return shared.photos(self.name)[key]

    def erase(self, keys: Iterable[str]) -> None:
        """Delete what lies on disk of files that were forgotten."""
        find_dataset(self.name).erase(keys)


Ready = tuple[Dataset, Start, Threshold | None]
"""The data, the model to start from, and below which evidence it knows nobody, for people."""


def ready(dataset: Dataset, original: Original, seed: int, watch: Watch = UNWATCHED) -> Ready:
    """All that a page needs before it shows anything, trained where it must be."""
    start = original.start(dataset, seed, watch)
    known = calibrate(start.learner, dataset, seed, watch) if dataset.embedder else None
    return dataset, start, known


def prepare(data: Named, original: Original, seed: int) -> Job:
    """A job that fetches the dataset where it is missing and trains the model where it must."""
    return shared.submit(Job(
        "Getting ready", lambda job: ready(data.fetch(job), original, seed, job)))


def settings_of(page: str, original: Original, disabled: bool) -> Original:
    """The original with its recipe set as a person wants it; widgets in a form of their own."""
    key = f"{page}.recipe.{original.label}"
    given = st.session_state.get(key, original.learner)
    with st.expander("How it is made"), st.form(key + ".form", border=False):
        chosen = knob_widgets(given, key)
        if st.form_submit_button("Use these settings", disabled=disabled):
            try:
                given = dataclasses.replace(original.learner, **chosen)
            except BadInput as error:
                st.error(told(error), icon=":material/error:")
    st.session_state[key] = given
    return dataclasses.replace(original, learner=given)
