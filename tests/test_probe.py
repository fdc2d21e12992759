"""The linear probe: whether a class can still be read off a model's frozen features."""

import dataclasses

import pytest
import torch
from clusters import people
from conftest import weights_hash
from torch import nn

from forget.core.device import generator
from forget.core.errors import ForgetError
from forget.data import Samples
from forget.metrics.probe import probe
from forget.models import build

CLASSES = 5


class Reads(nn.Module):
    """Features that are the inputs themselves, and an output layer nobody trained."""

    learns_features = True

    def __init__(self, size: int, broken: bool = False):
        super().__init__()
        self.fc = nn.Linear(size, CLASSES)
        self.broken = broken
        with torch.no_grad():
            for parameter in self.fc.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator(9)))

    @property
    def layers(self):
        return [("output", self.fc)]

    def embed(self, x):
        return x.float() * float("nan") if self.broken else x.float()

    def forward(self, x):
        return self.fc(self.embed(x))


class Blind(Reads):
    """Gives every input the same features."""

    def embed(self, x):
        return torch.zeros_like(x.float())


def samples(x, y) -> Samples:
    return Samples(x, y, torch.arange(len(y)))


def corners(each: int, seed: int, width: float = 0.05, size: int = 8) -> Samples:
    """So many a class around a corner of its own, as far from all others' as they are."""
    y = torch.arange(CLASSES).repeat_interleave(each)
    noise = width * torch.randn(len(y), size, generator=generator(seed))
    return samples(torch.eye(size)[y] + noise, y)


def noise(each: int, seed: int, size: int = 8) -> Samples:
    y = torch.arange(CLASSES).repeat_interleave(each)
    return samples(torch.randn(len(y), size, generator=generator(seed)), y)


TRAIN, TEST = corners(40, 0), corners(60, 1)


@pytest.mark.parametrize("index", range(CLASSES))
def test_a_class_that_its_features_tell_apart_is_found_whole(index):
    assert probe(Reads(8), TRAIN, TEST, index, generator(0)) == 1.0


def test_recall_by_hand():
    """Of four test samples of class 1 three lie in its corner and one in that of class 3."""
    x = torch.eye(8)[torch.tensor([1, 1, 1, 3, 0, 2])]
    test = samples(x, torch.tensor([1, 1, 1, 1, 0, 2]))
    assert probe(Reads(8), TRAIN, test, 1, generator(0)) == pytest.approx(0.75)
    assert probe(Reads(8), TRAIN, test, 2, generator(0)) == 1.0


def test_random_features_are_near_chance():
    """One in five, over 200 test samples a class and three draws of features."""
    found = [probe(Reads(4), noise(40, 2 * seed, 4), noise(200, 2 * seed + 1, 4), 2,
                   generator(seed)) for seed in range(3)]
    assert 0.08 < sum(found) / 3 < 0.35


def test_a_class_whose_features_are_anothers_is_not_found_whole():
    """Class 1 lies where class 0 does: half of the two is the best that can be."""
    x_train, x_test = TRAIN.x.clone(), TEST.x.clone()
    x_train[TRAIN.y == 1] = x_train[TRAIN.y == 0]
    x_test[TEST.y == 1] = x_test[TEST.y == 0]
    train, test = samples(x_train, TRAIN.y), samples(x_test, TEST.y)
    both = [probe(Reads(8), train, test, index, generator(0)) for index in (0, 1)]
    assert sum(both) <= 1.1
    assert probe(Reads(8), train, test, 3, generator(0)) > 0.9


def test_a_blind_model_knows_no_class():
    found = [probe(Blind(8), TRAIN, TEST, index, generator(0)) for index in range(CLASSES)]
    assert sum(found) <= 1.0 + 1e-9


@pytest.mark.parametrize("index", [0, 3])
def test_a_permutation_of_classes_changes_nothing(index):
    order = torch.tensor([3, 0, 4, 1, 2])  # class c is called order[c]
    wide = [corners(30, 4, 0.6), corners(100, 5, 0.6)]
    renamed = [samples(data.x, order[data.y]) for data in wide]
    found = probe(Reads(8), *renamed, int(order[index]), generator(0))
    assert found == pytest.approx(probe(Reads(8), *wide, index, generator(0)), abs=0.1)
    assert 0.2 < found < 1


