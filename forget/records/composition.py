"""How much publications may tell together of what was forgotten: a limit that an operator sets.

Each certified publication hides what is left of the forgotten samples under noise of its own, and
whoever keeps several sees more than each allows
(:func:`~forget.certified.privacy.composed_epsilon`). A model that is trained anew owes nothing to
what was forgotten before: its publication, and those that follow from it, add nothing about those
samples. So it is counted since the last training, for the samples forgotten since then. Models
from before a request, which learnt from its samples, are not spoken of.
"""

import math

from forget.core.errors import BadInput
from forget.learners import Learner
from forget.methods import Method, Spending, check_suits
from forget.records import ledger
from forget.records.bases import Base
from forget.records.database import reading, writing
from forget.records.history import certificates
from forget.records.lineage import Live
from forget.unlearning.certificate import together

LEAST = 1e-3
"""The least epsilon that a certificate can have."""


def composes(learner: Learner | None) -> bool:
    """Whether publications of the learner's models have noise of their own each."""
    return getattr(learner, "mode", "") == "residual"


def limit(base: Base) -> float | None:
    """The epsilon that publications since the last training may allow together; None: any."""
    with reading() as db:
        row = db.execute("SELECT most_epsilon FROM composition WHERE base = ?",
                         (base.name,)).fetchone()
    # A damaged limit is the strictest: every request has the model trained anew.
    return None if row is None else row[0] if type(row[0]) is float and row[0] > LEAST else LEAST


def set_limit(base: Base, most: float | None) -> None:
    """Have a model trained anew by the request that would go beyond ``most``; None: by none."""
    if most is not None and not LEAST <= most < math.inf:
        raise BadInput(f"a limit of epsilon is a number from {LEAST:g}; take 0 for none")
    if most == limit(base):
        return
    with writing() as db:
        db.execute("DELETE FROM composition WHERE base = ?", (base.name,))
        if most is not None:
            db.execute("INSERT INTO composition VALUES (?, ?)", (base.name, float(most)))
        ledger.append(db, "policy", {"base": base.name, "most_epsilon": most})


def one_more(here: Live, method: Method) -> Spending | None:
    """What a publication by ``method`` adds to those since the last training; None where there is
    no limit, or where publications do not compose."""
    most = limit(here.base)
    if most is None:
        return None
    check_suits(method, here.learner)
    next_one = method.publication(here.learner, here.model)
    if next_one is None:
        return None
    with reading() as db:
        earlier = certificates(here.base, ledger.entries(db))
    so_far = together(earlier) or 0.0
    return Spending(so_far, together([*earlier, next_one]) - so_far, most)
