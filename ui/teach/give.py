"""Give the model something: draw, upload or photograph it, say what it shows, and pile it up."""

import numpy as np
import streamlit as st
from PIL import Image
from torch import Tensor

from forget.core.errors import BadInput
from forget.core.spelling import spelling
from forget.core.words import agreeing, counted
from forget.faces.embedders import find_embedder
from forget.io.paths import downloads
from forget.records import bases
from forget.records.bases import Base, Digits
from forget.records.contributions import Contributor, contributors, labels
from forget.records.database import NAME
from ui.digits.input import enlarged
from ui.faces.input import choose_face, numbered
from ui.frame import PAGES
from ui.jobs.progress import watch_job
from ui.shell.access import who
from ui.shell.uploads import picture_mb
from ui.shell.words import IN_MEMORY, plain, told
from ui.teach.work import Crowd, File, Lesson, Piled, Reading, lesson
from ui.widgets.alike import hint
from ui.widgets.canvas import draw_on
from ui.widgets.findings import warn_of
from ui.widgets.portrait import portrait, show_picture

DRAW, UPLOAD, CAMERA = "Draw", "Upload", "Camera"
TILE = 72
SHOWN = 60
"""Pictures of the pile on one page."""

HERE = f"Until you press Teach: {IN_MEMORY}"


def choose_base() -> Lesson:
    """Digits or faces."""
    titles = {base.title: base for base in bases.BASES.values()}
    title = st.segmented_control("What to teach", list(titles), default=next(iter(titles)),
                                 required=True, key="teach.base", persist_state="session",
                                 wrap=True)
    return lesson(titles[title])


def get_ready(held: Lesson) -> bool:
    """Whether the base's data are there; else a job fetches them, which is then shown."""
    held.ready = held.ready or held.base.source.ready()
    if held.ready:
        return True
    if held.busy:
        st.info("Getting the data ready. This happens once.", icon=":material/download:")
        watch_job(held)
        return False
    if held.notice:
        st.error(held.notice, icon=":material/error:")
    if not held.notice or st.button("Try again", icon=":material/refresh:", key="teach.again"):
        held.fetch()
        st.rerun()
    return False


def give(held: Lesson) -> None:
    """The inputs and the pile."""
    left, right = st.columns(2, gap="large")
    with left:
        got = _input(held)
    with right:
        label = _label(held)
        if st.button("Add to the pile", icon=":material/add:", key=f"teach.{held.base.name}.add",
                     disabled=held.busy or got is None):
            _add(held, label, got)
    reading(held, tried=False)
    _pile(held)


def _input(held: Lesson) -> np.ndarray | list[File] | None:
    """A drawing or files, None while there is neither."""
    digits = isinstance(held.base, Digits)
    way = st.segmented_control(
        "How", (DRAW, UPLOAD) if digits else (UPLOAD, CAMERA), default=DRAW if digits else UPLOAD,
        required=True, key=f"teach.{held.base.name}.way", label_visibility="collapsed",
        persist_state="session", wrap=True)
    if way == DRAW:
        st.caption("Draw one digit here, large.")
        return draw_on(held.pad, "teach")
    if way == CAMERA:
        file = st.camera_input("Take a photo", key=f"teach.{held.base.name}.camera.{held.round}",
                               help=HERE)
        return None if file is None else [File("the photo", file.getvalue(), upload=file)]
    files = upload(held.base, f"teach.{held.base.name}.files.{held.round}", several=True)
    return [File(file.name, file.getvalue(), upload=file) for file in files] or None


def upload(base: Base, key: str, several: bool):
    """The uploader for what a base takes."""
    digits = isinstance(base, Digits)
    return st.file_uploader(
        f"{'Pictures' if several else 'A picture'} of one digit{' each' * several}" if digits else
        f"{'Photos of one person' if several else 'A photo with a face'}",
        accept_multiple_files=several, max_upload_size=picture_mb(), key=key,
        help=HERE if several else f"It is only looked at. {IN_MEMORY}")


def _label(held: Lesson) -> str | None:
    base = held.base
    if isinstance(base, Digits):
        return st.pills("What is it?", tuple("0123456789"), default="7", required=True,
                        key="teach.mnist.label", persist_state="session", wrap=True)
    key = f"teach.{base.name}.label"
    label = st.text_input("Who is it?", max_chars=80, key=key, persist_state="session",
                          placeholder="A name, such as Ana",
                          help="The name that the model is to say. Of a name that it knows already "
                          "it learns more photos.")
    hint(key, [*base.source.describe()["classes"], *labels(base, who().user),
               *(one.label for one in held.pile)])
    return label


