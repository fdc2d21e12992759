"""People of one server who draw, forget and cancel, and note whatever is not their own."""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from forget.data import find_dataset
from forget.io.images import digit_from_drawing

try:
    from protocol import Page, Tab, connected
except ImportError:  # from a benchmark, which runs in the folder above
    from tests.protocol import Page, Tab, connected

RECIPE = "digits.recipe.Small convolutional network"
QUICK = {"arch": "mlp", "epochs": 1, "min_steps": 1, "batch_size": 512}
"""A recipe that is learnt in a second: what it is good for does not matter here."""

METHODS = ("Approximate: gradient ascent", "Fine-tune")
FIRST_SEED = 100
ROUNDS = 6
"""At most so many requests of one tab, before it is closed and another one opened."""

SAID_WITHIN = 5.0
"""Seconds within which a page must say what it waits for, on a machine that has time for it."""

FOR_EVER = 600.0

JPEG = 24
"""By how much a grey value may change when a picture is sent."""

TITLE = re.compile(r"Forget (?:(\d) \()?([\d,]+) training samples?\)? · (.+?)\**$", re.MULTILINE)
WAITING = re.compile(r"Waiting: (\d+ jobs?( of this tab)? before this one.*|it is next)")


@dataclass
class Notes:
    """What visitors saw: requests by how they ended, what was not theirs, and how they waited.

    ``waits``: seconds from a request to its end.  ``silent``: of every wait, the longest time in
    which the page did not say what for and was not being drawn.  ``still``: the longest in which
    nothing came from the server.  ``most_before``: the most jobs that a page said were before its
    own.  ``faults``: whatever else went wrong.
    """

    sessions: int = 0
    finished: int = 0
    cancelled: int = 0
    left: int = 0
    checks: int = 0
    mixed_up: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    silent: list[float] = field(default_factory=list)
    still: list[float] = field(default_factory=list)
    most_before: int = 0


class Silence:
    """How long a page has not said what it waits for, and how long nothing new came."""

    def __init__(self):
        self._spoke = self._moved = time.monotonic()
        self._updates = -1
        self.silent = self.still = 0.0

    def hear(self, said: bool, updates: int) -> None:
        """Whether the page says something now, and how often the server has drawn it so far."""
        now = time.monotonic()
        if updates != self._updates:
            self._updates, self._moved = updates, now
        if said:
            self._spoke = now
        self.silent = max(self.silent, now - self._spoke)
        self.still = max(self.still, now - self._moved)


def test_digits() -> tuple[np.ndarray, np.ndarray]:
    """The test set: pictures (10000, 28, 28) uint8, and their labels."""
    test = find_dataset("mnist").load().test
    return test.x[:, 0].numpy(), test.y.numpy()


test_digits.__test__ = False


class Closing(Exception):
    """The time is over, and there is nothing to cancel any more."""


