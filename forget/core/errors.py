"""The one family of errors: each message is one sentence on what is wrong and what to do.

A page shows ``str(error)`` as it stands; the command line prints it and ends with ``exit_status``.
"""

from forget.core.spelling import one_line


class ForgetError(Exception):
    """Anything that this library refuses or fails to do.

    Whatever stands in a message, such as a file's name, it is shown as one line that moves no
    cursor.
    """

    exit_status = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


class BadInput(ForgetError):
    """What a person gave cannot be used: a name, a number, a request, a picture, a file."""

    exit_status = 2


class NoMemory(BadInput):
    """What a person asked for needs more memory than there is."""


class BadImage(BadInput):
    """A picture that is not one, is too large, or shows nothing.

    ``of_several``: the same, said of several pictures.
    """

    of_several = "they cannot be read as pictures"


class NoFace(BadImage):
    """A photo in which no face was found."""

    of_several = "no face was found in them; give photos with the face turned to the camera"


class ManyFaces(BadImage):
    """A photo with several faces of which it is not clear which one is meant."""

    of_several = ("they show several faces, and it is not clear which one is meant; pick one in "
                  "each, or cut the photos to one face")


class EmptyDrawing(BadImage):
    """A picture without ink; a page shows its empty state instead of an error."""


class SourceDown(ForgetError):
    """No source of a declared file answered with the right bytes."""


class DamagedFile(ForgetError):
    """A file on disk whose hash, form or shapes are not what they must be."""


class DamagedRecord(DamagedFile):
    """Something that the records keep, or a model that they name, is lost or cannot be read."""


class CannotWrite(ForgetError):
    """The data folder takes no more: the disk is full, or it may not be written to."""


class Busy(ForgetError):
    """Another program holds what is needed here, and did not let go in time."""


class Diverged(ForgetError):
    """Training or unlearning produced a number that is not finite, or a solver got nowhere."""


class Cancelled(ForgetError):
    """The person who asked for the work stopped it."""

    exit_status = 130


class NotVerified(ForgetError):
    """A certificate does not hold for the files and data given."""
