"""What all sessions of one server share: the datasets, and the one queue of jobs."""

import streamlit as st

from forget.data import Dataset, find_dataset
from forget.device import pick_device
from forget.faces.embedders import Embedder, find_embedder
from ui.jobs import JobQueue


@st.cache_resource(show_spinner=False)
def job_queue() -> JobQueue:
    return JobQueue()


@st.cache_resource(show_spinner=False, max_entries=1)
def embedder() -> Embedder:
    """The network that turns faces into rows; its weights must be on this machine."""
    return find_embedder().load()


@st.cache_resource(show_spinner=False, max_entries=2)
def photos(name: str) -> dict[str, bytes]:
    """The photos of a dataset as they came, by key."""
    return {photo.key: photo.data for photo in find_dataset(name).photos()}


@st.cache_resource(show_spinner=False, max_entries=4)
def dataset(name: str) -> Dataset:
    """A dataset that is ready to be loaded; read-only by convention, on the device."""
    return find_dataset(name).load().to(pick_device())
