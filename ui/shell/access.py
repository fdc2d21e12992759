"""Who may reach the server, and what they may do there: localhost, signed in, or everybody.

Imports nothing slow: the frame asks on every page.
"""

import dataclasses
import hashlib
from collections.abc import Mapping

import streamlit as st
from streamlit.errors import StreamlitAuthError

from ui.shell.gate import auth, is_loopback, name_of, sign_in_host
from ui.shell.words import plain

SHARED = ("redirect_uri", "cookie_secret")
"""What ``[auth]`` in Streamlit's secrets must hold for any provider of sign-in."""

OF_PROVIDER = ("client_id", "client_secret", "server_metadata_url")
"""What a provider must have, in ``[auth]`` itself or in ``[auth.NAME]``."""

FORWARDED = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip",
             "x-original-host")
"""Headers of a request that came through a proxy, which may have let in anybody; so does any that
begins with ``X-Forwarded-``."""

LONGEST = 80
"""Letters of a name that the rest of the program takes."""

PROTECTIONS = ("server.enableXsrfProtection", "server.enableCORS")

OPEN = ("**Everybody who can reach this server can use it.** It can be reached from other machines "
        "and asks nobody to sign in. Bringing people, teaching and contributors' data are off "
        "until people sign in. Bind it to localhost, or set up sign-in: `docs/deploying.md` says "
        "how.")
OFF = ("Bringing people, teaching and contributors' data are off: this server can be reached from "
       "other machines, and you are not signed in. `docs/deploying.md` says how to set up sign-in.")


@dataclasses.dataclass(frozen=True)
class Access:
    """Who has the page open.

    ``local``: only this machine can reach the server, and did.  ``sign_in``: the server can ask
    people to sign in.  ``user``: who has signed in, an e-mail address that the provider has
    verified or the provider's own name for the person; None for nobody.

    >>> Access(local=False, sign_in=True, user=None).may_enrol
    False
    """

    local: bool
    sign_in: bool
    user: str | None

    @property
    def may_enrol(self) -> bool:
        """Whether data of people may be added, taught and looked at."""
        return self.local or self.user is not None


def who() -> Access:
    """The :class:`Access` of the session whose page is being run."""
    local = is_loopback(st.get_option("server.address")) and _asked_here() and not _fronted()
    return Access(local=local, sign_in=bool(_providers()), user=_user())


def guard() -> None:
    """Begin a page: say who can reach the server, and stop it where somebody must sign in first."""
    access = who()
    _warn_of_protections()
    if access.local:
        return
    if not access.sign_in:
        st.warning(OPEN, icon=":material/lock_open:")
    elif access.user is None:
        _ask_to_sign_in()
        st.stop()
    else:
        st.button("Sign out", key="access.out", type="tertiary", icon=":material/logout:",
                  on_click=st.logout, help=f"Signed in as {plain(access.user)}.")


def enrolment_off() -> None:
    """Say why nobody's data can be added here; drawn where ``who().may_enrol`` is False."""
    st.caption(f":material/lock: {OFF}")


def _ask_to_sign_in() -> None:
    st.info("This server is for people who sign in. Sign in to go on.", icon=":material/login:")
    for provider in _providers():
        label = f"Sign in with {provider}" if provider else "Sign in"
        if st.button(label, key=f"access.in.{provider}", type="primary", icon=":material/login:"):
            try:
                st.login(provider)
            except StreamlitAuthError as error:  # it says what is missing, without the secrets
                st.error(f"Signing in is not possible yet. {error}", icon=":material/error:")


def _warn_of_protections() -> None:
    off = [f"`{name}`" for name in PROTECTIONS if not st.get_option(name)]
    if "*" in st.get_option("server.allowedHosts"):
        st.warning("**Any website could use this server in your name:** `server.allowedHosts` lets "
                   "in every name. List the names that this server has, and start it again.",
                   icon=":material/gpp_maybe:")
    if off:
        st.warning(f"**Other websites could use this server in your name:** {' and '.join(off)} "
                   f"{'is' if len(off) == 1 else 'are'} switched off. Switch on what is off in "
                   "`.streamlit/config.toml` and start the server again.",
                   icon=":material/gpp_maybe:")


def _asked_here() -> bool:
    """Whether this machine's browser asked for this machine by a name of its own.

    A proxy that lets others in says so (:func:`_fronted`), or asks for the name that they asked
    for, or people sign in at that name. Only one that hides all three can't be noticed.
    A page under test comes from no request: it has no host, no origin, and no peer's address.
    """
    headers, peer = st.context.headers, st.context.ip_address
    host, origin = headers.get("Host"), headers.get("Origin")
    named = [peer if isinstance(peer, str) else None, sign_in_host(),
             None if host is None else name_of(host)]
    return (origin in (None, f"http://{host}", f"https://{host}")
            and all(one is None or is_loopback(one) for one in named))


def _fronted() -> bool:
    """Whether the request came through a proxy that says so."""
    return any(name.lower() in FORWARDED or name.lower().startswith("x-forwarded-")
               for name in st.context.headers)


def _providers() -> list[str | None]:
    """The providers of sign-in that have all they need; None is the one without a name."""
    settings = auth()
    if not all(settings.get(key) for key in SHARED):
        return []
    sections = {None: settings} | {name: section for name, section in settings.items()
                                   if isinstance(section, Mapping)}
    return [name for name, section in sections.items()
            if all(section.get(key) for key in OF_PROVIDER)]


def _user() -> str | None:
    """Who has signed in.

    An e-mail address counts only where the provider has verified it. A subject is unique for its
    issuer only, so the issuer goes with it; then nobody's subject is another's address either.
    What is too long for a name stands there as its hash: a subject may have 255 letters.
    """
    said = st.user.to_dict()
    if said.get("is_logged_in") is not True:
        return None
    if said.get("email") and said.get("email_verified") is True:
        name = said["email"]
    elif said.get("sub"):
        name = f"{said['sub']} of {said.get('iss', 'an unnamed issuer')}"
    else:
        return None
    return name if len(name) <= LONGEST else f"user {hashlib.sha256(name.encode()).hexdigest()}"
