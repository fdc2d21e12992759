"""Processes that teach, forget, fetch and compare in a data folder, killed again and again.

    python -m bench.kills [--kills 200] [--homes 8] [--seed 0]

Every process is forked from one that has loaded everything and gets SIGKILL: every second one
after a random time, the others at a picked moment, each moment of each operation in turn. After
each kill a judge compares the folder with the journal of what was promised, lets the program clean
up in a copy, and looks there for whatever should be gone. A power cut is another matter: what was
written and not synced survives SIGKILL.
"""

import argparse
import datetime
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.killed_records import OFTEN, Kill, killed

OPERATIONS = ("resume", *OFTEN)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--homes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"python -m bench.kills --kills {options.kills} --homes {options.homes} "
          f"--seed {options.seed}\n{datetime.date.today()}, 1 thread of {os.cpu_count()} cores, "
          f"load {os.getloadavg()[0]:.1f} before\n")
    began, found = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'kill':>4}  {'at which moment':18}  {'while':10}  {'done before':>11}  faults")
        for one in killed(Path(folder), options.kills, options.homes, options.seed):
            found.append(one)
            show(one)
    print(f"\n{time.perf_counter() - began:.0f} s")
    summary(found)
    sys.exit(any(one.faults for one in found))


def show(one: Kill) -> None:
    print(f"{one.kill:4}  {one.how:18}  {one.during:10}  {sum(one.did.values()):11}  "
          f"{'; '.join(one.faults) or 'none'}", flush=True)


def summary(found: list[Kill]) -> None:
    """What was done and what was killed, by operation and by moment."""
    did = sum((Counter(one.did) for one in found), Counter())
    print(f"\n{'operation':10}  {'came to an end':>14}  {'refused':>7}  {'killed in it':>12}")
    for name in OPERATIONS:
        kills = sum(one.during == name for one in found)
        print(f"{name:10}  {did[name]:14}  {did[f'{name} refused']:7}  {kills:12}")
    print(f"{'between':10}  {'':14}  {'':7}  {sum(one.during == 'between' for one in found):12}")
    print("\nmoments: " + ", ".join(f"{how} {count}" for how, count in
                                    Counter(one.how for one in found).most_common()))
    picked = {tuple(one.picked) for one in found if one.picked}
    print(f"different moments picked: {len(picked)}")
    lost = [one for one in found if one.faults]
    print(f"kills: {len(found)}; kills after which a fault was found: {len(lost)}")


if __name__ == "__main__":
    main()
