"""What only this machine knows: keys for noise that nobody else can take off again."""

import hashlib
import hmac
import secrets

import numpy as np
import torch
from torch import Tensor

from forget.core.errors import DamagedFile
from forget.io.files import locked, write_atomically
from forget.io.paths import downloads

MACHINE_KEY = "machine.key"
KEY_BYTES = 32


def machine_key() -> bytes:
    """A random key made once and kept in ``forget_downloads/``, readable by its owner only.

    Raises :class:`DamagedFile` where the file is not such a key.
    """
    with locked(MACHINE_KEY):
        key = present_machine_key()
        if key is None:
            key = secrets.token_bytes(KEY_BYTES)
            write_atomically(downloads() / MACHINE_KEY, key, mode=0o600)
    return key


def present_machine_key() -> bytes | None:
    """The key, None where there is none yet; :class:`DamagedFile` where the file is no key."""
    path = downloads() / MACHINE_KEY
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedFile(f"{path} cannot be read ({error.strerror}): put it back from a copy, or "
                          "let this program read it") from error
    if len(key) != KEY_BYTES:
        raise DamagedFile(f"{path} is damaged: put it back from a copy; where there is none, "
                          "delete it, and a new key is made that nothing sealed before fits")
    return key


def noise_key(generator: torch.Generator, *about: Tensor | str) -> Tensor:
    """A key (32,) uint8 for one model's noise.

    Drawn from the generator, so that a seed gives the same model again on this machine, and mixed
    with the machine's key, so that a seed alone, which stands in every record, does not tell it.
    ``about``: what the noise is to hide. It is mixed in as well: the same noise on two models would
    give their difference away.
    """
    drawn = torch.randint(-(2**63), 2**63 - 1, (2,), generator=generator)
    mixed = hmac.new(machine_key(), drawn.numpy().tobytes(), "sha256")
    for part in about:
        mixed.update(part.encode() if isinstance(part, str)
                     else part.cpu().contiguous().numpy().tobytes())
    return torch.tensor(list(mixed.digest()), dtype=torch.uint8)


def gaussian(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Independent standard normal numbers float64, from a key and nothing else.

    Philox (Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405) under 128 bits of the key:
    torch's own generator keeps 32 bits of its seed, few enough to try them all.

    >>> gaussian(torch.zeros(32, dtype=torch.uint8), (2, 3)).shape
    torch.Size([2, 3])
    """
    number = int.from_bytes(hashlib.sha256(bytes(key.tolist())).digest()[:16], "little")
    draw = np.random.Generator(np.random.Philox(key=number))
    return torch.from_numpy(draw.standard_normal(shape))


def random_key() -> Tensor:
    """A key (32,) uint8 that no seed can give again."""
    return torch.tensor(list(secrets.token_bytes(KEY_BYTES)), dtype=torch.uint8)


def commitment(key: Tensor, salt: Tensor) -> str:
    """sha256 of salt and key: binds its author to the key and tells nothing of it."""
    return hashlib.sha256(bytes(salt.tolist()) + bytes(key.tolist())).hexdigest()


def keyed_hash(key: Tensor, data: bytes) -> str:
    """HMAC-SHA256: nobody without the key can tell which data it stands for by guessing."""
    return hmac.digest(bytes(key.tolist()), data, "sha256").hex()
