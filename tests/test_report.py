"""The report holds the numbers that it is given, escapes all of them, and asks no network."""

import copy
import re

import pytest
import torch
from test_figures import several

from forget.core.device import generator
from forget.evaluation.audit import Audit, Exposure
from forget.learners import LEARNERS
from forget.methods import METHODS
from forget.metrics.interval import Interval
from forget.metrics.membership import roc
from forget.metrics.verdict import Check
from forget.report.html import GLOSSARY, html_text

SPLITS = ("forget_accuracy", "retain_accuracy", "test_forget_accuracy", "test_retain_accuracy")
NASTY = "<script>alert(1)</script>\"'&"


def models(original, unlearned, reference) -> dict:
    return {"original": several(*original), "unlearned": several(*unlearned),
            "reference": several(*reference)}


def attack(auc: float, found: float) -> dict:
    return {"auc": Interval(auc, auc - 0.02, auc + 0.02).to_json(),
            "balanced_accuracy": Interval(0.5, 0.4, 0.6).to_json(),
            "tpr_at_1": Interval(found, found / 2, found * 2).to_json(), "tpr_at_01": None}


def full_row(method: str = "finetune", title: str = "Fine-tune") -> dict:
    """A class request, two seeds, audited and certified: nothing is missing."""
    return {
        "method": method, "title": title, "learner": "network",
        "params": {"lr": 0.004, "learner.epochs": 3},
        "accuracy": {split: models([0.99, 0.97], unlearned, [0.5, 0.52]) | {"gap": gap}
                     for split, unlearned, gap in zip(SPLITS, (
                         [0.10, 0.30], [0.91, 0.93], [0.21, 0.23], [0.81, 0.83]),
                         (0.123, -0.041, 0.052, 0.0), strict=True)},
        "tug_of_war": several(0.80, 0.90),
        "population_auc": models([0.7, 0.8], [0.51, 0.53], [0.5, 0.5]),
        "membership": {"original": attack(0.93, 0.4), "unlearned": attack(0.61, 0.07),
                       "reference": attack(0.5, 0.01), "shadows": 64, "samples": 10_000,
                       "klom": {"median": 0.4, "floor_median": 0.2}},
        "relearn": {"ratio": Interval(0.25, 0.12, 0.47).to_json(), "why": "",
                    "steps": {"unlearned": [2.0, 2.5], "reference": [8.0, 10.0]},
                    "curves": {"unlearned": [[0.0, 0.5, 0.95], [0.1, 0.6, 0.94]],
                               "reference": [[0.0, 0.1, 0.2, 0.4, 0.9]] * 2}},
        "probe": models([0.98, 0.98], [0.97, 0.95], [0.6, 0.64]), "probe_why": "",
        "seconds": {"prepare": several(30.0, 32.0), "forget": several(1.5, 2.5),
                    "retrain": several(29.0, 31.0)},
        "speed_up": 15.0, "speed_up_with_preparation": 0.909, "speed_up_of": "processor seconds",
        "unchanged": 0,
        "certificate": {"mode": "residual", "epsilon": 1.0, "delta": 1e-5, "covers": "head"},
        "verdict": "under-forgot", "reason": "It still gets 20.0% right.", "matching": 1,
        "audit": {"clear": False, "told": True, "checks": [Check(*each).to_json() for each in (
            ("Membership attack", False, "It tells them apart."),
            ("Relearning", True, "It comes back as it should."),
            ("Linear probe", None, "There is nothing to probe."))]},
        "records": ["runs/mnist-run-aa.json", "runs/mnist-run-bb.json"],
    }


