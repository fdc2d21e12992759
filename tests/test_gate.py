"""Only the server's own pages get in: other names, other origins and frames are refused."""

import socket
from urllib.parse import urlsplit

import pytest
import requests
from browser import server
from protocol import connected
from starlette.datastructures import Headers
from streamlit import config

from ui.shell import gate

HOSTILE = [
    # DNS rebinding: the page's own name, pointed here, is both host and origin.
    *((name, f"http://{name}") for name in (
        "evil.example:{port}", "evil.example", "localhost.evil.example:{port}",
        "127.0.0.1.evil.example:{port}", "localhost-evil.example:{port}", "evil-localhost:{port}",
        "xlocalhost:{port}", "notlocalhost:{port}", "0.0.0.0:{port}", "192.168.1.7:{port}",
        "10.0.0.5:{port}", "[::]:{port}", "[fe80::1]:{port}", "[::ffff:192.168.1.7]:{port}",
        "rebind.127.0.0.1.nip.io:{port}", "7f000001.rbndr.us:{port}", "host.docker.internal:{port}",
        "forget:{port}", "2130706433:{port}", "0x7f.1:{port}", "localhost.localdomain:{port}")),
    ("evil.example:{port}", "https://evil.example:{port}"),
    ("evil.example:{port}", None),
    ("evil.example:{port}", "http://localhost:{port}"),
    ("evil.example:{port}", "http://127.0.0.1:{port}"),
    # What is no name at all.
    (None, "http://localhost:{port}"),
    ("", "http://localhost:{port}"),
    ("localhost@evil.example:{port}", "http://localhost@evil.example:{port}"),
    ("evil.example@localhost:{port}", "http://evil.example@localhost:{port}"),
    ("localhost:{port}/evil.example", "http://localhost:{port}/evil.example"),
    ("localhost#.evil.example", "http://localhost#.evil.example"),
    ("localhost?.evil.example", "http://localhost?.evil.example"),
    ("localhost:{port}:80", "http://localhost:{port}:80"),
    ("localhost:99999", "http://localhost:99999"),
    ("localhost evil.example", "http://localhost evil.example"),
    ("localhost:{port}, evil.example", "http://localhost:{port}"),
    ("localhost:{port}\r\nHost: evil.example", "http://localhost:{port}"),
    ("evil.example\r\nHost: localhost:{port}", "http://localhost:{port}"),
    # Another page reaches this server by its right name.
    *(("localhost:{port}", origin) for origin in (
        "http://evil.example", "https://evil.example", "http://evil.example:{port}", "null", "",
        "http://localhost", "https://localhost", "http://localhost:3000", "http://localhost:8080",
        "https://localhost:8443", "http://127.0.0.1:{port}", "http://127.0.0.1:3000",
        "http://0.0.0.0:{port}", "http://[::1]:{port}", "http://192.168.1.7:{port}",
        "http://sub.localhost:{port}", "http://localhost:{port}.evil.example",
        "http://localhost:{port}@evil.example", "http://evil.example#localhost:{port}",
        "http://evil.example/http://localhost:{port}", "ftp://localhost:{port}",
        "file://localhost:{port}", "file://", "chrome-extension://localhost:{port}",
        "localhost:{port}", "//localhost:{port}", "*", "http://localhost:{port} ,http://evil.example",
        "http://localhost:{port}\r\nOrigin: http://evil.example",
        "http://evil.example\r\nOrigin: http://localhost:{port}")),
    ("localhost:{port}", None),
    ("127.0.0.1:{port}", "http://localhost:{port}"),
    ("127.0.0.1:{port}", "http://127.0.0.1"),
    ("[::1]:{port}", "http://[::1]:3000"),
    ("localhost:{port}", "http://forget.example.org"),
]
"""Pairs of Host and Origin that no page of this server sends; None leaves the header out."""

OWN = [("localhost:{port}", "http://localhost:{port}"), ("127.0.0.1:{port}", "http://127.0.0.1:{port}"),
       ("[::1]:{port}", "http://[::1]:{port}"), ("localhost", "http://localhost"),
       ("localhost:{port}", "https://localhost:{port}")]

