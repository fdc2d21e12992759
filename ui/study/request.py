"""What Compare and Audit ask alike: which data, and what to forget of them."""

import streamlit as st

from forget.core.errors import BadInput
from forget.core.words import counted
from forget.data import Dataset
from forget.unlearning.request import Request, parse_request
from ui.digits.input import DIGITS
from ui.faces.input import FACES
from ui.jobs.progress import watch_job
from ui.run.forget_form import choose_class, usual_class
from ui.run.subject import Subject
from ui.shell.address import asked_for, in_address, one_of
from ui.shell.words import plain, told
from ui.study.work import Work, dataset_of

TITLES = {"mnist": "Digits", "faces": "Faces"}
CLASS, RANDOM, SAMPLES = "class", "random", "samples"


def subject_of(data: str) -> Subject:
    """The words and pictures of a dataset."""
    return FACES if data == "faces" else DIGITS


def choose_data(page: str) -> str:
    """The name of one dataset; it stands in the page's address."""
    return st.segmented_control("Data", list(TITLES), default="mnist", required=True,
                                format_func=TITLES.get, wrap=True,
                                **in_address(f"{page}.data", "Data", one_of(TITLES.values())))


def get_dataset(held: Work, name: str) -> Dataset | None:
    """The dataset; None while a job fetches it, which is then shown."""
    dataset = dataset_of(held, name)
    if dataset is not None:
        return dataset
    getting = held.getting[name]
    if not getting.job.over:
        st.info("Getting the data ready. This happens once.", icon=":material/download:")
        watch_job(getting)
        return None
    st.error(getting.job.message or "Stopped before the data were ready.", icon=":material/error:")
    if st.button("Try again", icon=":material/refresh:", key=f"{name}.again"):
        getting.job = None
        st.rerun()
    return None


def choose_request(page: str, dataset: Dataset) -> Request | None:
    """What to forget; None, with a sentence, while it is not a request."""
    subject = subject_of(dataset.name)
    names = {CLASS: f"A {subject.one}", RANDOM: f"Random {subject.samples}",
             SAMPLES: f"{subject.samples.capitalize()} by number"}
    kind = st.segmented_control("What to forget", list(names), default=CLASS, required=True,
                                format_func=names.get, key=f"{page}.kind", wrap=True,
                                persist_state="session")
    spec = {CLASS: _class, RANDOM: _random, SAMPLES: _samples}[kind](page, subject, dataset)
    if spec is None:
        return None
    try:
        return parse_request(spec, dataset, 0)
    except BadInput as error:
        st.warning(told(error), icon=":material/info:")
        return None


def _class(page: str, subject: Subject, dataset: Dataset) -> str:
    names, asked = dataset.classes, f"{page}.class"
    label = f"{subject.one.capitalize()} to forget"
    first = asked_for(asked, label, names) or usual_class(names, subject.first)
    name = choose_class(label, names, first, f"{asked}.{dataset.name}")
    st.query_params[asked] = name  # a list that can be searched binds nothing
    count = int((dataset.train.y == names.index(name)).sum())
    st.caption(f"All {count:,} training {subject.samples} of {plain(name)}.")
    return f"class:{name}"


def _random(page: str, subject: Subject, dataset: Dataset) -> str:
    most = len(dataset.train) // 2
    count = st.number_input("How many", 1, most, min(100, most // 10 + 1),
                            key=f"{page}.count.{dataset.name}", persist_state="session",
                            help="Drawn from the training set; the same ones every time.")
    return f"random:{count}"


def _samples(page: str, subject: Subject, dataset: Dataset) -> str | None:
    text = st.text_input("Their numbers", key=f"{page}.ids.{dataset.name}",
                         placeholder="3, 17, 99", persist_state="session",
                         help=f"Places in the training set, from 0 to {len(dataset.train) - 1:,}, "
                         "with commas between. Digits and Faces show them under "
                         f"“{subject.samples.capitalize()} I pick”.")
    if not text.strip():
        st.caption("Write at least one number.")
        return None
    return "samples:" + text.replace(" ", "")


def asked(data: str, spec: str, samples: int) -> str:
    """A request in words, for Markdown.

    >>> asked("faces", "class:s7", 4)
    'Faces: forget s7 (4 training photos)'
    """
    subject = subject_of(data)
    form, _, what = spec.partition(":")
    count = counted(samples, f"training {subject.sample}", f"training {subject.samples}")
    return f"{TITLES[data]}: forget " + (f"{plain(what)} ({count})" if form == CLASS else count)
