"""Choose what to forget: a class, random samples, or samples picked from a gallery."""

import streamlit as st
import torch

from forget.data import Dataset
from forget.request import Forgotten
from ui.digit_input import enlarged

CLASS, RANDOM, PICKED = "A digit", "Random samples", "Samples I pick"
PAGE_SIZE = 24


def choose_request(page: str, dataset: Dataset, already: Forgotten) -> str | None:
    """The request's SPEC as the person set it, or None while nothing is picked."""
    kind = st.segmented_control("What to forget", (CLASS, RANDOM, PICKED), default=CLASS,
                                key=f"{page}.kind", required=True, persist_state="session",
                                wrap=True)
    return {CLASS: _class, RANDOM: _random, PICKED: _picked}[kind](page, dataset, already)


def _class(page: str, dataset: Dataset, already: Forgotten) -> str | None:
    gone = {dataset.classes[index] for index in already.classes}
    left = [name for name in dataset.classes if name not in gone]
    name = st.pills("Digit to forget", left, default=left[min(7, len(left) - 1)], required=True,
                    key=f"{page}.class.{len(gone)}", persist_state="session")
    count = int((dataset.train.y == dataset.classes.index(name)).sum())
    st.caption(f"All {count:,} training samples of {name}.")
    return f"class:{name}"


def _random(page: str, dataset: Dataset, already: Forgotten) -> str:
    count = st.number_input("How many", 1, len(dataset.train) // 2, 100, key=f"{page}.count",
                            persist_state="session",
                            help="Drawn from the training set with the model's seed.")
    return f"random:{count}"


def _picked(page: str, dataset: Dataset, already: Forgotten) -> str | None:
    picked: set[int] = st.session_state.setdefault(f"{page}.picked", set())
    picked -= set(already.ids.tolist())
    label = st.pills("Show samples of", dataset.classes, default=dataset.classes[0], required=True,
                     key=f"{page}.gallery.class", persist_state="session")
    gone = torch.zeros(len(dataset.train), dtype=torch.bool)
    gone[already.ids] = True
    rows = ((dataset.train.y.cpu() == dataset.classes.index(label)) & ~gone).nonzero().flatten()
    if not len(rows):
        st.info(f"No samples of {label} are left.")
        return _picked_spec(page, picked)
    pages = (len(rows) + PAGE_SIZE - 1) // PAGE_SIZE
    number = st.number_input(f"Page of {pages:,}", 1, pages, 1, key=f"{page}.gallery.page.{label}",
                             persist_state="session")
    with st.container(horizontal=True, gap="small"):
        for sample in rows[(number - 1) * PAGE_SIZE : number * PAGE_SIZE].tolist():
            _tile(page, dataset, sample, picked)
    return _picked_spec(page, picked)


def _tile(page: str, dataset: Dataset, sample: int, picked: set[int]) -> None:
    with st.container(width=76, gap="small"):
        image = dataset.train.x[sample, 0].cpu().numpy()
        st.image(enlarged(image, 72), alt=f"Training sample {sample}")
        if st.checkbox(f"{sample}", value=sample in picked, key=f"{page}.pick.{sample}"):
            picked.add(sample)
        else:
            picked.discard(sample)


def _picked_spec(page: str, picked: set[int]) -> str | None:
    if not picked:
        st.caption("Tick the samples to forget; their numbers are their places in the training "
                   "set.")
        return None
    st.caption(f"{len(picked)} picked: {', '.join(map(str, sorted(picked)))}")
    return "samples:" + ",".join(map(str, sorted(picked)))


def choose_references(page: str) -> int:
    """The number of retrained models to compare with."""
    return st.number_input("Retrained models to compare with", 1, 10, 1, key=f"{page}.references",
                           persist_state="session",
                           help="Each is trained from scratch without the data, with another "
                           "seed. With two or more, their spread says how much difference is "
                           "only chance.")
