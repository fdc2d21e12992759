"""The commands about what people gave: teach, erase, queue, trace, ledger."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from forget.cli.terminal import Bars, add_common, assignments, count
from forget.core.errors import BadImage, BadInput, NotVerified
from forget.core.knobs import make
from forget.core.spelling import alike, another, nearest, spelling
from forget.core.words import agreeing, counted
from forget.data.kept import kept_people
from forget.io.files import read_limited
from forget.io.images import MAX_BYTES
from forget.learners import LEARNERS, learner_for
from forget.methods import METHODS, Method
from forget.records import composition, ledger, lineage, requests, taught, trace
from forget.records.bases import BASES, Base, Given, base_called
from forget.records.check import check
from forget.records.contributions import add, contributors, labels
from forget.records.database import MODELS, reading, writing
from forget.unlearning.warm import warm

MAX_EXPORT = 32 << 20
"""Bytes of an exported ledger: some 80,000 entries, which take three seconds."""

MOST_FAULTS = 100
"""Of a ledger, that are said one by one."""

AddCommand = Callable[..., argparse.ArgumentParser]


def add_commands(command: AddCommand) -> None:
    """Add the commands; ``command(name, function, help)`` makes the parser of one."""
    sub = command("teach", _teach, "let a model learn drawings or photos that somebody gave")
    sub.add_argument("base", metavar="BASE", help=" or ".join(BASES))
    sub.add_argument("files", nargs="*", type=Path, metavar="FILE",
                     help="pictures of a digit, or photos of one person; none: learn what was "
                     "added before")
    sub.add_argument("--by", metavar="NAME", help="who gives them: by this name they can have "
                     "all of it forgotten")
    sub.add_argument("--label", metavar="LABEL", help="what they show: a digit, or a person's name")
    sub.add_argument("--how", choices=list(taught.WAYS), default=taught.RETRAIN,
                     help="train a new model on everything, or go on with the present one")
    sub.add_argument("--learner", choices=list(LEARNERS), default=None, metavar="L",
                     help="kind of model, where it is retrained: " + ", ".join(LEARNERS))
    add_common(sub)
    sub.set_defaults(seed=None)

    sub = command("erase", _erase, "forget everything that a contributor gave")
    sub.add_argument("contributor", metavar="CONTRIBUTOR")
    sub.add_argument("--method", metavar="NAME",
                     help="default: the one that proves most about the kind of model")
    sub.add_argument("--references", type=count, default=1, metavar="N",
                     help="retrained models to compare with")
    sub.add_argument("--set", action="append", default=[], metavar="KNOB=VALUE", dest="knobs",
                     help="a hyperparameter of the method")

    sub = command("queue", _queue, "the requests that wait, and the policy of a base")
    sub.add_argument("base", nargs="?", metavar="BASE", help=" or ".join(BASES))
    sub.add_argument("--batch", type=int, metavar="N",
                     help="carry requests out when N wait; 1: at once")
    sub.add_argument("--most-epsilon", type=float, metavar="E",
                     help="have a certified model trained anew by the request whose publication, "
                     "with those since the last training, would allow more than E; 0: no limit")
    sub.add_argument("--run", action="store_true", help="carry out now all that waits")

    sub = command("trace", _trace, "where in the data folder anything of a contributor is")
    sub.add_argument("contributor", metavar="CONTRIBUTOR")
    sub.add_argument("--like", nargs="+", type=Path, default=[], metavar="FILE",
                     help="files that they gave: look for pieces of them, and of what was made of "
                     "them, which nobody here knows once it is forgotten")
    sub.add_argument("--json", action="store_true", help="print JSON")

    sub = command("ledger", _ledger, "check or export the ledger of all that was asked and done")
    sub.add_argument("action", choices=("verify", "export", "reopen"),
                     help="reopen: go on over faults, by an entry that names them for good")
    sub.add_argument("file", nargs="?", type=Path, metavar="FILE",
                     help="verify: an exported ledger instead of this machine's")
    sub.add_argument("--against", type=Path, metavar="FILE",
                     help="verify: an earlier export, with whose entries it must begin")


def _teach(options: argparse.Namespace) -> None:
    base = base_called(options.base)
    if options.files and not (options.by and options.label):
        raise BadInput("say who gives the files and what they show: --by NAME --label LABEL")
    files = [read_limited(path, MAX_BYTES) for path in options.files]
    with Bars() as bars:
        base.dataset(bars.bytes)
        recipe = _recipe(base, options)
        taught.check_way(base, options.how)
        warm()
        if options.files:
            given = [(options.label, _read(base, path, data))
                     for path, data in zip(options.files, files, strict=True)]
            _say_alike(base, options.by, options.label)
            new = add(base, options.by, given)
            print(f"{new} of {counted(len(given), 'sample')} {agreeing(new, 'is', 'are')} new")
        try:
            done = taught.teach(base, options.how, *recipe, bars)
        except taught.NothingNew:
            if not options.files:
                raise
            print(f"{base.title}: the model has learnt them already")
            return
    print(f"{base.title}: {taught.WAYS[options.how].lower()}, {done.seconds:.1f} s; "
          f"{counted(len(done.after.samples), 'given sample')} learnt; unseen test samples right: "
          f"{done.accuracy_before:.2%} before, {done.accuracy_after:.2%} now (ledger: entry "
          f"{done.entry})")
    _say(done.untidy)


def _read(base: Base, path: Path, data: bytes) -> Given:
    """One file as a sample; which of several faces it is, is said."""
    try:
        one = base.read(data)
    except BadImage as error:
        raise BadImage(f"'{path}' cannot be taught: {error}") from error
    if one.note:
        _say(f"'{path}' {one.note}")
    return one


def _say_alike(base: Base, by: str, label: str) -> None:
    """Say which names are nearly those that are known: by these something else is meant."""
    told = (("--by", spelling(by), [one.name for one in contributors()]),
            ("--label", spelling(label), [*base.source.describe()["classes"], *labels(base)]))
    for option, name, known in told:
        for one in alike(name, known):
            _say(f"{another(name, one)}; if they are one, give {option} '{one}'")


def _recipe(base: Base, options: argparse.Namespace):
    """The learner and seed that a new model has: as asked, else as the present one's."""
    knobs = {name.removeprefix("learner."): value
             for name, value in assignments(options.knobs).items()}
    present = lineage.learner_of(base)
    seed = lineage.seed_of(base) if options.seed is None else options.seed
    if options.learner is None and not knobs and present is not None:
        return present, seed
    name = options.learner or (present.name if present else "network")
    return learner_for(base.source, name, knobs), seed


