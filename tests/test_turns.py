"""Whose job is next: fair among visitors, erasures first, nothing of closed tabs; no thread, no
clock but one that is set."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget.core.errors import BadInput
from ui.shell import limits
from ui.shell.turns import HERE, SERVER, Tab, Turns


@dataclasses.dataclass(eq=False)
class Task:
    """A job that does nothing. ``why``: what was said when it was stopped."""

    name: str
    urgent: bool = False
    outlives_tab: bool = False
    over: bool = False
    why: str | None = None

    def cancel(self, seconds: float, why: str) -> None:
        self.over, self.why = True, why


class World:
    """A server with tabs that come and go, and a clock that stands still."""

    def __init__(self):
        self.now, self.away = 0.0, set()
        self.turns = Turns(lambda tab: tab not in self.away, lambda: self.now)

    def ask(self, visitor: str, session: str = "1", **how) -> Task:
        task = Task(f"{visitor}{session}", **how)
        self.turns.add(task, Tab(visitor, session))
        return task

    def close(self, visitor: str, session: str = "1") -> None:
        self.away.add(Tab(visitor, session))

    def pass_by(self, seconds: float) -> None:
        """Let time go by, with a look at the tabs every second."""
        for _ in range(round(seconds / limits.LOOK)):
            self.now += limits.LOOK
            self.turns.sweep()

    def work(self) -> list[str]:
        """Do all that can be done; the names in the order of their turns."""
        done = []
        while (task := self.turns.take()) is not None:
            done.append(task.name)
            task.over = True
        return done


@pytest.fixture
def world() -> World:
    return World()


def test_twenty_five_tabs_of_one_visitor_hold_up_another_one_by_one_job(world):
    for tab in range(25):
        world.ask("a", str(tab))
    running = world.turns.take()
    mine = world.ask("b")
    assert running.name == "a0"
    assert len(world.turns.ahead(mine)) == 1
    running.over = True
    assert world.work()[:3] == ["b1", "a1", "a2"]


def test_visitors_take_turns_and_so_do_the_tabs_of_each(world):
    for name in ("a1", "a1", "a1", "a2", "b1", "b1", "c1"):
        world.ask(*name)
    assert world.work() == ["a1", "b1", "c1", "a2", "b1", "a1", "a1"]


def test_whoever_had_a_turn_comes_after_those_who_had_none(world):
    for name in ("a1", "a1", "a1"):
        world.ask(*name)
    first = world.turns.take()
    world.ask("b")
    first.over = True
    second = world.turns.take()
    world.ask("c")
    world.ask("b")
    second.over = True
    assert second.name == "b1"
    assert world.work() == ["c1", "a1", "b1", "a1"]


def test_an_erasure_comes_first_and_erasures_take_turns_too(world):
    for _ in range(5):
        world.ask("a")
    for _ in range(2):
        world.ask("a", "e", urgent=True)
    world.ask("b", "e", urgent=True)
    assert world.work()[:4] == ["ae", "be", "ae", "a1"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("12"), st.booleans()),
                max_size=12))
def test_the_place_that_is_told_is_the_place_that_it_gets(asked):
    world = World()
    tasks = [world.ask(visitor, tab, urgent=urgent) for visitor, tab, urgent in asked]
    told = {id(task): len(world.turns.ahead(task)) for task in tasks}
    order = []
    while (task := world.turns.take()) is not None:
        order.append(told[id(task)])
        task.over = True
    assert order == list(range(len(tasks)))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("12"), st.booleans()),
                max_size=12))
def test_nobody_has_two_turns_while_somebody_waits_who_had_none(asked):
    world = World()
    for visitor, tab, _ in asked:
        world.ask(visitor, tab)
    visitors = [name[0] for name in world.work()]
    everybody = set(visitors)
    assert set(visitors[:len(everybody)]) == everybody


def test_a_closed_tab_loses_its_job_after_the_grace_and_no_earlier(world):
    blocking = world.ask("b")
    assert world.turns.take() is blocking
    waits = world.ask("a")
    world.close("a")
    world.pass_by(limits.GRACE)
    assert not waits.over
    world.pass_by(limits.LOOK)
    assert waits.over
    assert waits.why == "Its tab had no connection for 60 s."
    assert not blocking.over


def test_a_running_job_of_a_closed_tab_is_stopped(world):
    world.ask("a")
    runs = world.turns.take()
    world.close("a")
    world.pass_by(limits.GRACE + limits.LOOK)
    assert runs.over


def test_a_connection_that_was_lost_for_a_while_loses_nothing(world):
    waits = world.ask("a")
    for _ in range(5):
        world.close("a")
        world.pass_by(limits.GRACE - limits.LOOK)
        world.away.clear()
        world.pass_by(limits.LOOK)
    assert not waits.over
    assert world.work() == ["a1"]


def test_the_jobs_of_a_tab_that_is_away_let_the_others_go_first(world):
    world.ask("a")
    world.ask("b")
    world.close("a")
    mine = world.ask("c")
    assert [tab.visitor for tab in world.turns.ahead(mine)] == ["b"]
    assert world.work() == ["b1", "c1"]
    world.away.clear()
    assert world.work() == ["a1"]


def test_what_outlives_its_tab_is_done_without_it(world):
    erasure = world.ask("a", "1", urgent=True, outlives_tab=True)
    lesson = world.ask("a", "2", outlives_tab=True)
    world.close("a", "1")
    world.close("a", "2")
    world.pass_by(10 * limits.GRACE)
    assert not erasure.over
    assert not lesson.over
    assert world.work() == ["a1", "a2"]


def test_what_the_server_does_of_its_own_accord_needs_no_tab(world):
    world.turns = Turns(lambda tab: False, lambda: world.now)
    task = Task("server")
    world.turns.add(task, SERVER)
    world.pass_by(10 * limits.GRACE)
    assert world.turns.take() is task


def test_one_visitor_can_have_so_many_jobs_wait_and_another_one_still_comes_in(world):
    first, *_ = [world.ask("a", str(tab)) for tab in range(limits.WAITING_A_VISITOR)]
    with pytest.raises(BadInput, match="32 jobs of yours wait already"):
        world.ask("a", "more")
    world.ask("b")
    world.ask("a", "erasure", urgent=True)
    first.over = True
    world.ask("a", "instead")


def test_all_together_can_have_so_many_jobs_wait_and_an_erasure_still_comes_in(world):
    for number in range(limits.WAITING_IN_ALL):
        world.ask(f"visitor {number}")
    with pytest.raises(BadInput, match="320 jobs wait on this server"):
        world.ask("a")
    with pytest.raises(BadInput, match="320 jobs wait on this server"):
        world.ask(HERE)
    world.ask("a", urgent=True)
    world.turns.add(Task("left over"), SERVER)


def test_whoever_sits_at_the_machine_has_only_the_limit_of_all(world):
    for tab in range(limits.WAITING_A_VISITOR + 10):
        world.ask(HERE, str(tab))


def test_a_job_that_is_over_holds_no_place(world):
    first, second = world.ask("a"), world.ask("b")
    first.over = True
    assert world.turns.ahead(second) == []
    assert [place.job for place in world.turns.all()] == [second]


def test_visitors_without_number_are_not_remembered_for_ever(world):
    for number in range(5 * limits.WAITING_IN_ALL):
        world.ask(f"visitor {number}").over = False
        world.turns.take().over = True
    assert len(world.turns._last) <= 4 * limits.WAITING_IN_ALL
