"""FaceNet: a larger network, whose weights are fetched from its authors only."""

import dataclasses
from pathlib import Path

import torch
import torch.nn.functional as F
from facenet_pytorch import InceptionResnetV1
from facenet_pytorch.models.inception_resnet_v1 import BasicConv2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from forget.core.errors import DamagedFile
from forget.faces.embedders import EMBEDDERS, Embedder
from forget.io.files import Bundle, DeclaredFile, Source, download, silent

RELEASE = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"

INPUT_SIDE = 160
"""Pixels of the side that the network was made for."""

WEIGHTS = DeclaredFile(
    "20180402-114759-vggface2.pt",
    "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b", 111_898_327)


@dataclasses.dataclass(frozen=True)
class Release(Source):
    """A web folder that holds each file as it is."""

    url: str

    @property
    def title(self) -> str:
        return self.url

    def fetch(self, files, folder, progress):
        for file in files:
            download(f"{self.url}{file.name}", folder / file.name,
                     limit=file.size, progress=progress)


FACENET_FILES = Bundle(
    name="facenet",
    files=(WEIGHTS,),
    sources=(Release(RELEASE),),
    by_hand=f"put {WEIGHTS.name} from {RELEASE} into forget_downloads/facenet/",
)


@EMBEDDERS.register
class FaceNet(Embedder):
    """InceptionResnetV1 of facenet-pytorch (MIT), learnt on VGGFace2: 512 numbers, norm 1.

    Input 160 x 160, (pixel - 127.5) / 128.  99.65 % on LFW, say its authors:
    https://github.com/timesler/facenet-pytorch.  Szegedy et al. 2016,
    https://arxiv.org/abs/1602.07261; Schroff et al. 2015, https://arxiv.org/abs/1503.03832.

    The release publishes no hash: the declared one is what many projects that fetched the file
    wrote down independently.
    """

    name = "facenet"
    title = "FaceNet (InceptionResnetV1)"
    order = 2
    learnt_from = ("VGGFace2: 3.3 million photos of 9,131 people from the internet, of whom 8,631 "
                   "were learnt")
    size = 512
    files = FACENET_FILES

    @classmethod
    def load(cls, progress=silent):
        return cls(read_weights(cls.files.ensure(progress)[WEIGHTS.name]))

    def __init__(self, weights: dict[str, Tensor]):
        """``weights``: InceptionResnetV1's, by their names there."""
        super().__init__()
        self.network = empty_network()
        self.network.load_state_dict(weights, assign=True)
        self.eval().requires_grad_(False)
        for layer in self.network.modules():
            if isinstance(layer, BasicConv2d):
                layer.conv, layer.bn = fuse_conv_bn_eval(layer.conv, layer.bn), nn.Identity()
        self.to(memory_format=torch.channels_last)

    def forward(self, crops: Tensor) -> Tensor:
        weight = self.network.last_linear.weight
        x = crops.to(weight.device, torch.float32, memory_format=torch.channels_last)
        x = F.interpolate(x, (INPUT_SIDE, INPUT_SIDE), mode="bilinear", align_corners=False)
        return self.network(x.sub_(127.5).div_(128))


def empty_network() -> InceptionResnetV1:
    """The network without numbers: none are drawn only to be replaced."""
    with torch.device("meta"):
        return InceptionResnetV1(pretrained=None, classify=False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of InceptionResnetV1, its classifier left out.

    Raises :class:`DamagedFile` unless names, shapes and types are the network's and every number
    is finite.
    """
    damaged = DamagedFile(f"{path} does not hold the weights of {FaceNet.title}: delete it, and "
                          f"{FACENET_FILES.by_hand}")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make torch raise almost anything
        raise damaged from error
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise damaged
    weights = {name: t for name, t in found.items() if not str(name).startswith("logits.")}
    wanted = {name: (t.shape, t.dtype) for name, t in empty_network().state_dict().items()}
    if {name: (t.shape, t.dtype) for name, t in weights.items()} != wanted:
        raise damaged
    if not all(t.isfinite().all() for t in weights.values()):
        raise damaged
    return weights