class Visitor:
    """A person with one request of their own, a model of their own and pictures of their own.

    ``number``: no two of a server have the same.  ``pictures``: see :func:`test_digits`.
    """

    def __init__(self, address: str, number: int, pictures: tuple[np.ndarray, np.ndarray]):
        self.address, self.number, self.pictures = address, number, pictures
        self.digit, self.method = str(number % 10), METHODS[number // 10 % len(METHODS)]
        self.draw = random.Random(number)
        self.notes = Notes()
        self._picture: np.ndarray | None = None
        self._figures: bytes | None = None

    def stay(self, until: float) -> None:
        """Open tabs and use them until the clock, of :func:`time.monotonic`, says ``until``."""
        while time.monotonic() < until:
            try:
                with connected(self.address) as tab:
                    self.notes.sessions += 1
                    self._use(tab, until)
            except Closing:
                return
            except Exception as error:  # noqa: BLE001 - noted, and the visitor comes again
                self.notes.faults.append(f"visitor {self.number}: {error!r}"[:600])
                time.sleep(1)

    def _use(self, tab: Tab, until: float) -> None:
        self.arrive(tab, until)
        for round_ in range(self.draw.randint(1, ROUNDS)):  # or all would close theirs at once
            if time.monotonic() > until:
                return
            self.show(tab, drawn=round_ % 2 == 1)
            patience = self.draw.choice([None, None, None, self.draw.uniform(0, 20)])
            self.ask(tab, patience, until)
        if self.draw.random() < 0.5:
            self.press(tab)
            self.notes.left += 1

    def arrive(self, tab: Tab, until: float = float("inf")) -> None:
        """Wait for the page, and start from a model of one's own."""
        def usable(page: Page) -> bool:
            if time.monotonic() > until:
                raise Closing
            return usable_page(page)

        self.wait(tab, usable)
        tab.submit(RECIPE, {f"{RECIPE}.{name}": value for name, value in QUICK.items()}
                   | {"digits.seed": FIRST_SEED + self.number})
        tab.settle()
        self.wait(tab, usable)
        tab.choose("digits.method", self.method)
        tab.settle()
        tab.choose("digits.class", self.digit)
        tab.settle()

    def show(self, tab: Tab, drawn: bool) -> None:
        """Show the model a drawing or a test digit, and look whether the page has that one."""
        if drawn:
            rgba = scribble(self.draw)
            self._picture = digit_from_drawing(rgba)
            tab.choose("digits.way", "Draw")
            tab.settle()
            tab.draw("digits.canvas.*", rgba)
        else:
            label = str(self.draw.randrange(10))
            rows = np.flatnonzero(self.pictures[1] == int(label))
            place = self.draw.randrange(len(rows))
            self._picture = self.pictures[0][rows[place]]
            tab.choose("digits.way", "Test digit")
            tab.settle()
            tab.choose("digits.pick.class", label)
            tab.settle()
            tab.enter("digits.pick.number", place + 1)
        tab.settle()
        self._look(tab)

    def press(self, tab: Tab) -> None:
        """Ask to forget one's own digit."""
        tab.click("digits.forget")

    def ask(self, tab: Tab, patience: float | None = None, until: float = float("inf")) -> None:
        """Ask to forget, wait for the end, look at everything, and start over.

        ``patience``: seconds after which to cancel.  ``until``: when to cancel at the latest.
        """
        began = time.monotonic()
        stop = min(began + patience if patience is not None else float("inf"), until)
        self.press(tab)
        # What stands there until the answer comes may be an earlier request's notice.
        self.wait(tab, lambda page: tab.answered() and _over(page), stop)
        self.notes.waits.append(time.monotonic() - began)
        said = tab.page.text()
        if "Cancelled." in said:
            self.notes.cancelled += 1
        elif TITLE.search(said):
            self.notes.finished += 1
            self._compare(tab)
        else:
            raise AssertionError(f"a request ended in nothing; the page says: {said[-1500:]}")
        self._look(tab)
        if tab.page.widget("digits.over"):
            tab.click("digits.over")
            self.wait(tab, lambda page: tab.answered() and usable_page(page))

    def wait(self, tab: Tab, over: Callable[[Page], bool], stop: float = float("inf")) -> None:
        """Wait until the page is so far, noting what it says; cancel the job at ``stop``."""
        silence, began, cancelled = Silence(), time.monotonic(), False
        while not over(tab.page):
            now = time.monotonic()
            if now - began > FOR_EVER:
                raise AssertionError(f"waited for ever; the page says: {tab.page.text()[-1500:]}")
            button = tab.page.widget("cancel job*")
            if now > stop and button is not None and not cancelled:
                tab.click("cancel job*")
                cancelled = True
            tab.listen(0.1)
            self.check(tab.page)
            silence.hear(bool(self._reasons(tab.page)) or tab.page.running, tab.page.draws)
        self.notes.silent.append(silence.silent)
        self.notes.still.append(silence.still)

    def _reasons(self, page: Page) -> list[str]:
        """What the page says that it waits for."""
        said = [*page.bars(), *(box for box in page.boxes() if "Loading PyTorch" in box)]
        for one in said:
            before = re.search(r"Waiting: (\d+) job", one)
            self.notes.most_before = max(self.notes.most_before, int(before[1]) if before else 0)
        return [one for one in said if WAITING.fullmatch(one) or not one.startswith("Waiting")]

    def check(self, page: Page) -> None:
        """Note whatever on the page names another request than one's own."""
        self.notes.checks += 1
        for digit, _, method in TITLE.findall(page.text()):
            if (digit, method) != (self.digit, self.method):
                self.notes.mixed_up.append(
                    f"visitor {self.number} asked for {self.digit} by {self.method} and sees "
                    f"{digit} by {method}")
        if page.all("exception"):
            raise AssertionError(f"the page shows an exception: {page.all('exception')[0].message}")

    def _look(self, tab: Tab) -> None:
        """The picture that the model sees is the one that was shown to it."""
        self.check(tab.page)
        seen = tab.picture("The 28 by 28 image")
        if seen is None:
            raise AssertionError(f"no picture; the page says: {tab.page.text()[:1500]}")
        step = len(seen) // 28
        apart = (255 - seen[::step, ::step]).astype(int) - self._picture
        if np.abs(apart).max() > JPEG:
            self.notes.mixed_up.append(f"visitor {self.number} sees another picture than its own")

    def _compare(self, tab: Tab) -> None:
        """The same request of the same model has the same figures every time."""
        if not any("etraining" in box or "forgot" in box or "Damaged" in box
                   for box in tab.page.boxes()):
            raise AssertionError(f"no verdict; the page says: {tab.page.text()[-1500:]}")
        figures = tab.page.all("table")[0].SerializeToString()
        if self._figures not in (None, figures):
            self.notes.mixed_up.append(f"visitor {self.number} has other figures than before")
        self._figures = figures


def usable_page(page: Page) -> bool:
    """Whether a first request can be made: the button is there, and no result of another one."""
    return _can_press(page, "digits.forget") and page.widget("digits.over") is None


def _over(page: Page) -> bool:
    """Whether a request has ended: its figures are there, or why there are none."""
    return page.widget("cancel job*") is None and (
        _can_press(page, "digits.over")  # its digit is gone, and another is to be chosen first
        or ("Cancelled." in page.text() and _can_press(page, "digits.forget")))


def _can_press(page: Page, key: str) -> bool:
    """Whether the page stands still and shows this button, and it can be pressed."""
    button = page.widget(key)
    return not page.running and not page.bars() and button is not None and not button.disabled


def scribble(draw: random.Random) -> np.ndarray:
    """A stroke down the paper that nobody else has drawn, (260, 260, 4) uint8."""
    image = Image.new("RGBA", (260, 260), "white")
    path = [(draw.randrange(60, 200), y + draw.randrange(30)) for y in (20, 80, 140, 200)]
    ImageDraw.Draw(image).line(path, fill="black", width=18, joint="curve")
    return np.asarray(image)
