"""What requests would spend of a budget, said before they are carried out."""

from collections.abc import Sequence

import streamlit as st

from forget.core.words import in_percent
from forget.methods import Spending
from forget.records import bases
from ui.erase.work import Question, Working, forecasting, show_work

FORECAST = "forecast"


def announced(held: Working, questions: Sequence[Question], key: str) -> bool:
    """Ask for the forecast of every question and show it; returns whether all are answered.

    ``key``: begins the keys of its widgets, and says where its job is shown.
    """
    if not questions:
        return True
    place = f"{key}.{FORECAST}"
    show_work(held, place)
    known = held.forecast.spending if held.forecast else {}
    if all(one in known for one in questions):
        for one in questions:
            st.info(f"{bases.BASES[one.base].title}: {spending_in_words(known[one])}",
                    icon=":material/savings:")
        return True
    st.markdown("This model has a budget, or a limit for all that is published of it: every "
                "request spends some of that, and one that would spend more than is left has the "
                "model trained anew. Have it worked out first; it takes some seconds and changes "
                "nothing.")
    if st.button("Work out what it spends", icon=":material/calculate:", key=place,
                 disabled=held.busy):
        held.submit(forecasting(questions), place)
        st.rerun()
    return False


def spending_in_words(spending: Spending | None) -> str:
    """
    >>> print(spending_in_words(Spending(spent=1.0, more=0.5, budget=2.0)))
    this spends 25.0 % of the budget; 50.0 % is spent already, and 25.0 % will be left.
    >>> print(spending_in_words(Spending(spent=1.0, more=3.0, budget=2.0)))
    this would spend 150.0 % of the budget, and 50.0 % is spent already. That is more than is left,
    so **the model will be trained anew** without the samples, and its budget starts again.
    """
    if spending is None:
        return "the model has learnt nothing of it, so nothing is spent."
    more, spent = (in_percent(one / spending.budget) for one in (spending.more, spending.spent))
    if spending.retrains:
        return (f"this would spend {more:.1f} % of the budget, and {spent:.1f} % is spent "
                "already. That is more than is left, so **the model will be trained anew** without "
                "the samples, and its budget starts again.")
    return (f"this spends {more:.1f} % of the budget; {spent:.1f} % is spent already, and "
            f"{max(100 - more - spent, 0):.1f} % will be left.")
