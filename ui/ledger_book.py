"""The ledger itself: whether it is intact, its entries, and an earlier export beside it."""

import dataclasses

import streamlit as st

from forget.errors import BadInput, DamagedFile
from forget.records import ledger
from forget.records.database import reading
from forget.records.ledger import Entry, Verified
from ui.forget_me_came import outcome_of
from ui.forget_me_held import counted
from ui.ledger_words import base_title, row_of
from ui.words import plain, sentence

MOST_MB = 20
"""The largest export that is compared here; the command line takes larger ones."""

WHOSE = ("The first 8 signs of a keyed hash. The key goes with the data; from then on nobody can "
         "tell who it was.")


@dataclasses.dataclass(frozen=True)
class Book:
    """The ledger as it stands now: its entries, none where they cannot be read, and what checking
    them found."""

    chain: tuple[Entry, ...]
    verified: Verified

    @property
    def intact(self) -> bool:
        return not self.verified.faults


def open_book() -> Book:
    """Read the ledger and check it."""
    with reading() as db:
        verified = ledger.verify(db)
        try:
            return Book(tuple(ledger.entries(db)), verified)
        except DamagedFile:  # said among the faults
            return Book((), verified)


def intact(book: Book) -> None:
    """Whether the ledger is as it was written, each fault in words, and notes."""
    count = counted(book.verified.count, "entry", "entries")
    if book.intact:
        st.success(f"**Intact:** {count}, chain and end.", icon=":material/verified:")
    else:
        faults = "\n".join(f"- {plain(sentence(fault))}" for fault in book.verified.faults)
        st.error(f"**Not intact.** {count}.\n\n{faults}", icon=":material/gpp_bad:")
        st.markdown("It cannot be mended here, and should not be: keep the folder as it is and "
                    "compare it with an export that somebody else keeps.")
    for note in book.verified.notes:
        st.info(plain(sentence(note)), icon=":material/schedule:")


def unproven() -> None:
    """What the ledger does not prove."""
    st.markdown("\n".join(f"- {one}" for one in ledger.UNPROVEN))


def entries(book: Book) -> None:
    """The table, newest first, and one entry opened."""
    if not book.chain:
        st.info("No entries yet. The first comes when somebody gives a drawing or a photo on the "
                "page Teach.", icon=":material/receipt_long:")
        return
    newest = book.chain[::-1]
    text = st.column_config.TextColumn
    st.dataframe([row_of(entry) for entry in newest], hide_index=True,
                 alt=f"The {len(newest)} entries of the ledger, newest first",
                 column_config={"Entry": st.column_config.NumberColumn(width=60),
                                "Of": text(width=70), "Whose": text(width=90, help=WHOSE),
                                "Result": text(width=400)})
    number = st.selectbox("Open an entry", [entry.number for entry in newest], None,
                          format_func=lambda one: _title(book.chain[one - 1]), key="ledger.entry",
                          placeholder="Choose one", width=420) if book.intact else None
    if number is not None:
        _opened(book.chain[number - 1])
    elif not book.intact:
        st.caption("Entries can be opened when the ledger is intact.")


def _title(entry: Entry) -> str:
    row = row_of(entry)
    return f"{entry.number} · {base_title(entry)} · {row['What']}"


def _opened(entry: Entry) -> None:
    with st.container(border=True):
        st.markdown(f"**Entry {entry.number}**, {entry.at}")
        if entry.what == "forgotten":
            outcome_of(entry.body, f"ledger.{entry.number}")
        st.json(entry.body, expanded=1)
        lines = {"Whose": entry.subject or "nobody's", "Hash of the entry before": entry.previous,
                 "Hash of this entry": entry.hash}
        st.markdown("\n".join(f"- {name}: `{value}`" for name, value in lines.items()))


def keep_a_copy(book: Book) -> None:
    """Export the ledger, and check that it begins with an earlier export."""
    st.markdown("Give an export to somebody else to keep: every later ledger must begin with the "
                "same entries. It holds neither names nor data.")
    st.download_button("Export (JSON)", _export, "ledger.json", "application/json",
                       key="ledger.export", on_click="ignore", icon=":material/download:",
                       disabled=not book.intact)
    file = st.file_uploader("Check an earlier export against this ledger", type=["json"],
                            max_upload_size=MOST_MB, key="ledger.earlier")
    if file is None:
        return
    try:
        earlier, end = ledger.read_export(file.getvalue().decode())
    except (BadInput, UnicodeDecodeError):
        st.error("This is no exported ledger: choose a file that was exported here, or that "
                 "'python -m forget ledger export' wrote.", icon=":material/error:")
        return
    _compared(book, earlier, end)


def _compared(book: Book, earlier: list[Entry], end: dict | None) -> None:
    own = ledger.verify_chain(earlier, end, sealed_here=False).faults
    faults = [f"the export itself: {fault}" for fault in own]
    faults += ledger.extends(book.chain, earlier)
    if faults:
        said = "\n".join(f"- {plain(sentence(fault))}" for fault in faults)
        st.error(f"**This ledger does not begin with that export.**\n\n{said}",
                 icon=":material/gpp_bad:")
    elif not earlier:
        st.info("That export is of an empty ledger: every ledger begins with it.",
                icon=":material/info:")
    else:
        st.success(f"This ledger begins with the {len(earlier):,} entries of that export, and has "
                   f"{len(book.chain) - len(earlier):,} more.", icon=":material/verified:")


def _export() -> str:
    with reading() as db:
        return ledger.export_text(db)
