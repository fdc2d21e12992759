"""What all sessions of one server share: the datasets, and the one queue of jobs."""

import streamlit as st

from forget.data import Dataset, find_dataset
from forget.device import pick_device
from ui.jobs import JobQueue


@st.cache_resource(show_spinner=False)
def job_queue() -> JobQueue:
    return JobQueue()


@st.cache_resource(show_spinner=False, max_entries=4)
def dataset(name: str) -> Dataset:
    """A dataset that is ready to be loaded; read-only by convention, on the device."""
    return find_dataset(name).load().to(pick_device())
