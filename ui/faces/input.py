"""Ways to show the model a face: from the gallery, uploaded, or taken with the camera."""

import dataclasses
import hashlib
from typing import Any

import streamlit as st
from PIL import Image, ImageDraw
from torch import Tensor

from forget.core.errors import BadImage
from forget.core.words import counted
from forget.data.photos import RECIPES
from forget.faces import Face, from_the_left
from forget.faces.detect import Found, find_faces
from forget.faces.embed import choose, embed_face
from forget.io.images import read_photo
from forget.learners.convex import Convex
from forget.learners.network import Network
from forget.learners.sisa import Sisa
from forget.metrics.accuracy import Predictions, predict
from forget.metrics.unknown import evidence
from ui.faces.views import side_by_side
from ui.jobs import shared
from ui.run.originals import Original
from ui.run.session import Session
from ui.run.subject import Subject
from ui.shell.uploads import picture_mb
from ui.shell.words import IN_MEMORY, plain, told
from ui.widgets import charts
from ui.widgets.charts import percent
from ui.widgets.portrait import portrait, show_picture

GALLERY, UPLOAD, CAMERA = "From the gallery", "Upload", "Camera"
TOP = 5
SHOWN = 420
"""Longest side, in pixels, of the photo with its boxes."""

LABEL = 30
"""Height, in pixels of that, of a face's number."""


FACES = Subject(
    key="faces", one="person", sample="photo", samples="photos",
    known="the unseen test photos", first=6, picture=portrait,
    models=(
        Original("Linear head", Network(**RECIPES["network"])),
        Original("Sharded heads (SISA)", Sisa(**RECIPES["sisa"])),
        Original(Convex.title, Convex(**RECIPES["convex"])),
    ),
    brings_files=False, views=(("Side by side", side_by_side),),
)


@dataclasses.dataclass
class GivenPhoto:
    """``found``: the photo on show with its faces, under its ``key``; ``wrong``: why it has none.
    ``bringing``: the people that a person is adding, see :mod:`ui.faces.people`."""

    key: str = ""
    found: Found | None = None
    wrong: str = ""
    bringing: Any = None

    @property
    def unsaved(self) -> bool:
        """Whether people were brought: they are in this tab only."""
        return self.bringing is not None and bool(self.bringing.photos or self.bringing.given)


def photo_input(held: Session, person: str) -> None:
    """Draw the widgets and put the photo that they give in the session.

    ``person``: whose the gallery's photo is.
    """
    given: GivenPhoto = held.given
    way = st.segmented_control("How", (GALLERY, UPLOAD, CAMERA), default=GALLERY, key="faces.way",
                               required=True, label_visibility="collapsed",
                               persist_state="session", wrap=True)
    data = {GALLERY: lambda: _from_gallery(held, person), UPLOAD: _upload, CAMERA: _camera}[way]()
    if data is None:
        given.key, given.found, given.wrong = "", None, ""
        return
    key = hashlib.sha256(data).hexdigest()
    if key != given.key:
        given.key, given.found, given.wrong = key, None, ""
        try:
            with st.spinner("Looking for faces"):
                (given.found,) = find_faces([read_photo(data)])
        except BadImage as error:
            given.wrong = told(error)
    if given.wrong:
        st.error(given.wrong, icon=":material/error:")


def _from_gallery(held: Session, person: str) -> bytes:
    """One of a person's photos that the model has not seen."""
    test = held.dataset.test
    rows = (test.y.cpu() == held.dataset.classes.index(person)).nonzero().flatten().tolist()
    st.caption(f"A photo of {plain(person)} that the model has not learnt from. Choose another "
               "person in the gallery above.")
    number = 1 if len(rows) == 1 else st.number_input(
        f"Which of {len(rows)}", 1, len(rows), 1, key="faces.gallery.number",
        persist_state="session")
    return held.data.photo(test.keys[rows[min(number, len(rows)) - 1]])


def _upload() -> bytes | None:
    file = st.file_uploader("A photo with a face", max_upload_size=picture_mb(), key="faces.file",
                            help=IN_MEMORY)
    return file and file.getvalue()


def _camera() -> bytes | None:
    file = st.camera_input("Take a photo", key="faces.camera",
                           help=IN_MEMORY)
    return file and file.getvalue()


def choose_face(faces: tuple[Face, ...], key: str, question: str = "which one?") -> int | None:
    """The index of the face that is meant; a person picks where there are several, by numbers from
    the left to the right, and none is picked before where none is clearly the largest."""
    if not faces:
        st.warning("No face was found here. Give a photo in which the face is turned to the camera "
                   "and not too small.", icon=":material/face_retouching_off:")
        return None
    if len(faces) == 1:
        return 0
    order, largest = from_the_left(faces), choose(faces)
    number = st.pills(
        f"{len(faces)} faces: {question}", range(1, len(faces) + 1), key=key, wrap=True,
        default=None if largest is None else 1 + order.index(largest),
        required=largest is not None)
    if number is None:
        st.caption("Choose a number: none of them is clearly the largest.")
        return None
    if largest is not None and order[number - 1] == largest:
        st.caption(f"Face {number} is by far the largest, so it is the one unless you choose "
                   "another.")
    return order[number - 1]


