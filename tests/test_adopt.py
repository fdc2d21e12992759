"""Starting from a checkpoint that someone else trained."""

import pytest
import torch
from conftest import tiny_dataset

from forget.core.device import generator
from forget.core.errors import BadInput
from forget.core.steps import drive
from forget.learners.network import Network
from forget.methods.gradient_ascent import GradientAscent
from forget.metrics.accuracy import Predictions
from forget.unlearning.adopt import SCALINGS, adopt
from forget.unlearning.request import parse_request
from forget.unlearning.run import run


def trained(dataset, scaling=None):
    """An MLP for the tiny dataset, trained with its pixels scaled in one of the usual ways."""
    learner = Network(arch="mlp", min_steps=300)
    draw = generator(0)
    model = learner.build(dataset.input_shape, len(dataset.classes), draw)
    if scaling:
        model.scale.shift.fill_(scaling[0])
        model.scale.span.fill_(scaling[1])
    drive(learner.train(model, dataset.train, draw))
    return model


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=list(SCALINGS))
def test_a_checkpoint_without_its_scaling_works_as_well_as_it_was_trained(scaling, tmp_path, tiny):
    model = trained(tiny, scaling)
    weights = {name: value for name, value in model.state_dict().items() if "scale" not in name}
    torch.save(weights, tmp_path / "theirs.pt")
    start = adopt(tmp_path / "theirs.pt", tiny)
    wanted = Predictions.of(model, tiny.held_out).accuracy
    assert Predictions.of(start.model, tiny.held_out).accuracy >= wanted


def test_it_can_be_made_to_forget_and_its_training_time_is_unknown(tmp_path, tiny, home):
    torch.save(trained(tiny).state_dict(), tmp_path / "theirs.pt")
    start = adopt(tmp_path / "theirs.pt", tiny)
    request = parse_request("class:b", tiny, 0)
    result = run(tiny, start, request, GradientAscent(), 0)
    assert result.seconds["prepare"] is None
    assert result.to_json()["params"]["learner.arch"] == "mlp"
    before = result.measured_original.accuracies["forget_accuracy"]
    assert result.measured_unlearned.accuracies["forget_accuracy"] < before - 0.5


def test_a_checkpoint_for_other_inputs_is_refused_with_both_shapes(tmp_path, tiny):
    torch.save(trained(tiny_dataset(n_classes=3)).state_dict(), tmp_path / "theirs.pt")
    with pytest.raises(BadInput, match="3 classes"):
        adopt(tmp_path / "theirs.pt", tiny)
