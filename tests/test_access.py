"""Who may reach the server: on localhost, signed in, or everybody, and what each of them may do."""

import socket
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import streamlit
from browser import server
from streamlit.testing.v1 import AppTest

from forget.data.people import person_name
from ui.shell.access import Access, who
from ui.shell.gate import LOOPBACK

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "pages").glob("*.py"))

PROVIDER = {"client_id": "forget", "client_secret": "secret",
            "server_metadata_url": "https://id.example.org/.well-known/openid-configuration"}
SHARED = {"redirect_uri": "https://forget.example.org/oauth2callback", "cookie_secret": "cookie"}
SIGN_IN = {"auth": SHARED | PROVIDER}

ANA = {"is_logged_in": True, "iss": "https://id.example.org", "sub": "1234",
       "email": "ana@example.org", "email_verified": True}


@pytest.fixture(autouse=True)
def setting(monkeypatch) -> dict:
    """The server's settings, to be changed for one test; a server on localhost at first."""
    settings = {"server.address": "localhost", "server.enableXsrfProtection": True,
                "server.enableCORS": True, "server.allowedHosts": ["localhost"]}
    real = streamlit.get_option
    monkeypatch.setattr(streamlit, "get_option",
                        lambda name: settings[name] if name in settings else real(name))
    return settings


@pytest.fixture
def everywhere(setting):
    """The server can be reached from other machines."""
    setting["server.address"] = "0.0.0.0"


def guarded():
    import streamlit as st

    from ui.shell.access import enrolment_off, guard, who

    guard()
    st.session_state["access"] = who()
    st.header("The body")
    if not who().may_enrol:
        enrolment_off()


def opened(script=guarded, user=None, secrets=None) -> AppTest:
    """A script's first run, for a user with these claims."""
    at = AppTest.from_function(script, default_timeout=60)
    at.user, at.secrets = user or {}, secrets or {}
    at.run()
    assert not at.exception
    return at


class Secrets(dict):
    """Streamlit's secrets, as far as they are asked."""

    def load_if_toml_exists(self) -> bool:
        return True


@pytest.fixture
def access(monkeypatch):
    """Who is said to be there, without a page."""
    def found(user=None, secrets=None, headers=None, peer=None) -> Access:
        for name, value in (("user", SimpleNamespace(to_dict=lambda: user or {})),
                            ("secrets", Secrets(secrets or {})),
                            ("context", SimpleNamespace(headers=headers or {}, ip_address=peer))):
            monkeypatch.setattr(streamlit, name, value)
        return who()

    return found


def texts(elements) -> str:
    return " ".join(element.value for element in elements)


# Who is there.


