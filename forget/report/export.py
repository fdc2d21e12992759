"""A result as files and text: JSON, CSV, safetensors and a summary for a terminal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forget.core.words import counted
from forget.evaluation.audit import Audit
from forget.evaluation.compare import Comparison
from forget.evaluation.compare import csv_text as comparison_csv
from forget.io import sheets
from forget.io.outputs import write
from forget.unlearning import store
from forget.unlearning.certificate import text_of
from forget.unlearning.measure import SPLIT_NAMES, SPLITS
from forget.unlearning.result import Result


def json_text(result: Result) -> str:
    return json.dumps(result.to_json(), indent=2, allow_nan=False) + "\n"


def csv_text(result: Result) -> str:
    """One row a model and measure: model, measure, class, value."""
    shown = result.to_json()
    rows = [("model", "measure", "class", "value")]
    for model, accuracies in shown["metrics"].items():
        rows += [(model, split, "", accuracies[split]) for split in SPLITS]
    of_class = shown["per_class"]
    models = {"original": of_class["original"], "unlearned": of_class["unlearned"]}
    models |= {f"retrained {number}": values
               for number, values in enumerate(of_class["retrained"], 1)}
    for model, values in models.items():
        rows += [(model, "test_accuracy", name, value)
                 for name, value in zip(of_class["classes"], values, strict=True)]
    rows += [("unlearned", name, "", value)
             for name, value in shown["distance_to_retrained"].items()]
    rows += [("run", f"{kind}_{name}", "", value) for kind in ("seconds", "processor_seconds")
             for name, value in shown[kind].items()]
    return sheets.csv_text(rows)


def model_bytes(result: Result) -> bytes:
    """The unlearned model as a safetensors file."""
    return result.files.public


def write_json(result: Result, path: Path) -> None:
    write(path, json_text(result).encode())


OUTCOME = ("result.json", "model.safetensors", "model.secret.safetensors", "certificate.json")
"""What :func:`save_outcome` writes, or removes where this run has none."""


def save_outcome(result: Result, folder: Path) -> None:
    """The result, the model and what goes with it, in a folder, which is made.

    ``model.secret.safetensors`` stays with whoever runs the server: what was forgotten, and what
    the learner needs to forget more.
    """
    model, files = folder / "model.safetensors", result.files
    certificate = certificate_text(result).encode() if files.certificate else None
    write(model, files.public)
    _write_or_remove(store.secret_path(model), files.secret, mode=0o600)
    write(folder / "result.json", json_text(result).encode())
    _write_or_remove(folder / "certificate.json", certificate)


def certificate_text(result: Result) -> str:
    """The certificate as it is handed out; only for a result that has one."""
    return text_of(result.files.certificate)


def _write_or_remove(path: Path, data: bytes | None, mode: int = 0o644) -> None:
    """Write a file, or remove what another run left there, which is not of this model."""
    if data is None:
        path.unlink(missing_ok=True)
    else:
        write(path, data, mode)


def summary(result: Result) -> str:
    """A few lines for a terminal."""
    shown = result.to_json()
    lines = [f"{shown['dataset']}: forget {shown['forget']['spec']} "
             f"({counted(shown['forget']['train_samples'], 'sample')}) by {shown['method']}",
             f"{'':24}{'original':>12}{'unlearned':>12}{'retrained':>12}"]
    for split in SPLITS:
        values = [shown["metrics"][model][split]
                  for model in ("original", "unlearned", "retrained")]
        cells = "".join(f"{'-' if value is None else f'{value:.2%}':>12}" for value in values)
        lines.append(f"{SPLIT_NAMES[split]:24}{cells}")
    seconds = shown["seconds"]
    faster = ("" if shown["speed_up"] is None else
              f" ({shown['speed_up']:.1f}x, by {shown['speed_up_of']})")
    lines.append(f"forgetting took {seconds['forget']:.2f} s, "
                 f"retraining {seconds['retrain']:.2f} s{faster}")
    if rejected := result.rejected:
        shares = ", ".join(f"{model} {'-' if share is None else f'{share:.0%}'}"
                           for model, share in rejected.items())
        lines.append(f"unseen photos of the forgotten person in which nobody is known: {shares}; "
                     f"of strangers: {1 - result.threshold.false_accept:.1%}; of known people: "
                     f"{result.threshold.false_reject:.1%}")
    if certificate := shown["certificate"]:
        reached = result.kept_back.get("residual", certificate["residual"])
        lines.append(f"certificate: epsilon {certificate['epsilon']:g}, delta "
                     f"{certificate['delta']:g}, covers the {certificate['covers']}; residual "
                     f"{reached:.2g} of {certificate['residual_allowed']:.2g} "
                     "allowed" + (", trained anew: no more was allowed"
                                  if result.kept_back.get("retrained") else ""))
    lines.append(f"verdict: {shown['verdict']}. {shown['verdict_reason']}")
    return "\n".join(lines)


COMPARISON = ("comparison.json", "comparison.csv", "report.html", "audit.json")
"""What :func:`save_comparison` writes beside the records."""


def save_comparison(comparison: Comparison, audits: Mapping[str, Audit], folder: Path) -> None:
    """The table as JSON and CSV, the report, what audits found, and the record behind each run."""
    from forget.report.html import html_text  # plotly takes a second to load, and few need it

    shown = comparison.to_json()
    write(folder / "comparison.json", _json(shown))
    write(folder / "comparison.csv", comparison_csv(comparison).encode())
    write(folder / "report.html", html_text(shown, audits).encode())
    _write_or_remove(folder / "audit.json", _json(
        {name: found.to_json() for name, found in audits.items()}) if audits else None)
    for name, record in comparison.records().items():
        write(folder / name, _json(record))


def _json(shown: Any) -> bytes:
    return (json.dumps(shown, indent=2, allow_nan=False) + "\n").encode()


COLUMNS = ("method", "forget", "retain", "unseen f.", "unseen r.", "ToW", "attack", "relearn",
           "probe", "seconds", "speed-up", "verdict")


def comparison_summary(shown: dict[str, Any]) -> str:
    """A comparison as a table for a terminal; accuracies in per cent, beside the retrained."""
    forget, rows = shown["forget"], shown["rows"]
    samples = counted(forget["train_samples"], "sample")
    seeds = counted(len(shown["seeds"]), "seed")
    lines = [f"{shown['dataset']}: forget {forget['spec']} ({samples}), {seeds}; "
             "accuracies in %, unlearned/retrained; attack: AUC; "
             "relearn: steps over retrained; probe: recall in %, unlearned/retrained"]
    table = [COLUMNS, *(_cells(row, len(shown["seeds"])) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)
                        ).rstrip() for cells in table]
    for row in rows:
        checks = (row["audit"] or {"checks": []})["checks"]
        lines += [f"{row['method']}: {check['text']}" for check in checks]
    lines += [f"{name}: not run: {reason}" for name, reason in shown["refused"].items()]
    return "\n".join(lines)


def _cells(row: dict[str, Any], seeds: int) -> tuple[str, ...]:
    ratio, probe = row["relearn"]["ratio"], row["probe"]
    membership = row["membership"]
    return (
        row["method"],
        *(f"{_points(row['accuracy'][split]['unlearned'])}/"
          f"{_points(row['accuracy'][split]['reference'])}" for split in SPLITS),
        f"{row['tug_of_war']['mean']:.3f}",
        "-" if membership is None else f"{membership['unlearned']['auc']['value']:.3f}",
        "-" if ratio is None else f"{ratio['value']:.2f}",
        "-" if probe is None else f"{_points(probe['unlearned'])}/{_points(probe['reference'])}",
        f"{row['seconds']['forget']['mean']:.2f}",
        "-" if row["speed_up"] is None else f"{row['speed_up']:.1f}x",
        f"{row['verdict']} ({row['matching']} of {counted(row['finished'], 'seed')})"
        + ("" if row["audit"] is None else _of_audit(row["audit"]))
        + ("" if row["finished"] == seeds else f"; {seeds - row['finished']} not finished"),
    )


def _of_audit(found: dict[str, Any]) -> str:
    if not found["clear"]:
        return "; the audit found traces"
    return "" if found["told"] else "; the audit cannot tell"


def _points(value: dict[str, Any]) -> str:
    if value["mean"] is None:
        return "-"
    spread = "" if value["spread"] is None else f"±{100 * value['spread']:.1f}"
    return f"{100 * value['mean']:.1f}{spread}"
