"""Shards trained in other processes: the same bits, whoever does the work and whoever dies."""

import contextlib
import functools
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import joblib
import pytest
import torch
from conftest import tiny_dataset
from test_sisa import (
    QUICK,
    call,
    check_refused,
    forget,
    learner_of,
    same_model,
    save_npz,
    trained,
    without,
)

from forget.core import parallel
from forget.core.device import generator
from forget.core.errors import BadInput, ForgetError
from forget.core.steps import drive
from forget.learners import sisa
from forget.learners.sisa import Sisa
from forget.unlearning.result import Start
from forget.unlearning.store import Stored, frozen

ROOT = Path(__file__).parent.parent
TINY = tiny_dataset()
LONG = {"shards": 6, "arch": "cnn", "epochs": 15.0}
"""A training of seconds, so that a worker can be killed in the middle of it."""


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.delenv(parallel.WORKERS, raising=False)
    monkeypatch.delenv(parallel.SCHEDULER, raising=False)


@pytest.fixture
def two_workers(monkeypatch, pool):
    monkeypatch.setenv(parallel.WORKERS, "2")


@pytest.fixture(scope="module")
def pool():
    """Joblib keeps its processes for the next time; they are gone after these tests."""
    yield
    loky = joblib.externals.loky.reusable_executor
    if loky._executor is not None:
        loky._executor.shutdown(wait=True, kill_workers=True)


@functools.cache
def long_training():
    """The model of a long training, made in this process alone."""
    return trained(learner_of(**LONG))


