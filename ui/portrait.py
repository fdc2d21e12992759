"""An aligned face as a picture."""

from PIL import Image
from torch import Tensor


def portrait(picture: Tensor, side: int) -> Image.Image:
    """A face (3, H, W) uint8 as a square picture of some pixels."""
    return Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((side, side))