def bare_row(seeds: int = 1) -> dict:
    """A request for samples, without an audit: all that can be missing is."""
    def same(value: float | None) -> dict:
        return several(*[value] * seeds)

    def each(*values: float | None) -> dict:
        return dict(zip(("original", "unlearned", "reference"), map(same, values), strict=True))

    return full_row("retrain", "Retrain") | {
        "accuracy": {split: each(*[None] * 3 if split == "test_forget_accuracy" else
                                 [0.9, 0.8, 0.7]) | {"gap": None} for split in SPLITS},
        "tug_of_war": same(0.81), "population_auc": each(0.5, 0.5, 0.5),
        "membership": None, "audit": None, "certificate": None,
        "relearn": {"ratio": None, "why": "Only a class can be relearnt.", "steps": {},
                    "curves": {}},
        "probe": None, "probe_why": "Only a class can be probed for.", "params": {},
        "seconds": {"prepare": same(None), "forget": same(2000.0), "retrain": same(2000.0)},
        "speed_up": 1.0, "speed_up_with_preparation": None,
        "records": [f"runs/mnist-run-{seed}.json" for seed in range(seeds)],
        "verdict": "matches retraining on accuracy", "matching": seeds}


def shown(*rows: dict, seeds: int = 2, of_class: str | None = "7") -> dict:
    return {"dataset": "mnist", "classes": list("0123456789"),
            "forget": {"spec": "class:7", "train_samples": 5715, "class": of_class},
            "seeds": list(range(seeds)), "device": "cpu", "threads": 1,
            "versions": {"python": "3.11.2", "torch": "2.14.0"}, "data_sha256": "ab" * 32,
            "rows": list(rows)}


def an_audit(models: int = 8, samples: int = 200) -> Audit:
    draw = generator(0)
    member = torch.rand(models, samples, generator=draw) < 0.5
    member[0], member[1] = True, False
    noise = torch.randn(models, samples, generator=draw)
    attacks = [roc(noise + lift * member, member, draw, resamples=20) for lift in (2.0, 0.5, 0.0)]
    klom = torch.rand(samples, generator=draw)
    return Audit(
        METHODS["finetune"](), LEARNERS["network"](), models, samples, *attacks,
        population={"original": 0.7, "unlearned": 0.5, "reference": 0.5},
        klom=klom + 0.3, klom_floor=klom,
        relearned={"original": [[0.9, 0.95]], "unlearned": [[0.0, 0.6], [0.2, 0.7]],
                   "reference": [[0.0, 0.1, 0.4]]},
        steps={}, probed={}, ratio=None, probe=None, checks=(Check("Relearning", None, "-"),),
        exposure=Exposure(torch.arange(samples), noise[:2], member[:2]))


def page(text: str) -> str:
    """The report without its scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)


def words(text: str) -> str:
    """What a reader sees, with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page(text)))


@pytest.fixture(scope="module")
def full() -> str:
    return html_text(shown(full_row()), {"finetune": an_audit()})


def test_every_number_of_a_row_stands_in_its_cell(full):
    cells = [words(cell).strip() for cell in re.findall(r"<td>.*?</td>", full)]
    assert cells == [
        "under-forgot 1 of 2 seeds matches on accuracy",
        "20.0 ± 14.1 % original 98.0 ± 1.4 % retrained 51.0 ± 1.4 % gap −31.0 points",
        "92.0 ± 1.4 % original 98.0 ± 1.4 % retrained 51.0 ± 1.4 % gap +41.0 points",
        "22.0 ± 1.4 % original 98.0 ± 1.4 % retrained 51.0 ± 1.4 % gap −29.0 points",
        "82.0 ± 1.4 % original 98.0 ± 1.4 % retrained 51.0 ± 1.4 % gap +31.0 points",
        "0.85 ± 0.07",
        "0.61 (0.59 to 0.63) original 0.93 (0.91 to 0.95) retrained 0.50 (0.48 to 0.52)",
        "7.0 % (3.5 % to 14.0 %) original 40.0 % (20.0 % to 80.0 %) "
        "retrained 1.0 % (0.5 % to 2.0 %)",
        "0.25 (0.12 to 0.47) unlearned 2, 2.5 steps retrained 8, 10 steps",
        "96.0 ± 1.4 % original 98.0 ± 0.0 % retrained 62.0 ± 2.8 %",
        "forget 2.00 ± 0.71 s retrain 30.0 ± 1.4 s prepare 31.0 ± 1.4 s",
        "15.0x by processor seconds with preparation 0.909x",
        "ε 1, δ 1e-05 covers the head"]
    assert "note-" not in page(full)


