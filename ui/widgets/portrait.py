"""Pictures as pages show them."""

import base64
import io

import streamlit as st
from PIL import Image
from torch import Tensor


def portrait(picture: Tensor, side: int) -> Image.Image:
    """A face (3, H, W) uint8 as a square picture of some pixels."""
    return Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((side, side))


def show_picture(picture: Image.Image, **how) -> None:
    """Show a small picture inside the page itself; ``how`` is for ``st.image``.

    Streamlit would serve it under an address of its own, to whoever has that, and for as long as
    any tab that showed it may come back.
    """
    png = io.BytesIO()
    picture.save(png, "PNG")
    st.image(f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}", **how)
