"""What the server lets in: requests to names that are its own, from its own pages only.

Another website can send a browser here by a name that it has pointed at this machine (DNS
rebinding), from a page on another port, or in a frame. All of this is refused before Streamlit sees
it.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose
from streamlit import config
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERY_ADDRESS = ("", "0.0.0.0", "::")

ANOTHER_NAME = ("This server does not answer to the name in the address. Open it as "
                "http://localhost, or list the name in server.allowedHosts: docs/deploying.md says "
                "how.\n")
ANOTHER_PAGE = "This server answers its own pages only, and another page asked.\n"

PROTECTING = {"X-Frame-Options": "SAMEORIGIN", "Content-Security-Policy": "frame-ancestors 'self'",
              "Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
              "Referrer-Policy": "same-origin"}
"""No other site's frame shows a page of this server, and none of its tags a picture."""


class Gate:
    """ASGI middleware in front of Streamlit that refuses foreign requests."""

    def __init__(self, app: ASGIApp):
        self._app = app
        config.set_option("server.allowedHosts", own_names())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        is_page = scope["type"] == "websocket"
        refused = refusal(Headers(scope=scope), is_page)
        if refused is None:
            await self._app(scope, receive, _protected(send, scope["path"]))
        elif is_page:
            await WebSocketClose(1008)(scope, receive, send)
        else:
            status = 421 if refused == ANOTHER_NAME else 403
            await PlainTextResponse(refused, status)(scope, receive, _protected(send, ""))


def own_names() -> list[str]:
    """The hosts that this server answers to.

    Loopback, what the operator lists, the address that it is bound to, and where people sign in.
    """
    signed_in_at = sign_in_host()
    bound = config.get_option("server.address") or ""
    return list(dict.fromkeys([
        *LOOPBACK, *config.get_option("server.allowedHosts"),
        *([signed_in_at] if signed_in_at else []),
        *([] if bound in EVERY_ADDRESS else [bound])]))


def refusal(headers: Headers, is_page: bool) -> str | None:
    """Why a request is refused, or None.

    A browser names the page's origin whenever a page opens a WebSocket (``is_page``), and in every
    other request that a foreign page could read or change something with.
    """
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if len(hosts) != 1 or not is_host_allowed(hosts[0]):
        return ANOTHER_NAME
    if len(origins) > 1 or (is_page and not origins):
        return ANOTHER_PAGE
    return None if all(is_own(origin, hosts[0]) for origin in origins) else ANOTHER_PAGE


def is_own(origin: str, host: str) -> bool:
    """Whether an origin is a page of this server, or one that the operator trusts."""
    return (origin in (f"http://{host}", f"https://{host}")
            or origin in config.get_option("server.corsAllowedOrigins"))


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address is this machine itself and nobody else's."""
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def name_of(host: str) -> str:
    """The name in a ``Host`` header, without the port; empty where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def auth() -> Mapping[str, Any]:
    """The section ``[auth]`` of Streamlit's secrets; empty where there is none."""
    section = st.secrets.get("auth") if st.secrets.load_if_toml_exists() else None
    return section if isinstance(section, Mapping) else {}


def sign_in_host() -> str | None:
    """The host that people come back to when they have signed in; None where nobody signs in."""
    return urlsplit(str(auth().get("redirect_uri", ""))).hostname


def _protected(send: Send, path: str) -> Send:
    """Send an answer with the headers that keep other sites off; no cache keeps what was shown."""
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(PROTECTING)
            if path.startswith("/media/"):
                headers["Cache-Control"] = "no-store"
        await send(message)

    return with_headers