def test_it_says_what_was_asked_what_came_of_it_and_how_it_was_made(full):
    said = words(full)
    for sentence in (
        "Forget “7” of mnist (5,715 training samples)", "run 2 times, with the seeds 0, 1",
        "Fine-tune: under-forgot. It still gets 20.0% right.",
        "Membership attack: convicted. It tells them apart.",
        "Relearning: passed. It comes back as it should.",
        "Linear probe: does not apply. There is nothing to probe.",
        "AUC 0.52 ± 0.01 (original 0.75 ± 0.07, retrained 0.50 ± 0.00)",
        "lr = 0.004, learner.epochs = 3", "python 3.11.2, torch 2.14.0", "ab" * 32, "class:7",
        "cpu, threads: 1", "64 models on 10,000 samples", "runs/mnist-run-bb.json",
    ):
        assert sentence in said
    assert all(term in said for term in GLOSSARY)


def test_each_figure_has_its_numbers_in_words(full):
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", full)
    assert [caption.split(":")[0] for caption in captions] == [
        "Accuracy on what to forget and what to keep", "Relearning", "Membership attack",
        "KLoM in nats", "Relearning"]
    assert full.count("Plotly.newPlot(") == len(captions) == len(set(
        re.findall(r'<div id="([^"]+)" class="plotly', full)))


def test_without_an_audit_there_is_no_figure_of_one():
    text = html_text(shown(full_row()))
    assert page(text).count("<figure>") == 2 and "Membership attack: convicted." in words(text)


def test_what_is_missing_has_a_dash_and_a_reason():
    text = html_text(shown(bare_row(), seeds=1, of_class=None))
    notes = re.findall(r'<li id="note-(\d)">(.*?)</li>', text)
    assert [why for _, why in notes] == [
        "A request for single samples has no unseen part.",
        "Not audited: the likelihood-ratio attack runs only in an audit.",
        "Only a class can be relearnt.", "Only a class can be probed for.",
        "How long the work took was not recorded, or cannot be compared.",
        "This method certifies nothing."]
    assert set(re.findall(r'href="#note-(\d)"', text)) == {n for n, _ in notes}
    said = words(text)
    assert "Forget 5,715 training samples of mnist" in said and "±" not in said.split("Gap")[0]
    assert "only chance is unknown" in said and "2,000 s" in said and "Settings: none." in said
    assert "nan" not in said.lower() and "None" not in said


def test_a_comparison_that_has_only_begun_says_so():
    assert "No run is finished yet." in words(html_text(shown()))


def spoiled(value):
    """The same data with every text hostile, but for the names that are looked up."""
    if isinstance(value, dict):
        return {key: spoiled(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [spoiled(inside) for inside in value]
    return NASTY + value if isinstance(value, str) else value


def test_no_text_can_become_markup():
    hostile = spoiled(shown(full_row(), bare_row(2)))
    hostile["versions"][NASTY] = hostile["rows"][0]["params"][NASTY] = NASTY
    text = html_text(hostile)
    assert "alert(1)" in text and "<script>alert" not in text
    plain = html_text(shown(full_row(), bare_row(2)))
    shape = [re.findall(r"<[a-z/][^>]*>", page(one)) for one in (text, plain)]
    more = len(shape[0]) - len(shape[1])
    assert more == 0 and text.count("<script") == plain.count("<script")


def test_it_asks_no_network_and_is_small_enough_to_send(full):
    assert not re.search(r"""(?:src|href|action|url\()\s*=?\s*["']?(?:https?:)?//""", page(full))
    assert not re.search(r"<(?:link|iframe|img|object|embed)\b|@import", page(full))
    assert not re.search(r"<script[^>]+src", full)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', full)[1]
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert len(full.encode()) < 8_000_000


def test_the_same_data_give_the_same_file_and_stay_as_they_were():
    data = shown(full_row(), bare_row(2))
    before = copy.deepcopy(data)
    assert html_text(data) == html_text(data) and data == before
