"""Your own digit or photo through every model of a comparison."""

import dataclasses
import hashlib
from typing import Any

import streamlit as st
import torch
from torch import Tensor

from forget.core.errors import BadImage
from forget.evaluation.compare import Comparison
from forget.faces.detect import Found, find_faces
from forget.faces.embed import embed_face
from forget.io.images import read_photo
from forget.metrics.accuracy import predict
from ui.compare.models import Picked, model_of
from ui.digits.input import GivenDigit, digit_input, enlarged
from ui.faces.input import choose_face, numbered
from ui.jobs import shared
from ui.shell.uploads import picture_mb
from ui.shell.words import IN_MEMORY, plain, plain_errors, told
from ui.widgets.charts import percent
from ui.widgets.portrait import portrait, show_picture

TEST_PHOTO, UPLOAD, CAMERA = "Test photo", "Upload", "Camera"


@dataclasses.dataclass
class Shown:
    """What the input of digits reads and writes of a page's state."""

    dataset: Any
    given: Any


def yours(two) -> None:
    """The input, and every model's answer; ``two``: a :class:`ui.compare.pair.Pair`."""
    _yours(two.comparison, two.models)


@st.fragment
def _yours(comparison: Comparison, models: dict[str, Picked]) -> None:
    with plain_errors():
        ask = {"mnist": _digit, "faces": _face}[comparison.data.name]
        left, right = st.columns([3, 7], gap="large")
        with left:
            x = ask(comparison)
        with right:
            if x is None:
                st.info("What every model says appears here.", icon=":material/draw:")
                return
            _answers(comparison, models, x)


def _digit(comparison: Comparison) -> Tensor | None:
    """A drawn, uploaded or test digit as a model's input (1, 1, 28, 28)."""
    given = st.session_state.setdefault("compare.given", GivenDigit())
    digit_input(Shown(comparison.data, given))
    if given.digit is None:
        return None
    show_picture(enlarged(given.digit, 112), caption="What the models see",
                 alt="The 28 by 28 image that the models see")
    return torch.from_numpy(given.digit)[None, None]


def _face(comparison: Comparison) -> Tensor | None:
    """A face as a model's input (1, d)."""
    way = st.segmented_control("How", (TEST_PHOTO, UPLOAD, CAMERA), default=TEST_PHOTO,
                               required=True, key="compare.face.way", persist_state="session",
                               label_visibility="collapsed", wrap=True)
    if way == TEST_PHOTO:
        return _test_photo(comparison)
    file = (st.camera_input("Take a photo", key="compare.camera", help=IN_MEMORY)
            if way == CAMERA else
            st.file_uploader("A photo with a face", max_upload_size=picture_mb(),
                             key="compare.file", help=IN_MEMORY))
    return None if file is None else _read(file.getvalue())


def _test_photo(comparison: Comparison) -> Tensor:
    classes, test = comparison.data.classes, comparison.data.test
    usual = comparison.request.class_index or 0
    person = st.selectbox("Person", classes, index=usual, key="compare.face.person")
    rows = (test.y.cpu() == classes.index(person)).nonzero().flatten().tolist()
    number = 1 if len(rows) == 1 else st.number_input(
        f"Which of {len(rows)}", 1, len(rows), 1, key=f"compare.face.number.{person}")
    row = rows[number - 1]
    show_picture(portrait(test.shown(row), 96), caption=f"{plain(person)}, unseen",
                 alt=f"An unseen photo of {person}")
    return test.x[row][None]


def _read(data: bytes) -> Tensor | None:
    """The face that is meant in a photo that a person gave."""
    key = hashlib.sha256(data).hexdigest()[:16]
    try:
        found = _found(key, data)
    except BadImage as error:
        st.error(told(error), icon=":material/error:")
        return None
    index = choose_face(found.faces, f"compare.which.{key}")
    numbered(found, index)
    if index is None:
        return None
    picture, row = embed_face(found.photo, found.faces[index], shared.embedder())
    show_picture(portrait(picture, 96), caption="What the models see",
                 alt="The aligned face that the models see")
    return row[None]


def _found(key: str, data: bytes) -> Found:
    """The faces in a photo, looked for once while it is the one on show; in this tab only."""
    held = st.session_state.get("compare.photo")
    if held is None or held[0] != key:
        with st.spinner("Looking for faces"):
            held = st.session_state["compare.photo"] = key, find_faces([read_photo(data)])[0]
    return held[1]


def _answers(comparison: Comparison, models: dict[str, Picked], x: Tensor) -> None:
    """A line a model: its answer, and the next best."""
    classes, lines = comparison.data.classes, []
    for label, picked in models.items():
        model = model_of(comparison, picked)
        p, order = predict(model, x.to(comparison.data.train.y.device))[0].exp().sort(
            descending=True)
        lines.append({"Model": label, "Says": plain(classes[order[0]]),
                      "How sure": percent(p[0].item()), "Next best":
                      f"{plain(classes[order[1]])} ({percent(p[1].item())})"})
    st.table(lines, hide_index=True, border="horizontal", alt="What every model says: " + "; ".join(
        f"{line['Model']} {line['Says']}" for line in lines))
    st.caption("A model that forgot should answer as the retrained model of its kind does, also "
               "where that is wrong.")
