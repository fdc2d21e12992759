"""A comparison with an audit, killed again and again, against one that nobody stopped.

    python -m bench.resume [--kills 20] [--seed 0]

Three methods, three seeds, and an audit of one of them with 24 shadow models, on six clouds of
rows. The process gets SIGKILL after a random time of work, drawn so that the kills spread over the
whole of it; where it was finished before, the next one begins in an empty home folder. A table
holds every figure but wall seconds and speed-ups, the audits' included.
"""

import argparse
import datetime
import os
import random
import tempfile
import time
from pathlib import Path

from tests.killed import AUDITED, ENTRIES, SHADOWS, Home, save_data

SEEDS = 3
RUNS = SEEDS * len(ENTRIES)
SCORES = len(AUDITED) * (2 * SHADOWS + SHADOWS // 2)
"""Score files of an audit: of each shadow before and after, and of the retrained models."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"python -m bench.resume --kills {options.kills} --seed {options.seed}\n"
          f"{datetime.date.today()}, 1 thread of {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f} before")
    with tempfile.TemporaryDirectory() as folder:
        data = save_data(Path(folder))
        undisturbed = Home(Path(folder) / "undisturbed", data, SEEDS)
        process = undisturbed.start()
        began = time.perf_counter()
        table = undisturbed.finish(process)
        seconds = time.perf_counter() - began
        print(f"undisturbed: {RUNS} runs and {SCORES} score files in {seconds:.1f} s of work\n")
        tables = killed(Path(folder), data, options.kills, random.Random(options.seed), seconds)
        same = all(one == table for one in tables)
        print(f"\ncomparisons killed on the way: {len(tables)}")
        print(f"final tables identical: {'yes' if same else 'no'}")


def killed(
    folder: Path, data: Path, kills: int, draw: random.Random, seconds: float
) -> list[dict]:
    """The final tables of comparisons that were killed so many times in all."""
    print(f"{'kill':>4}  {'after s':>7}  {'runs':>5}  {'scores':>7}  {'intact':6}  while")
    tables, done, home = [], 0, None
    while done < kills:
        home = home or Home(folder / f"home{len(tables)}", data, SEEDS)
        after = draw.uniform(0, 2 * seconds / kills)
        doing = home.kill(home.start(), after)
        if doing is None:
            tables.append(home.table())
            print("      finished; the next begins in an empty folder")
            home = None
            continue
        done += 1
        intact = "yes" if home.intact() else "NO"
        print(f"{done:4}  {after:7.2f}  {len(home.kept('runs', '.json')):2}/{RUNS:2}  "
              f"{len(home.kept('audits')):3}/{SCORES}  {intact:6}  {doing}", flush=True)
    if home is not None:
        tables.append(home.finish(home.start()))
    return tables


if __name__ == "__main__":
    main()
