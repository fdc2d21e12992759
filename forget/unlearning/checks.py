"""What verifying a certificate looked at, one thing at a time."""

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was looked at: ``passed`` is None where it could not be.

    ``authenticates``: whether a yes shows that every field of the certificate is as it was issued.
    """

    what: str
    passed: bool | None
    detail: str = ""
    authenticates: bool = False


def is_verified(checks: Iterable[Check]) -> bool:
    """Whether nothing speaks against a certificate and something vouches for all of it."""
    checks = list(checks)
    return (all(check.passed is not False for check in checks)
            and any(check.passed and check.authenticates for check in checks))
