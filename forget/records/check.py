"""Whether the records are as they were written: the ledger, and the live models that it names."""

import dataclasses

from forget.io.files import sha256_of
from forget.records import bases, ledger
from forget.records.database import Connection
from forget.records.ledger import Verified
from forget.records.lineage import home, named_sha256, row_of


def check(db: Connection) -> Verified:
    """As :func:`forget.records.ledger.verify`, and that each live model's file is the one that the
    ledger's last entry about it names."""
    verified = ledger.verify(db)
    faults = [fault for base in bases.BASES.values() for fault in _faults_of_model(db, base)]
    return dataclasses.replace(verified, faults=(*verified.faults, *faults))


def _faults_of_model(db: Connection, base: bases.Base) -> list[str]:
    row = row_of(db, base)
    if row is None:
        return []
    named = named_sha256(db, base)
    if named is None:
        return [f"there is a model of {base.title} that no entry names"]
    path = home(str(row["file"]))
    if not path.is_file():
        return [f"the model of {base.title} is gone: the ledger names its file, and there is none; "
                "the next start of the program trains it anew"]
    if sha256_of(path) != named:
        return [f"the model of {base.title} is not the one that the ledger names: its file was "
                "altered or replaced; the next start of the program trains it anew"]
    return []
