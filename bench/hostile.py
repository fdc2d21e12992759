"""Hostile files, each fed to the decoder that a person can reach with it.

    python -m bench.hostile [--files 500] [--seed 0]

and hostile messages, each sent to a running server by a tab of its own: all canvases, values of
every other widget, frames that are no message, addresses, requests, and files with odd names.

Each file is decoded in a process of its own, forked from one that has loaded everything.
``busy`` is the processor's time and ``grew`` the peak of that process's memory over what it
had at first; limits are 5 s and 500 MiB. The folder around it is listed before and after, and
whatever opens a file for writing, starts a program or makes a connection is told.
"""

import argparse
import datetime
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests import hostile, hostile_ways  # noqa: F401 - the second adds kinds to the first
from tests.sandbox import GROWTH, SECONDS, Fed, feed
from tests.wire import attack, queries

QUERIES = 3
"""Of the queries that there are, so many are taken together for one."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # inputs that are no text are quoted
    print(f"python -m bench.hostile --files {options.files} --seed {options.seed}\n"
          f"{datetime.date.today()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        fed = feed(Path(folder) / "sandbox", options.files, options.seed)
        print(f"{len(fed)} files in {time.perf_counter() - began:.0f} s\n", flush=True)
        wrong = show(fed, hostile.KINDS)
        began = time.perf_counter()
        fed = attack(Path(folder), [hostile.words(make) for make in hostile.TRICKS["canvas"]],
                     list(queries())[::QUERIES], more=True)
    print(f"\n{len(fed)} messages to a server in {time.perf_counter() - began:.0f} s\n")
    wrong += show(fed, ("sent", "query", "frame", "widget", "request", "dropped"))
    sys.exit(bool(wrong))


def show(fed: list[Fed], kinds: Iterable[str]) -> int:
    """A row a kind, the heaviest files, and whatever did what it may not; returns how many did."""
    print(f"{'kind':12} {'inputs':>6} {'read':>5} {'refused':>7} {'faults':>6}  {'longest':>9}  "
          f"{'grew most':>9}")
    for kind in kinds:
        row(kind, [one for one in fed if one.name.partition("-")[0] == kind])
    row("all", fed)
    print("\nthe five that grew most:")
    for one in sorted(fed, key=lambda one: -one.growth)[:5]:
        print(f"  {one.growth:4.0f} MiB, {one.busy:4.1f} s  {one.name}: {one.how}")
    print("the five that took longest:")
    for one in sorted(fed, key=lambda one: -one.busy)[:5]:
        print(f"  {one.busy:4.1f} s, {one.growth:4.0f} MiB  {one.name}: {one.how}")
    wrong = [one for one in fed if one.faults]
    print(f"\ninputs that crashed a decoder, took over {SECONDS:.0f} s or {GROWTH} MiB, wrote "
          f"outside their folder or ran code: {len(wrong)}")
    for one in wrong:
        print(f"  {one.name} ({one.how}): {'; '.join(one.faults)}")
    sys.stdout.flush()
    return len(wrong)


def row(title: str, fed: list[Fed]) -> None:
    counts = Counter("faults" if one.faults else one.outcome for one in fed)
    print(f"{title:12} {len(fed):6} {counts['read']:5} {counts['refused']:7} "
          f"{counts['faults']:6}  {max((one.busy for one in fed), default=0):7.1f} s  "
          f"{max((one.growth for one in fed), default=0):5.0f} MiB")


if __name__ == "__main__":
    main()