def _erase(options: argparse.Namespace) -> None:
    settings = assignments(options.knobs)
    held = trace.held(options.contributor)
    if held.empty:
        raise _unknown(held.name)
    with Bars() as bars:
        warm()
        methods = {name: _method(base_called(name), options.method, settings)
                   for name in {one.base for one in held.samples}}
        for name in sorted(methods):
            base_called(name).dataset(bars.bytes)
        asked = requests.ask(held.name, methods) if methods else []
        photos = requests.erase_kept(held.name)
        done = [one for name in sorted(methods)
                for one in requests.carry_out(base_called(name), bars, options.references)]
    if photos:
        print(f"{counted(photos, 'kept photo')} deleted")
    _report(done)
    finished = {one.asked.id for one in done}
    if left := [number for number in asked if number not in finished]:
        print(f"{counted(len(left), 'request waits', 'requests wait')} for more to be carried out "
              "together with: "
              "'python -m forget queue' shows them, and --run carries them out")


def _method(base: Base, name: str | None, settings: dict[str, str]) -> Method:
    learner = lineage.learner_of(base)
    default = requests.EXACT[learner.name] if learner else "retrain"
    return make(METHODS[name or default], settings)


def _report(done: list[requests.Done]) -> None:
    for one in done:
        if one.failed:
            print(f"{one.asked.base.title}: not carried out: {one.failed} (ledger: entry "
                  f"{one.entry}); ask again with another method")
            continue
        what = (f"by {one.result.method.name}, {one.result.seconds['forget']:.2f} s"
                if one.result else "the model had learnt nothing of it")
        print(f"{one.asked.base.title}: {counted(one.asked.samples, 'sample')} forgotten and "
              f"deleted, {what} (ledger: entry {one.entry})")
        if one.result is not None and one.result.verdict is not None:
            print(f"verdict: {one.result.verdict.words}. {one.result.verdict.reason}")
    for untidy in {one.untidy for one in done}:
        _say(untidy)
    if any(one.failed for one in done):
        raise NotVerified("not everything was carried out")


def _say(note: str) -> None:
    if note:
        tqdm.write(f"note: {note}", file=sys.stderr)


