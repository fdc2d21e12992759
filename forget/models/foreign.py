"""Weights that others saved: which known architecture they are of, and which layer each is."""

import itertools
import re
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from forget.core.errors import DamagedFile
from forget.models import ARCHITECTURES, MAX_WEIGHTS, Architecture, with_old_scales

WRAPPERS = frozenset({"module", "_orig_mod"})
"""What DataParallel and torch.compile put into names, around a network or a layer of it."""

Layers = tuple[tuple[str, str], ...]
"""The names of weight and bias, layer by layer."""


def recognise(tensors: dict[str, Tensor], ordered: bool = True) -> Architecture:
    """The known architecture whose parameters have these shapes, with these values in it.

    Names are an architecture's own, or free: then the one order of layers is taken that makes up
    the architecture. Where several do, numbers in the names decide, and the order given where it is
    that of the layers (``ordered``). Wrappers' parts of names, and a part that begins all of them,
    are passed over. ``scale.shift`` and ``scale.span`` are taken where they are given.

    Raises :class:`DamagedFile` for shapes of no known architecture, for layers whose order nothing
    tells, and for tensors that are not plain finite numbers.
    """
    tensors = _unwrapped(tensors)
    if not _plain(tensors):
        raise DamagedFile("this checkpoint holds tensors that are not plain floating-point numbers "
                          "in memory: save the network's state_dict again")
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise DamagedFile("this checkpoint holds NaN or infinite weights: use another one")
    constants = {name: tensors.pop(name) for name in ("scale.shift", "scale.span")
                 if name in tensors}
    for architecture in ARCHITECTURES.values():
        with torch.device("meta"), warnings.catch_warnings():
            # Some wrong shapes make up a network that has far more weights than they.
            warnings.simplefilter("ignore")  # that nothing is copied there
            names = _names(tensors, architecture, ordered)
        model = names and _built(architecture, [tensors[name] for name in names], constants)
        if model:
            return model
    raise DamagedFile(
        "the shapes in this checkpoint fit no known architecture "
        f"({', '.join(ARCHITECTURES)}): use one that was saved by this program"
    )


def _built(
    architecture: type[Architecture], weights: Sequence[Tensor], constants: dict[str, Tensor]
) -> Architecture | None:
    model = architecture.from_shapes([tuple(value.shape) for value in weights])
    if not constants.keys() <= model.state_dict().keys():
        return None
    names = [name for name, _ in model.named_parameters()]
    state = model.state_dict()
    scales = with_old_scales(constants, state)
    if any(value.shape != state[name].shape for name, value in scales.items()):
        return None
    model.load_state_dict(state | dict(zip(names, weights, strict=True)) | scales)
    return model


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same by shorter names."""
    parts = {name: [part for part in name.split(".") if part not in WRAPPERS] for name in tensors}
    while len({part[0] for part in parts.values() if part}) == 1 and all(
            len(part) > 2 for part in parts.values()):
        parts = {name: part[1:] for name, part in parts.items()}
    short = {".".join(part): tensors[name] for name, part in parts.items()}
    if len(short) < len(tensors):
        raise DamagedFile("this checkpoint holds a layer twice, with and without a wrapper's name: "
                          "save the network's state_dict again")
    return short


def _plain(tensors: dict[str, Tensor]) -> bool:
    """Whether all are dense real numbers, few enough to build a network of their size."""
    dense = all(value.layout == torch.strided and value.device.type == "cpu"
                and value.is_floating_point() and value.numel() for value in tensors.values())
    return dense and sum(value.numel() for value in tensors.values()) <= MAX_WEIGHTS


def _names(
    tensors: dict[str, Tensor], architecture: type[Architecture], ordered: bool
) -> list[str] | None:
    """The tensors' names in the order of the architecture's parameters; None where they are not
    its."""
    layers = _layers(tensors)
    if layers is None:
        return list(tensors) if _fits(list(tensors), tensors, architecture) else None
    if len(layers) != len(architecture.titles):
        return None
    if layers.keys() == architecture.titles.keys():
        own = _flat([layers[layer] for layer in architecture.titles])
        if _fits(own, tensors, architecture):
            return own
    fitting = [order for order in itertools.permutations(layers.values())
               if _fits(_flat(order), tensors, architecture)]
    likely = [order for order in fitting if _numbers_rise(order)] or fitting
    given = tuple(layers.values())
    if ordered and given in fitting:
        likely = [order for order in likely if order == given]
    if fitting and len(likely) != 1:
        raise DamagedFile("several layers of this checkpoint have the same shape, and their names "
                          f"do not say which comes first ({', '.join(layers)}): number them from "
                          "input to output, or save a .pt file with the layers in that order")
    return _flat(likely[0]) if likely else None


def _fits(
    names: Sequence[str], tensors: dict[str, Tensor], architecture: type[Architecture]
) -> bool:
    return architecture.from_shapes([tuple(tensors[name].shape) for name in names]) is not None


def _layers(tensors: dict[str, Tensor]) -> dict[str, tuple[str, str]] | None:
    """Layer to the names of its weight and bias; None where they are not so named."""
    names = [name.rpartition(".")[0] for name in tensors]
    layers = {layer: tuple(f"{layer}{layer and '.'}{what}" for what in ("weight", "bias"))
              for layer in names}
    whole = {name for pair in layers.values() for name in pair}
    return layers if whole == tensors.keys() else None


def _flat(layers: Sequence[tuple[str, str]]) -> list[str]:
    return [name for layer in layers for name in layer]


def _numbers_rise(layers: Layers) -> bool:
    """Whether layers whose names differ in their numbers only come in the order of these."""
    last: dict[str, list[int]] = {}
    for name, _ in layers:
        alike = re.sub(r"\d+", "#", name)
        numbers = [int(digits) for digits in re.findall(r"\d+", name)]
        if numbers < last.get(alike, []):
            return False
        last[alike] = numbers
    return True
