"""Three ways to show the model a digit: draw it, upload it, or pick one from the test set."""

import dataclasses

import numpy as np
import streamlit as st
from PIL import Image

from forget.core.errors import BadImage, EmptyDrawing
from forget.data import Dataset
from forget.data.mnist import RECIPES
from forget.io.images import digit_from_picture, read_image
from forget.learners.convex import Convex
from forget.learners.network import Network
from forget.learners.sisa import Sisa
from ui.run.originals import Original
from ui.run.session import Session
from ui.run.subject import Subject
from ui.shell.uploads import picture_mb
from ui.shell.words import IN_MEMORY, told
from ui.widgets.canvas import SIDE, Pad, draw_on
from ui.widgets.portrait import show_picture

DRAW, UPLOAD, PICK = "Draw", "Upload", "Test digit"


def enlarged(digit: np.ndarray, side: int) -> Image.Image:
    """A digit with its pixels as squares, dark on light as people write."""
    return Image.fromarray(255 - digit).resize((side, side), Image.Resampling.NEAREST)


DIGITS = Subject(
    key="digits", one="digit", sample="sample", samples="samples",
    known="the 10,000 unseen test digits", first=7,
    picture=lambda picture, side: enlarged(picture[0].cpu().numpy(), side),
    models=(
        Original("Small convolutional network", Network(**RECIPES["network"])),
        Original("Fully connected 784-64-64-10", Network(arch="mlp")),
        Original(Sisa.title, Sisa()),
        Original(Convex.title, Convex()),
        Original(f"{Convex.title}, single step (Guo)",
                 Convex(mode="guo", lam=1e-4, sigma=1.0)),
    ),
    brings_files=True,
)


@dataclasses.dataclass
class GivenDigit:
    """``digit``: the picture on show, (28, 28) uint8 or None.  ``pad``: the last drawing."""

    digit: np.ndarray | None = None
    pad: Pad = dataclasses.field(default_factory=Pad)
    unsaved = False  # a drawing is soon drawn again


def digit_input(held: Session) -> None:
    """Draw the widgets and put the digit that they give in the session."""
    given: GivenDigit = held.given
    way = st.segmented_control("How", (DRAW, UPLOAD, PICK), default=DRAW, key="digits.way",
                               required=True, label_visibility="collapsed",
                               persist_state="session", wrap=True)
    read = {DRAW: _draw, UPLOAD: _upload, PICK: _pick}[way]
    try:
        given.digit = read(given, held.dataset)
    except EmptyDrawing as empty:
        given.digit = None
        st.warning(told(empty))
    except BadImage as error:
        given.digit = None
        st.error(told(error), icon=":material/error:")


def _draw(given: GivenDigit, dataset: Dataset) -> np.ndarray | None:
    st.caption("Draw one digit here, large.")
    return draw_on(given.pad, "digits")


def _upload(given: GivenDigit, dataset: Dataset) -> np.ndarray:
    file = st.file_uploader("A picture of one digit", max_upload_size=picture_mb(),
                            key="digits.file", help="PNG, JPEG, WEBP, GIF or BMP, dark on light or "
                            f"light on dark. {IN_MEMORY}")
    if file is None:
        return None
    picture = read_image(file.getvalue())
    show_picture(_small(picture), caption="Your picture", alt="The uploaded picture")
    return digit_from_picture(picture)


def _pick(given: GivenDigit, dataset: Dataset) -> np.ndarray:
    label = st.pills("Digit", dataset.classes, default=dataset.classes[3], required=True,
                     key="digits.pick.class", persist_state="session", wrap=True)
    rows = (dataset.test.y == dataset.classes.index(label)).nonzero().flatten()
    number = st.number_input("Which one of the test set", 1, len(rows), 1, key="digits.pick.number",
                             persist_state="session",
                             help=f"The test set has {len(rows):,} of this digit.")
    image = dataset.test.x[rows[number - 1], 0].cpu().numpy()
    show_picture(enlarged(image, 196), caption=f"A handwritten {label}",
                 alt=f"A handwritten {label} from the test set")
    return image


def _small(picture: Image.Image) -> Image.Image:
    shown = picture.copy()
    shown.thumbnail((SIDE, SIDE))
    return shown