def children() -> set[int]:
    """Processes that this one started and that still run."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid() and fields[0] != "Z":
                found.add(int(entry.name))
    return found


def triple(number: int) -> int:
    return 3 * number


def threads_of(_: int) -> tuple[int, int]:
    return os.getpid(), torch.get_num_threads()


# How many, and where.


@pytest.mark.parametrize(("text", "count"), [(None, 1), ("", 1), ("1", 1), ("2", 2), ("256", 256)])
def test_the_number_of_workers_is_read_from_the_environment(monkeypatch, text, count):
    if text is not None:
        monkeypatch.setenv(parallel.WORKERS, text)
    assert parallel.workers() == count
    assert parallel.elsewhere() == (count > 1)


@pytest.mark.parametrize("text", ["abc", "0", "-2", "257", "1.5", " ", "２", "1_0"])
def test_what_is_no_number_of_workers_is_bad_input(monkeypatch, text):
    monkeypatch.setenv(parallel.WORKERS, text)
    with pytest.raises(BadInput, match=parallel.WORKERS):
        parallel.workers()


def test_an_address_sends_the_work_elsewhere(monkeypatch):
    monkeypatch.setenv(parallel.SCHEDULER, "tcp://127.0.0.1:1")
    assert parallel.elsewhere()


def test_without_dask_an_address_is_bad_input(monkeypatch):
    monkeypatch.setenv(parallel.SCHEDULER, "tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInput, match="pip install"):
        list(parallel.each(triple, [(1,)]))


def test_what_the_message_says_to_install_is_there():
    assert "distributed" in (ROOT / "requirements-dask.txt").read_text()


def test_each_gives_every_result_with_its_index():
    assert sorted(parallel.each(triple, [(n,) for n in range(7)])) == [
        (n, 3 * n) for n in range(7)]
    assert list(parallel.each(triple, [])) == []


# Processes of this machine.


@pytest.mark.slow
def test_workers_have_one_thread_each(two_workers):
    seen = [result for _, result in parallel.each(threads_of, [(n,) for n in range(8)])]
    assert {threads for _, threads in seen} == {1}
    assert os.getpid() not in {process for process, _ in seen}


@pytest.mark.slow
@pytest.mark.parametrize("given", [
    {"arch": "cnn"}, {"arch": "mlp", "aggregation": "vote", "sharding": "by_class"},
], ids=str)  # fmt: skip
def test_two_processes_give_the_same_bits(two_workers, monkeypatch, given):
    learner = learner_of(**given)
    there = trained(learner)
    there_too, forgotten = forget(Start(Stored(there, {}), learner), "random:20")
    monkeypatch.delenv(parallel.WORKERS)
    here = trained(learner)
    here_too, _ = forget(Start(Stored(here, {}), learner), "random:20")
    assert same_model(there, here)
    assert same_model(there_too, here_too)
    assert same_model(there_too, trained(learner, without(forgotten)))


@pytest.mark.slow
def test_steps_are_counted_to_the_number_of_shards(two_workers):
    learner, seen = learner_of(shards=5), []
    draw = generator(0)
    model = learner.build(TINY.input_shape, 4, draw)
    drive(learner.train(model, TINY.train, draw), lambda step, _: seen.append(step))
    assert [(step.index, step.total) for step in seen] == [(n, 5) for n in range(1, 6)]
    assert sorted(step.doing for step in seen) == [f"trained shard {n}" for n in range(1, 6)]
    assert not any(module.training for module in model.modules())


@pytest.mark.slow
def test_stopping_in_the_middle_leaves_nothing_behind(two_workers, monkeypatch):
    draw, learner = generator(0), learner_of(**LONG)
    model = learner.build(TINY.input_shape, 4, draw)
    work = learner.train(model, TINY.train, draw)
    next(work)
    work.close()
    assert len(trained(learner_of()).secret) > 1  # and the workers can be used again
    monkeypatch.delenv(parallel.WORKERS)
    # The usual backend again, for whoever uses joblib next.
    assert joblib.parallel.get_active_backend()[1] in (1, None)


class Killer:
    """Kills one of some processes as soon as the first shard is done, in the middle of the next."""

    def __init__(self, processes: set[int]):
        self.victim, self.steps = min(processes), 0

    def __call__(self, step, seconds):
        if not self.steps:
            os.kill(self.victim, signal.SIGKILL)
        self.steps += 1


def trained_with(on_step, learner: Sisa):
    draw = generator(0)
    model = learner.build(TINY.input_shape, 4, draw)
    drive(learner.train(model, TINY.train, draw), on_step)
    return frozen(model)


@pytest.mark.slow
def test_a_killed_process_costs_at_most_a_sentence(two_workers, monkeypatch):
    """The docstring says that its job is done again; short of that, a person reads a sentence."""
    killer = Killer({pid for _, (pid, _) in parallel.each(threads_of, [(0,)] * 8)})
    learner = learner_of(**LONG)
    try:
        model = trained_with(killer, learner)
    except ForgetError as error:
        assert "\n" not in str(error)
        return
    assert not alive(killer.victim)
    assert killer.steps == LONG["shards"]
    monkeypatch.delenv(parallel.WORKERS)
    assert same_model(model, long_training())


def alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


# A Dask cluster.


@contextlib.contextmanager
def cluster(n_workers: int = 2, path: str = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"):
    """The address of a scheduler with worker processes, as a person starts it from a shell.

    ``path``: where they find modules, these tests' own functions among them.
    """
    distributed = pytest.importorskip("distributed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    env = os.environ | {"PYTHONPATH": path}
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env, "cwd": "/"}
    commands = [[*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]]
    if n_workers:
        commands.append([*dask, "worker", address, "--nworkers", str(n_workers), "--nthreads", "1",
                         "--no-dashboard", "--local-directory", "/tmp"])  # fmt: skip
    started = [subprocess.Popen(command, start_new_session=True, **quiet) for command in commands]
    try:
        with distributed.Client(address, timeout="30s") as client:
            if n_workers:
                client.wait_for_workers(n_workers, timeout=60)
            processes = set(client.run(os.getpid).values())
        assert len(processes) == n_workers
        yield address, processes
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)  # with its workers, and without their farewells
            process.wait()


@pytest.fixture(scope="module")
def dask():
    with cluster() as started:
        yield started


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bits(dask, monkeypatch):
    learner = learner_of(arch="cnn", sharding="by_class")
    monkeypatch.setenv(parallel.SCHEDULER, dask[0])
    there = trained(learner)
    there_too, forgotten = forget(Start(Stored(there, {}), learner), "random:20")
    monkeypatch.delenv(parallel.SCHEDULER)
    assert same_model(there, trained(learner))
    assert same_model(there_too, trained(learner, without(forgotten)))


@pytest.mark.slow
def test_the_work_is_done_by_all_workers_on_one_thread_each(dask, monkeypatch):
    monkeypatch.setenv(parallel.SCHEDULER, dask[0])
    seen = [result for _, result in parallel.each(threads_of, [(n,) for n in range(20)])]
    assert {process for process, _ in seen} == dask[1]
    assert {threads for _, threads in seen} == {1}


@pytest.mark.slow
def test_no_client_and_no_thread_stays_behind(dask, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv(parallel.SCHEDULER, dask[0])
    trained(learner_of())  # the first time starts what Dask keeps for the process
    before, processes = threading.active_count(), children()
    for _ in range(3):
        trained(learner_of())
    with pytest.raises(ValueError, match="client"):
        distributed.get_client()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert threading.active_count() <= before
    assert children() <= processes


@pytest.mark.slow
def test_a_request_that_is_stopped_leaves_no_client_behind(dask, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv(parallel.SCHEDULER, dask[0])
    draw, learner = generator(0), learner_of(**LONG)
    work = learner.train(learner.build(TINY.input_shape, 4, draw), TINY.train, draw)
    next(work)
    work.close()
    with pytest.raises(ValueError, match="client"):
        distributed.get_client()
    assert len(trained(learner_of()).secret) > 1


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_no_bit(monkeypatch):
    learner, here = learner_of(**LONG), long_training()
    with cluster() as (address, processes):
        monkeypatch.setenv(parallel.SCHEDULER, address)
        killer = Killer(processes)
        model = trained_with(killer, learner)
        assert not alive(killer.victim)
        assert killer.steps == LONG["shards"]
        assert same_model(model, here)


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_bad_input(home, tmp_path, monkeypatch, capsys):
    distributed = pytest.importorskip("distributed")
    client = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda place, timeout: client(place, timeout="1s"))
    monkeypatch.setenv(parallel.SCHEDULER, "tcp://127.0.0.1:1")
    status = call("run", save_npz(tmp_path), "--forget", "random:6", *QUICK)
    line = check_refused(capsys, status)
    assert "tcp://127.0.0.1:1" in line
    assert parallel.SCHEDULER in line


@pytest.mark.slow
@pytest.mark.parametrize("address", ["nonsense", "tcp://", "127.0.0.1:notaport", "ftp://a:1"])
def test_what_is_no_address_is_bad_input(monkeypatch, address):
    pytest.importorskip("distributed")
    monkeypatch.setenv(parallel.SCHEDULER, address)
    with pytest.raises(BadInput, match=parallel.SCHEDULER):
        list(parallel.each(triple, [(1,)]))


@pytest.mark.slow
def test_a_scheduler_without_workers_is_bad_input(monkeypatch):
    with cluster(0) as (address, _):
        monkeypatch.setenv(parallel.SCHEDULER, address)
        with pytest.raises(BadInput, match="worker"):
            list(parallel.each(triple, [(1,)]))


@pytest.mark.slow
def test_a_cluster_that_cannot_import_the_program_is_said_so_and_not_waited_for():
    script = "from forget.core import parallel; list(parallel.each(abs, [(-1,)]))"
    with cluster(path="") as (address, _):
        try:
            done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=40, text=True,
                                  env=os.environ | {parallel.SCHEDULER: address},
                                  capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            pytest.fail("still waiting after 40 seconds")
        assert done.returncode
        assert "BadInput" in done.stderr


# A process that used all this ends by itself.


@pytest.mark.slow
@pytest.mark.parametrize("how", [parallel.WORKERS, parallel.SCHEDULER])
def test_a_process_that_used_workers_ends_at_once_and_quietly(dask, how):
    script = textwrap.dedent("""
        import torch
        from forget.data import Samples
        from forget.core.device import generator
        from forget.learners.sisa import Sisa
        from forget.core.steps import drive
        if __name__ == "__main__":
            draw, learner = generator(0), Sisa(shards=3, arch="mlp", epochs=1.0)
            data = Samples(torch.randn(90, 5, generator=draw), torch.arange(90) % 3,
                           torch.arange(90))
            drive(learner.train(learner.build((5,), 3, draw), data, draw))
            print("done", flush=True)
    """)
    value = "2" if how == parallel.WORKERS else dask[0]
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, text=True,
                               env=os.environ | {how: value}, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)  # fmt: skip
    line, said = process.stdout.readline(), time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert (line, process.returncode, errors) == ("done\n", 0, "")
    assert time.monotonic() - said < 10


def test_a_job_is_plain_data():
    """What goes to a worker can be pickled, and holds its shard's samples and no others."""
    learner = Sisa(shards=4, slices=2, arch="mlp", epochs=1.0)
    model = trained(learner)
    placed = learner.division_of(model).place(TINY.train)
    job = learner._job(model, TINY.train, placed, 1, 1)
    sent = pickle.dumps(job)
    pixels = TINY.train.x.numel() * (placed[0] == 1).double().mean().item()
    weights = sum(parameter.numel() for parameter in model.networks[1].parameters())
    assert len(sent) < 1.2 * (pixels + 3 * 4 * weights) + 20_000
    made, _ = sisa.run_alone(pickle.loads(sent))  # noqa: S301 - our own bytes
    assert torch.equal(made[-1].weights, model.secret["1.1.weights"])
