"""Which tab a page is run in, and whose it is: turns and limits go by visitors, not by tabs."""

import ipaddress

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ui.shell.access import who
from ui.shell.turns import HERE, SERVER, Tab

HOME_NETWORK = 64
"""Leading bits of an IPv6 address that all addresses of one connection share."""


def tab() -> Tab:
    """The tab whose page is being run; the server itself where none is."""
    context = get_script_run_ctx(suppress_warning=True)
    return SERVER if context is None else Tab(visitor(), context.session_id)


def visitor() -> str:
    """Who has the page open: who signed in, the machine itself, or an address.

    Behind a proxy the address is the visitor's own where the server trusts the proxy, see
    docs/deploying.md. People behind one address count as one visitor; nothing that a browser
    sends of its own accord is better, since whoever wants many turns would send something else.
    """
    access = who()
    if access.user is not None:
        return access.user
    return HERE if access.local else network(st.context.ip_address)


def network(address: str | None) -> str:
    """An address, or the network of an IPv6 address, whose owner has all addresses in it.

    >>> network("203.0.113.7"), network("2001:db8:1:2:3:4:5:6"), network(None)
    ('203.0.113.7', '2001:db8:1:2::/64', 'this machine')
    """
    if address is None:
        return HERE
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # what is no address, such as a socket's name, stands for itself
        return str(address)
    found = getattr(found, "ipv4_mapped", None) or found
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, HOME_NETWORK), strict=False))


def present(tab: Tab) -> bool:
    """Whether a tab has a connection; asked in any thread."""
    return not runtime.exists() or runtime.get_instance().is_active_session(tab.session)