def _add(held: Lesson, label: str, got: np.ndarray | list[File]) -> None:
    try:
        label = held.base.label(label)
    except BadInput as error:
        st.error(told(error), icon=":material/error:")
        return
    if isinstance(got, list):
        held.read(got, label)
    else:
        held.put(label, held.base.drawn(got))
        held.pad.clear()
    st.rerun()


def reading(held: Lesson, tried: bool) -> None:
    """The reading of files under way, what was wrong with them, and faces to be picked in them.

    ``tried``: of those that are only shown to the models, or of those to be taught.
    """
    if isinstance(held.job, Reading) and held.job.tried == tried:
        watch_job(held)
    if tried in held.unread:
        st.warning(held.unread[tried], icon=":material/error:")
    warn_of(held.problems.get(tried, ()))
    for number, (label, crowd) in list(held.crowds.items()):
        if (label is None) == tried:
            _pick_face(held, number, label, crowd)


def _pick_face(held: Lesson, number: int, label: str | None, crowd: Crowd) -> None:
    key = f"teach.{held.base.name}.face.{number}"
    with st.container(border=True):
        st.markdown(f"{plain(crowd.file.called)} shows several people. "
                    + ("Whom do you mean?" if label is None else f"Who is {plain(label)}?"))
        index = choose_face(crowd.found.faces, key)
        numbered(crowd.found, index)
        with st.container(horizontal=True):
            use = st.button("Use this face", icon=":material/face:", key=f"{key}.use",
                            disabled=held.busy or index is None)
            leave = st.button("Leave it out", key=f"{key}.leave", disabled=held.busy)
    if use or leave:
        held.crowds.pop(number)
        if use:
            held.read([File(crowd.file.name, crowd.file.data, index)], label)
        st.rerun()


def picture_of(base: Base, picture: Tensor, side: int) -> Image.Image:
    """A sample's picture in a square of some pixels."""
    if isinstance(base, Digits):
        return enlarged(picture.numpy(), side)
    return portrait(picture, side)


def _pile(held: Lesson) -> None:
    st.markdown(f"**The pile: {len(held.pile)}**")
    if not held.pile:
        st.caption(f"Nothing yet. Give a {held.base.one}, say what it shows, and add it; several "
                   "are learnt together. Nothing of it is written to the disk before you press "
                   "Teach.")
        return
    with st.container(horizontal=True, gap="small",
                      height=340 if len(held.pile) > 24 else "content"):
        for one in held.pile[:SHOWN]:
            _tile(held, one)
    if len(held.pile) > SHOWN:
        more = counted(len(held.pile) - SHOWN, "more, which is", "more, which are")
        st.caption(f"And {more} taught too.")


def _tile(held: Lesson, one: Piled) -> None:
    with st.container(width=TILE + 28, gap=None):
        show_picture(picture_of(held.base, one.given.picture, TILE), width=TILE,
                     alt=f"On the pile, labelled {one.label}")
        st.markdown(f"**{plain(one.label)}**")
        st.button("Take out", key=f"teach.{held.base.name}.out.{one.number}", type="tertiary",
                  icon=":material/close:", on_click=held.take_out, args=(one.number,),
                  disabled=held.busy)


def contributor(held: Lesson) -> str:
    """Who gives the pile, and what is kept of it where."""
    user = who().user
    if user is not None:
        st.markdown(f"Given by **{plain(user)}**. By this name all of it can be forgotten again.")
    name = user or st.text_input(
        "Who gives this?", max_chars=80, key="teach.contributor", persist_state="session",
        placeholder="Your name", help="By this name all of it can be forgotten again.")
    known = contributors()
    _said_of(name, known)
    if user is None:
        hint("teach.contributor", [one.name for one in known])
    what, but_not = _kept_of(held.base)
    st.caption(f":material/save: **What is kept.** When you press Teach, {what}, the label, the "
               f"time and the name of who gives it are written to `{downloads().name}/{NAME}` on "
               f"this machine, and the model that learnt it beside that.{but_not} By the name all "
               "of it can be forgotten again:")
    st.page_link(PAGES / "forget_me.py", label="Forget me", icon=":material/person_off:")
    return name


def _said_of(name: str, known: list[Contributor]) -> None:
    """What this contributor gave before, so that a name is not taken twice unseen."""
    counts = next((one.counts for one in known if one.name == spelling(name)), {})
    if total := sum(counts.values()):
        st.caption(f"{plain(spelling(name))} gave {counted(total, 'sample')} before; these "
                   f"are added to {agreeing(total, 'it', 'them')}.")


def _kept_of(base: Base) -> tuple[str, str]:
    """What is written of each sample, and a sentence on what is not."""
    if isinstance(base, Digits):
        return "the 28 x 28 pixels of each digit", ""
    return (f"of each photo the aligned face, its {find_embedder().size} numbers and a fingerprint "
            "of the file", " The photo itself is not kept.")
