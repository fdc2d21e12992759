"""From the server's start to its end: what Streamlit leaves to whoever runs it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from starlette.formparsers import MultiPartParser
from streamlit import cli_util, config, runtime
from streamlit.starlette import App
from streamlit.web.server import server_util

MEGABYTE = 1 << 20


@contextlib.asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    """Start with a browser, end tidily, and let go of closed tabs in between."""
    # Larger uploads would go through a temporary file, and pages say that they go through none.
    MultiPartParser.spool_max_size = (config.get_option("server.maxUploadSize") + 1) * MEGABYTE
    if not config.get_option("server.headless"):
        address = config.get_option("server.address") or "localhost"
        cli_util.open_browser(server_util.get_url(server_util.get_display_address(address)))
    letting_go = asyncio.create_task(_let_go_of_closed_tabs())
    yield
    letting_go.cancel()
    print("  Stopping...")
    if hasattr(signal, "pthread_sigmask"):
        # uvicorn raises the signal that stopped it once more, which would skip what is to be done
        # at exit.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


async def _let_go_of_closed_tabs() -> None:
    """Drop what closed tabs held once they can no longer come back.

    Streamlit looks for such tabs only when another one is closed, and leaves the rest to garbage
    collection, which doesn't look at what ``ui.frame`` has frozen.
    """
    every, before = config.get_option("server.disconnectedSessionTTL") / 4, {}
    while True:
        await asyncio.sleep(every)
        infos = runtime.get_instance()._session_mgr.list_sessions()  # open, or may come back
        there = {info.session.id: info.session for info in infos}
        for identity in before.keys() - there.keys():
            before[identity].shutdown()
            before[identity].session_state.clear()
        before = there
