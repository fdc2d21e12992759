"""What came of requests, from what the ledger says of them: for Forget me and Ledger alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from forget.core.words import agreeing, counted
from forget.methods import METHODS
from forget.records import bases
from forget.records.history import anew
from forget.unlearning.certificate import text_of
from ui.erase.held import show_hits
from ui.erase.work import Came, Forgotten, Waits
from ui.run.outcome import accuracy_table, seconds_row, verdict_box
from ui.shell.access import who
from ui.shell.words import told

BESIDE = (":material/lock: The figures above tell more of what was forgotten than the "
          "certificate allows. They are kept on this machine, beside the ledger: neither the "
          "certificate nor an export has them, and only whoever sits here sees them.")
NOT_SHOWN = ("What was measured is shown only to whoever sits at the machine: it tells more of "
             "what was forgotten than the certificate allows.")
NOT_HERE = "What was measured is not here any more."


def show_forgotten(result: Forgotten) -> None:
    """Each request, what waits, and what a search found afterwards."""
    show_came(result.came)
    for one in result.waits:
        st.info(_waits(one), icon=":material/hourglass_top:")
    if result.meanwhile:
        st.success("It was carried out along with somebody else's request while this one waited "
                   "its turn; the page Ledger has its entry.", icon=":material/check_circle:")
    if result.others:
        others = counted(result.others, "request of somebody else was", "requests of others were")
        st.caption(f"{others} due too and carried out with it; the page Ledger has "
                   f"{agreeing(result.others, 'its entry', 'their entries')}.")
    _searched(result)


def show_came(came: Sequence[Came]) -> None:
    """What came of each request, and once what still has to be cleaned up."""
    for one in came:
        _show(one)
    for untidy in {one.untidy for one in came if one.untidy}:
        st.warning(f"Not all of it is clean yet: {told(untidy)}",
                   icon=":material/cleaning_services:")


def _show(one: Came) -> None:
    base = bases.BASES[one.base]
    what = counted(one.samples, base.one)
    if one.failed:
        st.subheader(f"{base.title}: {what} not forgotten")
        st.error(f"{told(one.failed)} Nothing was deleted. Ask again on the page Forget me, "
                 "with another method.", icon=":material/error:")
    else:
        st.subheader(f"{base.title}: {what} forgotten and deleted")
        outcome_of(one.outcome, f"came.{one.entry}")
    st.caption(f"This is entry {one.entry} of the ledger."
               + (" The key by which its entries were known to be about this contributor is "
                  "destroyed." if one.outcome.get("key_destroyed") else ""))


def outcome_of(outcome: Mapping[str, Any], key: str) -> None:
    """A request's figures, as they are kept; ``key`` begins the keys of its widgets.

    What was measured of a certified request is for whoever sits at the machine.
    """
    if "method" not in outcome:
        st.success("The model had learnt nothing of these samples, so they were only deleted.",
                   icon=":material/check_circle:")
        return
    st.markdown(f"By **{METHODS[outcome['method']].title}**, beside "
                f"{counted(outcome['references'], 'model')} retrained without the samples.")
    if "metrics" not in outcome:
        st.caption(NOT_HERE)
    elif not outcome["certificate"] or who().local:
        _measured(outcome)
    else:
        st.caption(NOT_SHOWN)
    if outcome["certificate"]:
        _certificate(outcome["certificate"], anew(outcome), key)


def _measured(outcome: Mapping[str, Any]) -> None:
    if outcome["verdict"]:
        verdict_box(outcome["verdict"], outcome["verdict_reason"])
    accuracy_table(outcome["metrics"], outcome["references"], outcome["whole_class"])
    seconds_row(outcome)
    if outcome["certificate"]:
        st.caption(BESIDE)


def _certificate(stated: Mapping[str, Any], was_anew: bool, key: str) -> None:
    instead = (" What was left of its budget, or of the limit for publications, did not allow it, "
               "so **the model was trained anew**."
               if was_anew else "")
    st.markdown(f"**Certified**, and it covers the {stated['covers']}: whoever sees the published "
                "weights can tell them from those of a model that never had the samples only as "
                f"well as ε = {stated['epsilon']:g} allows, but for a probability of δ = "
                f"{stated['delta']:g}.{instead}")
    st.download_button("Certificate (JSON)", text_of(dict(stated)), "certificate.json",
                       "application/json", key=f"{key}.certificate", on_click="ignore",
                       icon=":material/verified:")


def _waits(one: Waits) -> str:
    base = bases.BASES[one.base]
    if one.waiting >= one.batch:
        return (f"{base.title}: the request is due and waits. Carry it out on the page Ledger.")
    more = one.batch - one.waiting
    return (f"{base.title}: the request waits. {one.waiting} of {one.batch} "
            f"{agreeing(one.waiting, 'is', 'are')} there; when "
            f"{counted(more, 'more comes', 'more come')} they are carried out together, or at any "
            "time on the page Ledger. Until then all of it is still held, and nothing new learns "
            "from it.")


def _searched(result: Forgotten) -> None:
    before = counted(result.before, "file")
    if not result.left:
        st.success(f"**Found in {before} before, in none now.** Every file of the data folder was "
                   "searched for pieces of the samples, their embeddings and pictures, their "
                   "hashes, and the name.", icon=":material/manage_search:")
        return
    why = ("a request still waits" if result.waits else "not everything could be carried out"
           if any(one.failed for one in result.came) else "look there yourself: other words and "
           "other people's data may be the same")
    st.warning(f"Found in {before} before, and this is left ({why}):",
               icon=":material/manage_search:")
    show_hits(result.left)
