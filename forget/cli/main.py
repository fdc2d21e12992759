"""``python -m forget``: everything that the app does, for scripts.

Progress goes to standard error, standard output is the result. Exit status: 0 done, 1 failed,
2 bad input, 130 interrupted.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from forget.cli.records import add_commands as add_record_commands
from forget.cli.records import read_ledger
from forget.cli.terminal import (
    Bars,
    add_common,
    add_dataset,
    assignments,
    count,
    say_any_text,
    seed,
    unsaid,
)
from forget.core import memory
from forget.core.device import pick_device, use_fixed_threads
from forget.core.errors import BadInput, Diverged, ForgetError, NotVerified
from forget.core.knobs import make
from forget.core.parallel import all_workers
from forget.core.words import counted
from forget.data import DATASETS, Dataset, DatasetSource, find_dataset
from forget.data.findings import grouped, in_short, what_is_used
from forget.evaluation.audit import MODELS, audit
from forget.evaluation.compare import compare, with_audits
from forget.evaluation.frauds import FRAUDS
from forget.evaluation.shadows import EVERY, check_count
from forget.faces.embedders import EMBEDDERS
from forget.io.outputs import check_apart, check_file, check_folder
from forget.io.paths import given_file
from forget.learners import LEARNERS, Learner, learner_for
from forget.methods import METHODS
from forget.records.lineage import GIVEN, dataset_now
from forget.report.export import (
    COMPARISON,
    OUTCOME,
    comparison_summary,
    save_comparison,
    save_outcome,
    summary,
    write_json,
)
from forget.unlearning import store
from forget.unlearning.adopt import adopt
from forget.unlearning.checks import is_verified
from forget.unlearning.drive import FIRST_WEIGHTS, fetch_drive
from forget.unlearning.learn import resume, start_from
from forget.unlearning.request import FORMS, NOTHING, Forgotten, Request, keys_of, parse_request
from forget.unlearning.result import Start
from forget.unlearning.run import run
from forget.unlearning.strangers import calibrate
from forget.unlearning.verify import check_files, claim, verify
from forget.unlearning.warm import warm


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    say_any_text()
    try:
        try:
            return _main(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where it can be said that nobody takes it
    except OSError as error:
        return unsaid(error)


def _main(arguments: Sequence[str] | None) -> int:
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    options = _options(arguments)
    try:
        use_fixed_threads()
        with memory.told():
            options.command(options)
    except ForgetError as error:
        print(f"forget: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("forget: interrupted", file=sys.stderr)
        return 130
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments as read; files may stand before and after the options (argparse alone takes
    only the first run of them in a sub-command)."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(options, "files") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.files += map(Path, rest)
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m forget", description="Machine unlearning.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=function)
        return sub

    sub = command("methods", _methods, "list every method with its hyperparameters")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub = command("datasets", _datasets, "list every dataset")
    sub.add_argument("--json", action="store_true", help="print JSON")

    sub = command("fetch", _fetch, "download what is missing, checked by sha256")
    sub.add_argument("names", nargs="*", metavar="NAME",
                     help="datasets, or 'weights' for the first version's public checkpoints; "
                     "without a name: those that the pages open with")
    sub.add_argument("--folder", metavar="URL", help="checkpoints from a Google Drive folder")

    sub = command("train", _train, "train and store the original model of a dataset")
    add_dataset(sub)
    sub.add_argument("--learner", default="network", metavar="L")
    add_common(sub)

    sub = command("run", _run, "forget one request and compare with a retrained model")
    add_dataset(sub)
    sub.add_argument("--forget", required=True, action="append", metavar="SPEC",
                     help=f"{FORMS}; given several times, one on top of the other")
    sub.add_argument("--method", required=True, metavar="NAME")
    sub.add_argument("--model", type=Path, metavar="FILE",
                     help="start from a model that an earlier run wrote, or a checkpoint that "
                     "someone else trained")
    sub.add_argument("--references", type=count, default=1, metavar="N",
                     help="retrained models to compare with; two or more give their spread")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    sub.add_argument("--out", type=Path, metavar="DIR",
                     help="write result.json, model.safetensors with its secret part beside "
                     "it, and the certificate where there is one")
    add_common(sub)

    sub = command("compare", _compare, "run several methods on one request over several seeds")
    add_dataset(sub)
    sub.add_argument("--forget", required=True, metavar="SPEC", help=FORMS)
    sub.add_argument("--methods", default="all", metavar="NAME,NAME,…",
                     help="or 'all'; planted frauds can be named too: " + ", ".join(FRAUDS))
    sub.add_argument("--seeds", type=count, default=3, metavar="N",
                     help="seeds 0 to N - 1; two or more give spreads")
    sub.add_argument("--audit", action="store_true",
                     help="put each method on trial with shadow models (minutes)")
    sub.add_argument("--shadows", type=int, default=MODELS, metavar="N",
                     help=f"shadow models of the audit, a multiple of {EVERY}")
    sub.add_argument("--out", type=Path, metavar="DIR",
                     help="write comparison.json and .csv, report.html, and every run's record")

    sub = command("verify", _verify, "check a certificate against the model and the data")
    sub.add_argument("certificate", type=Path, metavar="CERTIFICATE")
    sub.add_argument("--model", type=Path, required=True, metavar="PUBLISHED")
    sub.add_argument("--data", required=True, metavar="DATASET",
                     help="the data, with or without what was forgotten; mnist+given: with what "
                     "people gave")
    sub.add_argument("--secret", type=Path, metavar="WEIGHTS64",
                     help="the secret file: recompute the residual and the noise")
    sub.add_argument("--ledger", nargs="?", type=Path, const=OWN, metavar="EXPORT",
                     help="look for this very certificate in the ledger: this machine's, or one "
                     "that 'ledger export' wrote")
    sub.add_argument("--reference", action="store_true",
                     help="solve on the retained data, and test whether the published weights are "
                     "that plus noise")
    sub.add_argument("--forget", action="append", default=[], metavar="SPEC",
                     help="what was forgotten, where DATASET still holds it and no secret is given")
    sub.add_argument("--seed", type=seed, default=0, metavar="N",
                     help="the run's seed, for --forget random:COUNT")
    add_record_commands(command)
    return parser


def _methods(options: argparse.Namespace) -> None:
    shown = [{"name": cls.name, "title": cls.title, "learner": cls.learner,
              "summary": cls.summary,
              "hyperparameters": [knob.describe() for knob in cls.knobs()],
              "learner_hyperparameters": [knob.describe()
                                          for knob in LEARNERS[cls.learner].knobs()]}
             for cls in METHODS.values()]
    if options.json:
        print(json.dumps(shown, indent=2))
        return
    for entry in shown:
        print(f"{entry['name']}  (learner: {entry['learner']})\n  {entry['summary']}")
        for knob in entry["hyperparameters"]:
            bounds = ("one of " + ", ".join(knob["choices"]) if "choices" in knob
                      else f"{knob['low']:g} to {knob['high']:g}")
            print(f"  --set {knob['name']}={knob['default']}  {knob['help']} ({bounds})")


def _datasets(options: argparse.Namespace) -> None:
    shown = [cls().describe() for cls in DATASETS.values() if not cls.takes_path]
    if options.json:
        print(json.dumps(shown, indent=2))
        return
    for entry in shown:
        sizes = ", ".join(f"{count:,} {part}" for part, count in entry["sizes"].items())
        where = "present" if entry["present"] else "not downloaded yet"
        print(f"{entry['name']}  {entry['title']}: {sizes} ({where})\n"
              f"  classes: {', '.join(entry['classes'])}\n"
              f"  sources: {', '.join(entry['sources'])}")
    print("Or give the path of an .npz file with x_train, y_train, x_test, y_test, or of a folder "
          "with one sub-folder of photos a person.")


def _fetch(options: argparse.Namespace) -> None:
    links = [] if options.folder is None else [options.folder]
    names = list(options.names)
    if "weights" in names:
        names.remove("weights")
        links.append(FIRST_WEIGHTS)
    if not names and not links:
        names = [name for name, cls in DATASETS.items() if not cls.takes_path and not cls.optional]
    sources = [find_dataset(name) for name in names]
    with Bars() as bars:
        for name, source in zip(names, sources, strict=True):
            source.load(bars.bytes)
            print(f"{name}: present and checked")
        for link in links:
            fetched = fetch_drive(link, bars.bytes)
            for path in fetched.taken:
                print(f"taken: {path}")
            for name, why in fetched.refused.items():
                print(f"left out: {name}: {why}")


def _train(options: argparse.Namespace) -> None:
    knobs = {name.removeprefix("learner."): value
             for name, value in assignments(options.knobs).items()}
    source = find_dataset(options.dataset)
    learner = learner_for(source, options.learner, knobs)
    with Bars() as bars:
        dataset = loaded(source, bars, options.verbose).to(pick_device())
        start = start_from(learner, dataset, options.seed, bars)
        known = calibrate(learner, dataset, options.seed, bars) if dataset.embedder else None
    record = start.stored.record
    print(f"{dataset.name}, learner {learner.name}, seed {options.seed}: "
          f"{record['test_accuracy']:.2%} of the test set right, "
          f"trained in {record['seconds']:.1f} s on {record['device']}")
    if dataset.embedder:
        counts = ", ".join(f"{len(getattr(dataset, part))} {part.replace('_', ' ')}"
                           for part in ("train", "held_out", "test"))
        print(f"{len(dataset.classes)} people, photos: {counts}; "
              f"embedder: {EMBEDDERS[dataset.embedder].title}")
    if known is not None:
        print(f"a face is nobody's below {known.value:.1%}: strangers are taken for somebody in "
              f"{known.false_accept:.1%} of {counted(known.strangers, 'case')}, known people are "
              f"not recognised in {known.false_reject:.1%} of {known.known}")


def _run(options: argparse.Namespace) -> None:
    method_class = METHODS[options.method]
    assigned = assignments(options.knobs)
    of_learner = {name.removeprefix("learner."): assigned.pop(name)
                  for name in list(assigned) if name.startswith("learner.")}
    method = make(method_class, assigned)
    source = find_dataset(options.dataset)
    learner = learner_for(source, method.learner, of_learner)
    if options.model and not given_file(options.model):
        raise BadInput(f"there is no file '{options.model}'; give a checkpoint")
    if options.json:
        check_file(options.json)
        check_apart(options.json, [options.dataset, *([options.model] if options.model else [])])
    if options.out:
        check_folder(options.out, OUTCOME)
    with Bars() as bars:
        dataset = loaded(source, bars, options.verbose).to(pick_device())
        warm()
        if of_learner and options.model:
            raise BadInput("the model in --model has its own settings; leave --set learner.… out")
        start = _start(options, learner, dataset, bars)
        *earlier, last = _requests(options.forget, dataset, options.seed, start.forgotten)
        for request in earlier:
            done = run(dataset, start, request, method, options.seed, references=0, watch=bars)
            start = done.next_start()
        result = run(dataset, start, last, method, options.seed, options.references, bars)
    erased = source.erase(keys_of(dataset, result.forgotten))
    if options.json:
        write_json(result, options.json)
    if options.out:
        save_outcome(result, options.out)
    print(summary(result))
    if erased:
        print(f"deleted from the cache: {counted(erased, 'embedding')} of what was forgotten")


def _compare(options: argparse.Namespace) -> None:
    source = find_dataset(options.dataset)
    names = list(METHODS) if options.methods == "all" else options.methods.split(",")
    entries = []
    for name in names:
        method = make(FRAUDS[name] if name in FRAUDS else METHODS[name], {})
        entries.append((method, learner_for(source, method.learner, {})))
    if options.audit:
        check_count(options.shadows)
    if options.out:
        check_folder(options.out, COMPARISON)
    audits, failed = {}, None
    with Bars() as bars:
        dataset = loaded(source, bars, options.verbose).to(pick_device())
        request = parse_request(options.forget, dataset, 0)
        warm()
        comparison = compare(dataset, request, entries, range(options.seeds), bars)
        if options.audit:
            willing = [entry for entry in entries if entry[0].name not in comparison.refused]
            try:
                audits = audit(dataset, request, willing, 0, options.shadows,
                               processes=all_workers(), watch=bars)
            except (BadInput, Diverged) as error:
                failed = error  # said in the end: the table stands without it
        comparison = with_audits(comparison, audits)
        if options.out:
            save_comparison(comparison, audits, options.out)
    print(comparison_summary(comparison.to_json()))
    if failed is not None:
        raise failed


def _start(
    options: argparse.Namespace, learner: Learner, dataset: Dataset, bars: "Bars"
) -> Start:
    """The model that a run starts from."""
    if options.model is None:
        # A wrong request shall not cost a training first.
        _requests(options.forget, dataset, options.seed)
        return start_from(learner, dataset, options.seed, bars)
    if store.is_own(options.model):
        return resume(options.model, dataset)
    return adopt(options.model, dataset)


def _requests(
    specs: list[str], dataset: Dataset, seed: int, forgotten: Forgotten = NOTHING
) -> list[Request]:
    """All requests, each read as coming on top of those before it."""
    before = len(forgotten.requests)
    for spec in specs:
        forgotten += parse_request(spec, dataset, seed, forgotten)
    return list(forgotten.requests[before:])


def _verify(options: argparse.Namespace) -> None:
    check_files(options.certificate, options.model, options.secret)
    with Bars() as bars:
        dataset = (dataset_now(options.data, bars) if options.data.endswith(GIVEN)
                   else find_dataset(options.data).load(bars.bytes))
        forgotten = Forgotten(tuple(_requests(options.forget, dataset, options.seed)))
        checks = verify(options.certificate, options.model, dataset, options.secret,
                        forgotten if options.forget else None, options.reference, bars,
                        None if options.ledger is None else _entered(options.ledger))
    if said := claim(options.certificate):
        print(f"it claims: {said}")
    for check in checks:
        mark = {True: "yes", False: "NO", None: "not checked"}[check.passed]
        print(f"{check.what}: {mark}" + (f" ({check.detail})" if check.detail else ""))
    if any(check.passed is False for check in checks):
        raise NotVerified("not verified")
    if options.secret is None:
        print("Only hashes were compared, and fields with one another: without --secret nothing "
              "more was checked." if not options.reference else
              "Without --secret the residual and the committed noise were not checked.")
    if not is_verified(checks):
        raise NotVerified(UNAUTHENTICATED)
    print("verified")


OWN = True
"""What ``--ledger`` is without a file: the ledger of this machine."""

UNAUTHENTICATED = (
    "not verified: nothing given here shows that epsilon, delta, what it covers and the other "
    "fields are as they were issued; give --secret, or --ledger where the ledger has an entry with "
    "this certificate")


def _entered(export: Path | bool) -> list[dict[str, Any]]:
    """The certificates in this machine's ledger, or in an exported one, found intact."""
    chain, verified = read_ledger(None if export is OWN else export)
    if wrong := (*verified.faults, *verified.reopened):
        raise NotVerified(f"not verified: the ledger is not intact ({wrong[0]})")
    return [entry.body["certificate"] for entry in chain if entry.body.get("certificate")]


def loaded(source: DatasetSource, bars: "Bars", verbose: bool) -> Dataset:
    """The dataset; what was wrong with its files is said on standard error."""
    dataset = source.load(bars.bytes)
    for note in notes_on(dataset, verbose):
        tqdm.write(f"note: {note}", file=sys.stderr)
    return dataset


def notes_on(dataset: Dataset, verbose: bool) -> list[str]:
    """What there is to say of a dataset's files: a line a kind of problem, or with ``verbose`` a
    line a file."""
    if not dataset.findings:
        return []
    groups = grouped(dataset.findings)
    lines = [*map(str, dataset.findings)] if verbose else [in_short(group) for group in groups]
    if len(lines) < len(dataset.findings):
        lines.append("--verbose names every file")
    return [what_is_used(dataset.used, dataset.findings), *lines]
