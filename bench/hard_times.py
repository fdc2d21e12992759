"""Operations on the records with a full disk, a read-only folder, a held database, a wrong clock.

    python -m bench.hard_times [--step 8] [--every 1]

Each operation is tried under each condition and once more when that has ended; after both a judge
compares the data folder with what was promised. The folder is a tmpfs of its own, really full,
really mounted read-only; the database is really held by another process; only the clock is a
substitute. A disk is full but for nothing, ``--step`` KB and so on, until the operation is done. In
the operations that take a while the disk becomes full, or the database is taken, at ``--every`` so
many moments; "untidy" is one that was done and says what it could not clean up yet.
"""

import argparse
import datetime
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.hard_times import Tried, can_mount, tried


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=8)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not can_mount(Path(folder)):
            sys.exit("this machine allows no mounts: run it as root or allow user namespaces")
    print(f"python -m bench.hard_times --step {options.step} --every {options.every}\n"
          f"{datetime.date.today()}, 1 thread of {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f} before\n")
    began, found = time.perf_counter(), []
    print(f"{'operation':10}  {'condition':46}  {'came':7}  faults")
    for one in tried(options.step, options.every):
        found.append(one)
        came = "refused" if one.refused else "untidy" if one.untidy else "done"
        print(f"{one.operation:10}  {one.condition:46}  {came:7}  "
              f"{'; '.join(one.faults) or 'none'}", flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s\n")
    sentences(found)
    wrong = sum(bool(one.faults) for one in found)
    print(f"\ntries: {len(found)}; refused with a sentence and done afterwards: "
          f"{sum(bool(one.refused) for one in found)}; tries with a fault: {wrong}")
    sys.exit(bool(wrong))


def sentences(found: list[Tried]) -> None:
    """What was said, and under which conditions."""
    said = defaultdict(set)
    for one in found:
        for sentence in filter(None, (one.refused, one.untidy)):
            said[sentence].add(one.condition.split(" but ")[0].split(" from ")[0])
    for sentence, conditions in sorted(said.items()):
        print(f"{', '.join(sorted(conditions))}:\n  {sentence}")


if __name__ == "__main__":
    main()
