"""How a recipe tells strangers from people it knows, measured on people left out in turn."""

import torch

from forget.data import Dataset
from forget.learners import Learner
from forget.metrics.accuracy import Predictions
from forget.metrics.unknown import Threshold, equal_error, evidence
from forget.unlearning.learn import learn
from forget.unlearning.represent import represent
from forget.unlearning.request import NOTHING, parse_request
from forget.unlearning.watch import UNWATCHED, Watch

FOLDS = 5
LEAST_PEOPLE = 4
"""With fewer there are no two groups of people, each with somebody to be confused with."""


def calibrate(
    learner: Learner, dataset: Dataset, seed: int, watch: Watch = UNWATCHED
) -> Threshold | None:
    """The threshold of a recipe on a dataset of people, None where there are too few of them.

    In each of five turns a fifth of the people are left out of training: their photos are those of
    strangers. The threshold is where both kinds of error are equally frequent on photos that train
    nothing here: held-out ones of the known and the training photos of the strangers. Its rates are
    measured on test photos. Where no photo is held out, the known people's test photos serve twice.
    """
    people = dataset.train.y.unique().tolist()  # a forgotten person has a class and no photo
    if len(people) < LEAST_PEOPLE:
        return None
    dataset = represent(learner, dataset, watch)
    folds = min(FOLDS, len(people) // 2)
    choose, judge = ([], []), ([], [])
    for fold in range(folds):
        watch.phase(f"Learning what strangers look like ({fold + 1} of {folds})")
        out = torch.zeros(len(dataset.classes), dtype=torch.bool)
        out[people[fold::folds]] = True
        forgotten = NOTHING
        for index in people[fold::folds]:
            forgotten += parse_request(f"class:{dataset.classes[index]}", dataset, seed, forgotten)
        model = learn(learner, dataset, seed, forgotten, watch).model
        parts = {name: Predictions.of(model, part, watch.check) for name, part in
                 (("train", dataset.train), ("held_out", dataset.held_out), ("test", dataset.test))}
        strange = {name: part.take(out[part.y]) for name, part in parts.items()}
        known = {name: part.take(~out[part.y]) for name, part in parts.items()}
        chooser = "held_out" if len(known["held_out"].y) else "test"
        choose[0].append(evidence(known[chooser]))
        choose[1].append(evidence(strange["train"]))
        judge[0].append(evidence(known["test"]))
        judge[1].append(evidence(strange["test"]))
    value = equal_error(*(torch.cat(scores) for scores in choose))
    known_scores, strange_scores = (torch.cat(scores) for scores in judge)
    return Threshold(value, (strange_scores >= value).double().mean().item(),
                     (known_scores < value).double().mean().item(),
                     len(strange_scores), len(known_scores))