SECRETS = """[auth]
redirect_uri = "https://forget.example.org/oauth2callback"
cookie_secret = "for this test only"
client_id = "forget"
client_secret = "for this test only"
server_metadata_url = "https://id.example.org/.well-known/openid-configuration"
"""


def answer(address: str, host: str | None, origin: str | None) -> int:
    """The HTTP status of a request to open Streamlit's WebSocket; 101 lets it in."""
    port = urlsplit(address).port
    given = [(name, value.format(port=port)) for name, value in (("Host", host), ("Origin", origin))
             if value is not None]
    lines = ["GET /_stcore/stream HTTP/1.1", *(f"{name}: {value}" for name, value in given),
             "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: streamlit",
             "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return int(connection.recv(64).split()[1])


def let_in(address: str, pairs: list[tuple[str | None, str | None]]) -> list:
    return [pair for pair in pairs if answer(address, *pair) == 101]


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["as shipped", "in Docker", "behind sign-in"])
def test_no_other_page_opens_a_connection(tmp_path, setting):
    flags = [] if setting == "as shipped" else ["--server.address=0.0.0.0"]
    site = [("forget.example.org", "https://forget.example.org")]
    if setting == "behind sign-in":
        (tmp_path / "secrets.toml").write_text(SECRETS)
        flags.append(f"--secrets.files={tmp_path / 'secrets.toml'}")
    assert len(set(HOSTILE)) >= 70
    with server(tmp_path, *flags) as url:
        assert let_in(url, HOSTILE) == []
        assert let_in(url, OWN) == OWN
        assert let_in(url, site) == (site if setting == "behind sign-in" else [])
        assert requests.get(url, headers={"Host": "evil.example"}, timeout=10).status_code == 421
        for path in ("/", "/_stcore/health", "/_stcore/host-config", "/media/none.png"):
            framing = requests.get(url + path, timeout=10).headers
            assert framing["X-Frame-Options"] == "SAMEORIGIN"
            assert framing["Content-Security-Policy"] == "frame-ancestors 'self'"
            asked = {"Origin": "http://localhost:3000"}
            assert requests.get(url + path, headers=asked, timeout=10).status_code == 403
        with connected(url) as tab:
            tab.wait_for(lambda page: "Digits" in page.headings())


@pytest.fixture
def option(monkeypatch):
    """Streamlit's options, as they stand for one test."""
    options = {"server.allowedHosts": ["localhost"], "server.corsAllowedOrigins": [],
               "server.address": "localhost"}
    monkeypatch.setattr(config, "get_option", options.get)
    monkeypatch.setattr(gate, "auth", dict)
    return options


def refused(host: str, origin: str) -> bool:
    headers = Headers({"host": host, "origin": origin})
    return gate.refusal(headers, is_page=True) is not None


def test_an_operator_can_trust_another_origin_and_nothing_else_of_its_host(option):
    assert refused("localhost:8501", "https://forget.example.org")
    option["server.corsAllowedOrigins"] = ["https://forget.example.org"]
    assert not refused("localhost:8501", "https://forget.example.org")
    assert refused("localhost:8501", "https://forget.example.org:444")
    assert refused("localhost:8501", "http://forget.example.org")


def test_the_servers_names_are_loopback_what_is_listed_and_what_it_is_bound_to(option):
    option["server.allowedHosts"] = ["forget.example.org"]
    option["server.address"] = "192.168.1.7"
    assert gate.own_names() == [*gate.LOOPBACK, "forget.example.org", "192.168.1.7"]
    for everywhere in ("0.0.0.0", "::", None):
        option["server.address"] = everywhere
        assert gate.own_names() == [*gate.LOOPBACK, "forget.example.org"]


@pytest.mark.parametrize(("host", "name"), [
    ("localhost:8501", "localhost"), ("[::1]:8501", "::1"), ("127.0.0.1", "127.0.0.1"),
    ("[", ""), ("", ""), ("LOCALHOST", "localhost"),
])
def test_the_name_in_a_host_header(host, name):
    assert gate.name_of(host) == name
