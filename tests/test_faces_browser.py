"""What people do with faces, in a real browser on real faces."""

import io
import re

import pytest
from browser import copy_faces, forget, open_faces, opened, server, settle, text
from drawn import drawn_face
from PIL import Image
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.browser]

LONG = 180_000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return copy_faces(tmp_path_factory.mktemp("app") / "home")


@pytest.fixture(scope="module")
def address(home):
    with server(home) as url:
        yield url


@pytest.fixture
def page(chrome):
    page = opened(chrome)
    yield page
    broken = page.eval_on_selector_all(
        "img", "all => all.filter(i => i.complete && !i.naturalWidth).map(i => i.alt)")
    page.context.close()
    assert page.complaints == []
    assert broken == []


def png(orl, name: str) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(orl[name])).save(out, "PNG")
    return out.getvalue()


def photo(orl, name: str) -> dict:
    return {"name": f"{name.replace('/', '-')}.png", "mimeType": "image/png",
            "buffer": png(orl, name)}


def says(page):
    """What the original makes of the photo on show."""
    return page.get_by_text(re.compile("^Original: ")).first


def click_person(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    settle(page)


# The first test starts the server: nothing was opened before.


def test_a_cold_deep_link_gives_the_whole_page_with_its_gallery(page, address):
    open_faces(page, address)
    for heading in ("Faces", "Who is in it", "Show it a face", "Make it forget"):
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
    expect(page.get_by_role("link", name="Models and data")).to_be_visible()
    expect(page.get_by_role("button", name="s40", exact=True)).to_be_visible()
    expect(says(page)).to_contain_text("s7")
    expect(page.get_by_alt_text("A photo of s7").first).to_be_visible()
    assert "Page not found" not in text(page)
    assert page.eval_on_selector_all("img", "all => all.filter(i => !i.alt).length") == 0
    page.get_by_label("Search", exact=True).fill("s33")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="s32", exact=True)).to_have_count(0, timeout=20_000)
    settle(page)
    click_person(page, "s33")
    expect(says(page)).to_contain_text("s33")


def test_a_person_is_clicked_forgotten_and_seen_side_by_side(page, address):
    open_faces(page, address)
    click_person(page, "s12")
    expect(says(page)).to_contain_text("s12")
    expect(page.get_by_text("All 4 training photos of s12.")).to_be_visible()
    page.get_by_text("Standard: retrain").click()
    settle(page)
    forget(page)
    expect(page.get_by_text("Matches retraining on accuracy")).to_be_visible(timeout=LONG)
    expect(page.get_by_text("Photos of s12 that no model has seen")).to_be_visible()
    expect(page.get_by_text("Who looks like them, and everybody else")).to_be_visible()
    expect(page.get_by_text("Strangers: nobody known")).to_be_visible()
    expect(page.get_by_text(re.compile("^Unlearned: not someone I know"))).to_be_visible()
    expect(says(page)).to_contain_text("s12")
    for view in ("Per person", "Where predictions went", "How it worked", "Download"):
        page.get_by_text(view, exact=True).click()
        settle(page)
        assert "Traceback" not in text(page)
    page.get_by_role("link", name="Digits").click()
    expect(page.get_by_role("heading", name="Digits")).to_be_visible()
    page.get_by_role("link", name="Faces").click()
    expect(page.get_by_text("Matches retraining on accuracy")).to_be_visible(timeout=LONG)
    settle(page)
    page.locator(".st-key-faces-undo button").first.click()
    expect(page.get_by_text("Matches retraining on accuracy")).to_have_count(0, timeout=20_000)