def _queue(options: argparse.Namespace) -> None:
    bases = [base_called(options.base)] if options.base else list(BASES.values())
    if options.batch is not None:
        if not options.base:
            raise BadInput("name the base whose policy it is: python -m forget queue BASE --batch "
                           "N")
        requests.set_policy(bases[0], options.batch)
    if options.most_epsilon is not None:
        if not options.base:
            raise BadInput("name the base whose limit it is: python -m forget queue BASE "
                           "--most-epsilon E")
        composition.set_limit(bases[0], options.most_epsilon or None)
    done = []
    if options.run or options.batch is not None:
        with Bars() as bars:
            warm()
            for base in bases:
                done += requests.carry_out(base, bars, now=options.run)
    for base in bases:
        batch = requests.policy(base)
        print(f"{base.title}: " + ("requests are carried out at once" if batch == 1 else
                                   f"requests are carried out when {batch} wait"))
        if (most := composition.limit(base)) is not None:
            print(f"  certified publications may allow epsilon {most:g} together; the request that "
                  "would go beyond has the model trained anew")
        for one in requests.waiting(base):
            print(f"  request {one.id}, asked {one.asked_at}: "
                  f"{counted(one.samples, 'sample')} by "
                  f"{one.method.name if one.method else one.how}")
    _report(done)


def _trace(options: argparse.Namespace) -> None:
    files = [read_limited(path, MAX_BYTES) for path in options.like]
    held, hits = trace.trace(options.contributor, files)
    if options.json:
        print(json.dumps({
            "samples": len(held.samples), "models": held.models, "waiting": list(held.waiting),
            "ledger_entries": list(held.entries), "kept_photos": len(held.photos),
            "found": [{"file": hit.file, "what": hit.what} for hit in hits]}, indent=2))
    else:
        _say_where(held, hits)
    if held.empty and not hits and not files:
        raise _unknown(held.name)


def _say_where(held: trace.Held, hits: list[trace.Hit]) -> None:
    if held.empty:
        print("the records hold nothing about this contributor")
    else:
        counts = {}
        for one in held.samples:
            counts[one.base] = counts.get(one.base, 0) + 1
        for base, number in counts.items():
            print(f"{base}: {counted(number, 'sample')}")
        for file, number in held.models.items():
            print(f"model {MODELS}/{file}: learnt from {number} of them")
        print("ledger entries about them: " + (", ".join(map(str, held.entries)) or "none"))
        if held.photos:
            print(f"kept photos: {len(held.photos)}")
    for hit in hits:
        print(f"found {hit.what} in {hit.file}")
    if not hits:
        print("a search of the whole data folder found nothing")


def _unknown(name: str) -> BadInput:
    near = nearest(name, [*(one.name for one in contributors()), *kept_people()])
    return BadInput("nothing is held about this contributor: it was erased, or the name is written "
                    "otherwise" + (f"; did you mean '{near}'?" if near else ""))


def _ledger(options: argparse.Namespace) -> None:
    if options.action == "reopen":
        with writing() as db:
            print(f"the ledger goes on: entry {ledger.reopen(db)} says over which faults, and no "
                  "check will call it verified again")
        return
    if options.action == "export":
        with reading() as db:
            text = ledger.export_text(db)
        print(text, end="")
        return
    chain, verified = read_ledger(options.file)
    faults = [*verified.faults, *verified.reopened]
    if options.against is not None:
        earlier, end = ledger.read_export(_text(options.against))
        faults += [f"the earlier export: {fault}" for fault in
                   ledger.verify_chain(earlier, end).faults]
        faults += ledger.extends(chain, earlier)
    for note in verified.notes:
        print(f"note: {note}", file=sys.stderr)
    for fault in faults[:MOST_FAULTS]:
        print(f"NO: {fault}")
    if (more := len(faults) - MOST_FAULTS) > 0:
        print(f"NO: and {counted(more, 'fault')} more")
    if faults:
        raise NotVerified("the ledger does not verify")
    print(f"verified: {counted(verified.count, 'entry', 'entries')}")
    for sentence in ledger.UNPROVEN:
        print(f"  {sentence}")


def read_ledger(export: Path | None) -> tuple[list[ledger.Entry], ledger.Verified]:
    """An exported ledger, or with None this machine's own, and what checking it found."""
    if export is None:
        with reading() as db:
            return ledger.entries(db), check(db)
    chain, end = ledger.read_export(_text(export))
    return chain, ledger.verify_chain(chain, end)


def _text(path: Path) -> str:
    try:
        return read_limited(path, MAX_EXPORT).decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"'{path}' is no exported ledger: give the file that 'ledger export' wrote"
                       ) from error

