"""What a page is about: its words, its pictures and the models that it offers."""

import dataclasses
from collections.abc import Callable

from PIL import Image
from torch import Tensor

from ui.run.originals import Original


@dataclasses.dataclass(frozen=True)
class Subject:
    """The words, pictures and models of one page; the widgets, views and jobs are the same for all.

    ``key``: begins the keys of its widgets.  ``one``: a class, as a noun ("digit").  ``sample`` and
    ``samples``: what it is trained on.  ``known``: what the original is judged on, in words.
    ``picture``: draws one sample's picture (C, H, W) uint8 in a square of some pixels.  ``first``:
    the class that stands in the request at first.  ``models``: those that are made here;
    ``brings_files``: whether checkpoints in the folder can be started from too.  ``views``: what
    the page shows of a result beside the views of all pages: label and function of its session.
    """

    key: str
    one: str
    sample: str
    samples: str
    known: str
    picture: Callable[[Tensor, int], Image.Image]
    first: int
    models: tuple[Original, ...]
    brings_files: bool
    views: tuple[tuple[str, Callable], ...] = ()