def test_a_telephone_shows_it_without_scrolling_sideways(chrome, address):
    page = opened(chrome, viewport={"width": 390, "height": 844}, color_scheme="dark")
    open_faces(page, address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    forget(page)
    expect(page.get_by_text("Who looks like them, and everybody else")).to_be_visible(timeout=LONG)
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate("""() => [...document.querySelectorAll('section *')].filter(
        e => e.getBoundingClientRect().right > 391 && e.offsetParent
             && getComputedStyle(e).position !== 'fixed'
             && !e.closest('[data-testid=stTable], [data-testid=stDataFrame], .js-plotly-plot')
        ).map(e => e.tagName + ' ' + (e.dataset.testid || e.className)).slice(0, 5)""")
    assert wide == []
    page.context.close()


def upload(page, *files: dict) -> None:
    page.get_by_text("Upload", exact=True).click()
    page.locator(".st-key-faces-file input[type=file]").set_input_files(list(files))
    settle(page)


def test_photos_good_and_bad_are_uploaded(page, address, orl):
    open_faces(page, address)
    upload(page, photo(orl, "s15/3.pgm"))
    expect(says(page)).to_contain_text("s15", timeout=20_000)
    expect(page.get_by_alt_text("The photo with 1 face marked")).to_be_visible()
    expect(page.get_by_alt_text("The aligned face that the model sees")).to_be_visible()
    for name, content, words in (
        ("notes.png", b"Dear diary", "not a picture that can be read"),
        ("photo.heic", b"\0\0\0\x18ftypheic" + b"\0" * 64, "HEIC"),
        ("cut.jpg", b"\xff\xd8\xff\xe0" + b"0" * 100, "picture"),
    ):
        upload(page, {"name": name, "mimeType": "image/png", "buffer": content})
        expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible(timeout=20_000)
        expect(page.get_by_role("alert")).to_have_count(1)
        expect(says(page)).to_have_count(0)
        assert "Traceback" not in text(page)
    upload(page, photo(orl, "s16/2.pgm"))
    expect(says(page)).to_contain_text("s16", timeout=20_000)


def two_people(orl, left: str, right: str) -> dict:
    """One photo of two people, as large as each other."""
    both = Image.new("L", (2 * 184 + 60, 284), 90)
    for place, name in enumerate((left, right)):
        both.paste(Image.open(io.BytesIO(orl[name])).resize((184, 224)), (20 + 204 * place, 30))
    out = io.BytesIO()
    both.save(out, "PNG")
    return {"name": "both.png", "mimeType": "image/png", "buffer": out.getvalue()}


def test_on_a_telephone_of_two_people_the_one_that_is_chosen_is_answered_for(chrome, address, orl):
    page = opened(chrome, viewport={"width": 390, "height": 844})
    open_faces(page, address)
    upload(page, two_people(orl, "s15/3.pgm", "s16/2.pgm"))
    choice = page.locator("[data-testid=stButtonGroup]").filter(has_text="2 faces: which one?")
    expect(choice).to_be_visible(timeout=20_000)
    expect(page.get_by_alt_text("The photo with 2 faces, numbered from the left")).to_be_visible()
    expect(says(page)).to_have_count(0)
    for number, person in (("2", "s16"), ("1", "s15")):
        choice.get_by_text(number, exact=True).click()
        expect(page.get_by_text(re.compile(f"^Original, face {number}: {person} "))).to_be_visible(
            timeout=20_000)
        expect(page.get_by_alt_text(f"numbered from the left; {number} is chosen")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()
    assert page.complaints == []


def drawn_photos(count: int) -> list[dict]:
    """Photos of one drawn face, no two alike, as files to be uploaded."""
    files = []
    for number in range(1, count + 1):
        face = drawn_face(300 + 20 * number).rotate(
            7 * (number - 3), Image.Resampling.BICUBIC, fillcolor=(90, 110, 130))
        image = Image.new("RGB", (500, 480), (40 * number, 90, 200 - 30 * number))
        image.paste(face, (20 * number, 15 * number))
        out = io.BytesIO()
        image.save(out, "PNG")
        files.append({"name": f"holiday{number}.png", "mimeType": "image/png",
                      "buffer": out.getvalue()})
    return files


def test_a_person_is_brought_enrolled_forgotten_and_leaves_no_trace(page, address, home, orl):
    name = "*Zoe_Q* חנה"
    open_faces(page, address)
    page.get_by_role("button", name="People").click()
    page.get_by_label("Name", exact=True).fill(name)
    files = drawn_photos(5)
    page.locator("[data-testid=stForm] input[type=file]").last.set_input_files(files)
    settle(page)
    page.get_by_role("button", name="Look at them").click()
    expect(page.get_by_text("5 photos of 1 person can be learnt from.")).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Enrol").click()
    page.get_by_text("AT&T and 1 brought").wait_for(timeout=LONG)
    page.keyboard.press("Escape")
    tile = page.get_by_role("button", name=name, exact=True)
    expect(tile).to_be_visible(timeout=LONG)  # as it was typed, whatever its signs mean elsewhere
    settle(page)
    tile.click()
    expect(says(page)).to_contain_text(name, timeout=20_000)
    settle(page)
    page.get_by_text("Standard: retrain").click()
    settle(page)
    forget(page)
    expect(page.get_by_text("Strangers: nobody known")).to_be_visible(timeout=LONG)
    for path in home.rglob("*"):
        assert "Zoe_Q" not in path.name
        if path.is_file():
            data = path.read_bytes()
            assert b"Zoe_Q" not in data, path
            assert not any(one["buffer"][60:200] in data for one in files), path


def test_the_servers_log_has_no_traceback_and_names_nobody(home, address):
    log = (home / "server.log").read_text()
    assert "Traceback" not in log
    assert "Stack (most recent call last)" not in log
    assert "holiday" not in log
    assert "Zoe_Q" not in log


def test_a_fresh_machine_gets_ready_by_itself(chrome, tmp_path):
    """What is known of the photos is not there: the page says what it does and shows them."""
    folder = copy_faces(tmp_path / "home")
    for path in list((folder / "embeddings").rglob("*.safetensors"))[:60]:
        path.unlink()
    with server(folder) as url:
        page = opened(chrome)
        page.goto(f"{url}/faces")
        expect(page.get_by_text("Getting the photos and the model ready")).to_be_visible(
            timeout=LONG)
        page.get_by_text("Not someone I know” means").wait_for(timeout=LONG)
        page.context.close()
