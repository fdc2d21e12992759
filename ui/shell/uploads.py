"""How large an uploaded file may be: what an uploader says is what the server takes."""

import streamlit as st

from forget.io.images import MAX_BYTES


def most_mb(own: int | None = None) -> int:
    """Megabytes that an uploader may promise: ``own``, where the server takes so much.

    The server's limit is ``server.maxUploadSize``, and every larger file is cut off there.
    """
    server = st.get_option("server.maxUploadSize")
    return server if own is None else min(own, server)


def picture_mb() -> int:
    """The same for a picture."""
    return most_mb(MAX_BYTES >> 20)