def test_the_output_layer_has_no_say():
    """Masking the class is no forgetting: the probe reads what lies before the output layer."""
    one, other = Reads(8), Reads(8)
    other.fc.bias.data[2] -= 1e6
    other.fc.weight.data.neg_()
    wide = corners(30, 4, 0.6), corners(100, 5, 0.6)
    found = probe(one, *wide, 2, generator(0))
    assert found == probe(other, *wide, 2, generator(0))
    assert 0.2 < found < 1


def test_a_masked_network_is_found_out():
    """A trained network whose class is silenced at the output gives the class to the probe."""
    crowd = people(count=CLASSES, photos=40, spread=0.5)
    model = build("mlp", tuple(crowd.train.x.shape[1:]), CLASSES, generator(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(crowd.train.x), crowd.train.y).backward()
        optimizer.step()
    model.requires_grad_(False)
    before = probe(model, crowd.train, crowd.test, 2, generator(0))
    model.layers[-1][1].bias[2] -= 1e6
    assert (model(crowd.test.x).argmax(1) != 2).all()
    assert probe(model, crowd.train, crowd.test, 2, generator(0)) == before
    assert before > 0.9


@pytest.mark.parametrize("factor", [2.0**-10, 2.0**10])
def test_the_unit_of_the_features_does_not_matter(factor):
    """A scar that only shrinks the features hides nothing."""
    wide = corners(30, 4, 0.6), corners(100, 5, 0.6)
    scaled = [samples(data.x * factor, data.y) for data in wide]
    expected = probe(Reads(8), *wide, 2, generator(0))
    assert probe(Reads(8), *scaled, 2, generator(0)) == pytest.approx(expected, abs=0.005)


def test_same_generator_same_recall():
    wide = corners(200, 4, 0.6), corners(100, 5, 0.6)
    assert (probe(Reads(8), *wide, 2, generator(3)) == probe(Reads(8), *wide, 2, generator(3)))


def test_model_and_data_are_left_as_they_were():
    model = Reads(8)
    before, x, y = weights_hash(model), TRAIN.x.clone(), TEST.y.clone()
    probe(model, TRAIN, TEST, 1, generator(0))
    assert weights_hash(model) == before
    assert torch.equal(TRAIN.x, x)
    assert torch.equal(TEST.y, y)


def test_fixed_features_are_not_probed():
    """A linear head on a public embedder: what it reads learnt nothing from the data."""
    crowd = people(count=CLASSES, photos=10)
    model = build("linear", tuple(crowd.train.x.shape[1:]), CLASSES, generator(0))
    assert probe(model, crowd.train, crowd.test, 2, generator(0)) is None


def test_one_training_sample_a_class_and_one_to_find():
    train, test = corners(1, 0), corners(1, 1)
    assert probe(Reads(8), train, test, 2, generator(0)) == 1.0
    assert probe(Reads(8), train, test.take(test.y == 2), 2, generator(0)) == 1.0


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_that_is_missing_has_no_recall(part):
    """Nothing is made up: there is no figure, or a sentence that says why not."""
    parts = {"train": TRAIN, "test": TEST}
    parts[part] = parts[part].take(parts[part].y != 2)
    try:
        found = probe(Reads(8), parts["train"], parts["test"], 2, generator(0))
    except ForgetError:
        return
    assert found is None


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_empty_part_has_no_recall(part):
    parts = {"train": TRAIN, "test": TEST}
    parts[part] = parts[part].take(slice(0, 0))
    try:
        found = probe(Reads(8), parts["train"], parts["test"], 2, generator(0))
    except ForgetError:
        return
    assert found is None


def test_another_class_that_is_missing_does_not_matter():
    found = probe(Reads(8), TRAIN.take(TRAIN.y != 4), TEST.take(TEST.y != 4), 2, generator(0))
    assert found == 1.0


def test_features_that_are_not_numbers_are_refused():
    with pytest.raises(ForgetError):
        probe(Reads(8, broken=True), TRAIN, TEST, 2, generator(0))


def test_images_are_probed_too():
    x = torch.zeros(CLASSES * 10, 1, 4, 4, dtype=torch.uint8)
    y = torch.arange(CLASSES).repeat(10)
    x.flatten(1)[torch.arange(len(y)), y] = 255

    class Pixels(Reads):
        def embed(self, x):
            return x.flatten(1).float() / 255

    data = samples(x, y)
    assert probe(Pixels(16), data, dataclasses.replace(data), 2, generator(0)) == 1.0