@pytest.mark.parametrize(("address", "local"), [
    ("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
    ("0.0.0.0", False), ("::", False), ("192.168.1.7", False), ("forget.example.org", False),
    ("localhost.example.org", False), ("", False), (None, False), ("unix:///tmp/x", False),
])
def test_only_a_loopback_address_is_local(setting, access, address, local):
    setting["server.address"] = address
    assert access() == Access(local=local, sign_in=False, user=None)


@pytest.mark.parametrize("header", [
    "X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "x-forwarded-server",
    "X-Real-IP", "Via", "CF-Connecting-IP"])
def test_what_comes_through_a_proxy_is_not_local(access, header):
    assert not access(headers={header: "203.0.113.9"}).local
    assert access(headers={"Host": "localhost:8501"}).local


@pytest.mark.parametrize(("host", "origin", "peer", "local"), [
    ("localhost:8501", "http://localhost:8501", None, True),
    ("127.0.0.1:8501", "http://127.0.0.1:8501", None, True),
    ("[::1]:8501", "http://[::1]:8501", "127.0.0.1", True),
    ("localhost:9000", "https://localhost:9000", None, True),
    ("forget.example.org", "https://forget.example.org", None, False),
    ("localhost:8501", "https://forget.example.org", None, False),
    ("localhost:8501", "http://localhost:3000", None, False),
    ("localhost:8501", "null", None, False),
    ("localhost.evil.example", "http://localhost.evil.example", None, False),
    ("192.168.1.7:8501", "http://192.168.1.7:8501", None, False),
    ("[", "http://[", None, False),
    ("localhost:8501", "http://localhost:8501", "192.168.1.9", False),
])
def test_only_a_request_of_this_machine_to_this_machine_is_local(access, host, origin, peer, local):
    """Also behind a proxy that keeps the host and sends no header of its own."""
    assert access(headers={"Host": host, "Origin": origin}, peer=peer).local == local


def test_a_server_on_localhost_where_people_sign_in_elsewhere_is_not_local(access):
    """Only a proxy can bring them from there."""
    assert access(secrets=SIGN_IN) == Access(local=False, sign_in=True, user=None)
    at_home = {"auth": SHARED | PROVIDER | {"redirect_uri": "http://localhost:8501/oauth2callback"}}
    assert access(secrets=at_home) == Access(local=True, sign_in=True, user=None)


@pytest.mark.parametrize("missing", [*SHARED, *PROVIDER])
def test_sign_in_without_one_of_its_settings_is_none(access, missing):
    auth = {key: value for key, value in SIGN_IN["auth"].items() if key != missing}
    assert not access(secrets={"auth": auth}).sign_in
    assert access(secrets=SIGN_IN).sign_in


@pytest.mark.parametrize(("claims", "user"), [
    (ANA, "ana@example.org"),
    (ANA | {"email_verified": False}, "1234 of https://id.example.org"),
    (ANA | {"email_verified": "true"}, "1234 of https://id.example.org"),
    ({"is_logged_in": True, "sub": "ana@example.org"},
     "ana@example.org of an unnamed issuer"),
    (ANA | {"is_logged_in": False}, None),
    (ANA | {"is_logged_in": "yes"}, None),
    ({"is_logged_in": True}, None),
    ({"is_logged_in": True, "email": "ana@example.org"}, None),
    ({"email": "ana@example.org", "email_verified": True}, None),
])
def test_a_user_has_a_verified_address_or_a_subject_of_an_issuer(access, claims, user):
    assert access(user=claims).user == user


def test_a_user_whose_name_is_too_long_still_has_one_of_their_own(access):
    claims = [ANA | {"email_verified": False, "sub": letter * 255} for letter in "ab"]
    names = {access(user=one).user for one in [*claims, ANA | {"email": f"{'a' * 90}@b.org"}]}
    assert len(names) == 3
    assert all(person_name(name) == name for name in names)


def test_enrolling_is_for_this_machine_and_for_who_signed_in():
    assert Access(local=True, sign_in=False, user=None).may_enrol
    assert Access(local=False, sign_in=True, user="ana@example.org").may_enrol
    assert not Access(local=False, sign_in=True, user=None).may_enrol
    assert not Access(local=False, sign_in=False, user=None).may_enrol


# What a page shows.


def test_a_page_on_localhost_is_as_it_was():
    at = opened()
    assert [header.value for header in at.header] == ["The body"]
    assert not at.warning
    assert not at.button
    assert not at.caption


def test_an_open_server_says_so_and_keeps_enrolment_off(everywhere):
    at = opened()
    assert [header.value for header in at.header] == ["The body"]
    assert "Everybody who can reach this server can use it" in texts(at.warning)
    assert "docs/deploying.md" in texts(at.warning)
    assert "are off" in texts(at.caption)


def test_who_has_not_signed_in_sees_nothing_but_the_way_in(everywhere):
    at = opened(secrets=SIGN_IN)
    assert "Sign in to go on" in texts(at.info)
    assert [button.label for button in at.button] == ["Sign in"]
    assert not at.header
    assert "access" not in at.session_state


def test_who_has_signed_in_sees_the_page_and_a_way_out(everywhere):
    at = opened(user=ANA, secrets=SIGN_IN)
    assert [header.value for header in at.header] == ["The body"]
    assert at.session_state["access"] == Access(False, True, "ana@example.org")
    assert not at.warning
    assert not at.caption
    assert [button.label for button in at.button] == ["Sign out"]
    at.button[0].click().run()
    assert not at.header
    assert [button.label for button in at.button] == ["Sign in"]


def test_each_provider_has_its_button(everywhere, monkeypatch):
    asked = []
    monkeypatch.setattr(streamlit, "login", asked.append)
    at = opened(secrets={"auth": SHARED | {"one": PROVIDER, "two": PROVIDER,
                                           "half": {"client_id": "forget"}}})
    assert [button.label for button in at.button] == ["Sign in with one", "Sign in with two"]
    at.button[1].click().run()
    assert asked == ["two"]


def test_sign_in_without_its_package_is_one_sentence_that_names_it(everywhere, monkeypatch):
    monkeypatch.setattr("streamlit.user_info.is_authlib_installed", lambda: False)
    at = opened(secrets=SIGN_IN)
    at.button[0].click().run()
    assert not at.exception
    assert "pip install streamlit[auth]" in texts(at.error)
    assert not at.header


@pytest.mark.parametrize("address", ["localhost", "0.0.0.0"])
@pytest.mark.parametrize("option", ["server.enableXsrfProtection", "server.enableCORS"])
def test_a_protection_that_is_off_is_said(setting, address, option):
    setting["server.address"] = address
    assert "switched off" not in texts(opened().warning)
    setting[option] = False
    (said,) = [box.value for box in opened().warning if "switched off" in box.value]
    assert f"`{option}`" in said


def test_a_server_that_answers_to_every_name_says_so(setting):
    setting["server.allowedHosts"] = ["localhost", "*"]
    assert "`server.allowedHosts` lets in every name" in texts(opened().warning)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_page_shows_anything_before_somebody_has_signed_in(everywhere, page):
    at = AppTest.from_file(page, default_timeout=60)
    at.session_state["framed"] = True
    at.secrets = SIGN_IN
    at.run()
    assert not at.exception
    assert len(at.title) == 1
    assert [button.label for button in at.button] == ["Sign in"]
    assert len(at.main) == 3  # the title, the sentence and the button
    assert not at.header


def bringing():
    from ui.faces.bringing import Bringing
    from ui.faces.people import choose_people

    choose_people(Bringing())


def test_people_can_be_brought_on_localhost_only_or_signed_in(setting, home):
    assert [field.label for field in opened(bringing).text_input] == ["Name"]
    setting["server.address"] = "0.0.0.0"
    at = opened(bringing)
    assert not at.text_input
    assert not at.get("file_uploader")
    assert "are off" in texts(at.caption)
    assert [field.label for field in opened(bringing, ANA, SIGN_IN).text_input] == ["Name"]


def test_kept_photos_are_shown_on_localhost_only(setting, home):
    (home / "people" / "Ana").mkdir(parents=True)
    (home / "people" / "Ana" / "1.jpg").write_bytes(b"a photo")
    assert "1 photo of 1 person" in texts(opened(bringing).caption)
    setting["server.address"] = "0.0.0.0"
    at = opened(bringing, ANA, SIGN_IN)
    assert "Kept" not in texts(at.caption)
    assert [button.label for button in at.button] == ["Look at them"]


# The server as it is shipped.


def test_the_shipped_settings_bind_to_localhost_and_protect():
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["server"]
    assert settings["address"] == "localhost"
    assert settings["enableXsrfProtection"] is True
    assert settings["enableCORS"] is True
    assert settings["allowedHosts"] == list(LOOPBACK)


def own_address() -> str:
    """This machine's address in its network; no packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine is in no network")
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but its own")
    return address


def test_a_server_as_shipped_answers_on_localhost_only(tmp_path):
    outside = own_address()
    with server(tmp_path) as url:
        assert requests.get(f"{url}/_stcore/health", timeout=10).ok
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url.replace('localhost', outside)}/_stcore/health", timeout=10)
