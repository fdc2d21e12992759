"""What the server does when it starts: no upload to a file, and a browser where one is wanted."""

import asyncio

import pytest
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from streamlit import cli_util, config

from ui.lifespan import lifespan

BODY = (b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        + bytes(3 << 20) + b"\r\n--cut--\r\n")


@pytest.fixture
def options(monkeypatch) -> dict:
    options = {"server.maxUploadSize": 25, "server.headless": True, "server.address": "localhost",
               "server.port": 8501, "browser.serverPort": 8501, "server.baseUrlPath": "",
               "server.disconnectedSessionTTL": 120}
    monkeypatch.setattr(config, "get_option", options.get)
    monkeypatch.setattr(MultiPartParser, "spool_max_size", MultiPartParser.spool_max_size)
    monkeypatch.setattr("signal.pthread_sigmask", lambda how, which: None)
    return options


async def uploaded() -> bool:
    """Whether three megabytes that are uploaded go through a temporary file."""
    async def receive():
        return {"type": "http.request", "body": BODY, "more_body": False}

    headers = [(b"content-type", b"multipart/form-data; boundary=cut")]
    scope = {"type": "http", "method": "PUT", "path": "/", "headers": headers}
    async with Request(scope, receive).form() as form:
        return form["file"].file._rolled


async def started() -> bool:
    async with lifespan(None):
        return await uploaded()


def test_an_upload_is_written_to_no_file(options):
    assert asyncio.run(uploaded())  # what Streamlit does by itself
    assert not asyncio.run(started())


@pytest.mark.parametrize(("headless", "address", "opened"), [
    (True, "localhost", []),
    (False, "localhost", ["http://localhost:8501"]),
    (False, "0.0.0.0", ["http://localhost:8501"]),
    (False, None, ["http://localhost:8501"]),
])
def test_a_browser_is_opened_where_one_is_wanted(options, monkeypatch, headless, address, opened):
    options |= {"server.headless": headless, "server.address": address}
    found = []
    monkeypatch.setattr(cli_util, "open_browser", found.append)
    asyncio.run(started())
    assert found == opened
