"""From the server's start to its end: what Streamlit leaves to whoever runs it."""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import AsyncIterator

from starlette.formparsers import MultiPartParser
from streamlit import cli_util, config, runtime
from streamlit.starlette import App
from streamlit.web.server import server_util

from forget.core.errors import ForgetError
from ui.frame import warm_up

log = logging.getLogger(__name__)

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
    threading.Thread(target=_finish_what_was_left, name="resume", daemon=True).start()
    yield
    letting_go.cancel()
    print("  Stopping...")
    if hasattr(signal, "pthread_sigmask"):
        # uvicorn raises the signal that stopped it once more, which would skip what is to be done
        # at exit.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


def _finish_what_was_left() -> None:
    """Carry out what was due, or left half-done, when the last server was stopped: nobody who asked
    to be forgotten waits for a visitor."""
    warm = warm_up()
    warm.done.wait()
    from ui.jobs.shared import resumed  # loads PyTorch

    try:
        resumed()
    except ForgetError as error:  # the pages about people's data say so as well
        log.error("%s", error)


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