def numbered(found: Found, chosen: int | None) -> None:
    """The photo with its faces marked; several have numbers, from the left to the right."""
    count = len(found.faces)
    chosen_number = None if chosen is None else 1 + from_the_left(found.faces).index(chosen)
    show_picture(
        annotated(found.photo, found.faces, chosen), width=240,
        alt=f"The photo with {counted(count, 'face')} marked" if count < 2 else
        f"The photo with {count} faces, numbered from the left"
        + (f"; {chosen_number} is chosen" if chosen_number else ""))


def shrunk(found: Found) -> Found:
    """The same photo and faces no larger than they are shown, to be held in memory."""
    scale = min(1.0, SHOWN / max(found.photo.size))
    photo = found.photo.resize([max(1, round(side * scale)) for side in found.photo.size])
    return Found(photo, tuple(dataclasses.replace(
        face, box=tuple(edge * scale for edge in face.box),
        points=tuple((x * scale, y * scale) for x, y in face.points)) for face in found.faces))


def annotated(photo: Image.Image, faces: tuple[Face, ...], chosen: int | None) -> Image.Image:
    """The photo with a box and five points a face; boxes have numbers, the chosen one a colour."""
    scale = SHOWN / max(photo.size)
    shown = photo.resize([max(1, round(side * scale)) for side in photo.size])
    pen = ImageDraw.Draw(shown)
    for number, index in enumerate(from_the_left(faces), 1):
        face, is_chosen = faces[index], index == chosen
        colour = charts.COLOURS[charts.UNLEARNED] if is_chosen else "#ffffff"
        left, top, right, bottom = (value * scale for value in face.box)
        box = (left, top, max(right, left + 1), max(bottom, top + 1))
        pen.rectangle(box, outline=colour, width=5 if is_chosen else 3)
        for x, y in face.points:
            pen.ellipse((x * scale - 3, y * scale - 3, x * scale + 3, y * scale + 3), fill=colour)
        if len(faces) > 1:
            _label(pen, str(number), (left, top), colour)
    return shown


def _label(pen: ImageDraw.ImageDraw, text: str, at: tuple[float, float], colour: str) -> None:
    """A number on a ground of the box's colour, legible on any photo: on top of the box, or within
    it where there is no room above."""
    left, top = at
    width, height = pen.textlength(text, font_size=LABEL) + LABEL / 2, 1.2 * LABEL
    top = top - height if top >= height else top
    pen.rectangle((left, top, left + width, top + height), fill=colour)
    pen.text((left + width / 2, top + height / 2), text, fill="#000000", font_size=LABEL,
             anchor="mm")


def answers(held: Session, models: dict[str, Any]) -> None:
    """The photo with its faces, the aligned one, and what each model makes of it."""
    found: Found | None = held.given.found
    if found is None:
        st.info("Choose a person in the gallery, upload a photo or take one. What the model says "
                "appears here.", icon=":material/face:")
        return
    seen, *places = st.columns([2, *(2 for _ in models)])
    with seen:
        index = choose_face(found.faces, f"faces.which.{held.given.key[:16]}")
        numbered(found, index)
        if index is None:
            return
        picture, row = embed_face(found.photo, found.faces[index], shared.embedder())
        show_picture(portrait(picture, 96), alt="The aligned face that the model sees")
        sure = percent(found.faces[index].probability)
        st.caption("What the model sees: the face, turned and scaled so that eyes, nose and mouth "
                   f"lie in fixed places. The detector is {sure} sure that it is one.")
    which = "" if len(found.faces) == 1 else (
        f", face {1 + from_the_left(found.faces).index(index)}")
    for place, (name, model) in zip(places, models.items(), strict=True):
        with place:
            _says(held, name, which, model, row)


def _says(held: Session, name: str, which: str, model, row: Tensor) -> None:
    log_p = predict(model, row[None].to(held.dataset.train.x.device))
    said = Predictions(log_p, log_p.argmax(1))
    p, order = log_p[0].exp().sort(descending=True)
    people = [held.dataset.classes[index] for index in order[:TOP].tolist()]
    st.markdown(f"**{name}{which}**: {verdict_on(held, people[0], evidence(said).item())}")
    charts.probabilities(people, p[:TOP].tolist(), name)


def verdict_on(held: Session, best: str, probability: float) -> str:
    """Whom a model says it sees, or that it knows nobody like this, in words."""
    if held.threshold is not None and probability < held.threshold.value:
        return f"**not someone I know** (nearest: {plain(best)}, {percent(probability)})"
    return f"**{plain(best)}** ({percent(probability)})"


def about_threshold(held: Session) -> None:
    """Where the threshold comes from and how often it errs."""
    known = held.threshold
    if known is None:
        st.caption("With fewer than four people nobody can be left out to learn what a stranger "
                   "looks like: the model always names somebody.")
        return
    other = ("photos that did not draw it" if len(held.dataset.held_out) else
             "unseen photos (those of known people drew it too, since none is held out)")
    st.caption(
        f"“Not someone I know” means that the most likely person gets less than "
        f"{percent(known.value)}. This line was drawn on people left out of training in turn. On "
        f"{other}, strangers are taken for somebody in "
        f"{percent(known.false_accept)} of {known.strangers:,} cases, and known people are not "
        f"recognised in {percent(known.false_reject)} of {known.known:,}.")
