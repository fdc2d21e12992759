"""The ledger itself: whether it is intact, its entries, and an earlier export beside it."""

import dataclasses

import streamlit as st

from forget.core.errors import BadInput
from forget.core.words import counted
from forget.records import ledger
from forget.records.check import check
from forget.records.database import reading, writing
from forget.records.ledger import Entry, Line, Verified
from forget.records.measured import Figures, measured, outcome
from ui.erase.came import outcome_of
from ui.ledger.words import base_title, row_of, what_of
from ui.shell.access import who
from ui.shell.uploads import most_mb
from ui.shell.words import told

MOST_MB = 20
"""The largest export that is compared here; the command line takes larger ones."""

WHOSE = ("The first 8 signs of a keyed hash. The key goes with the data; from then on nobody can "
         "tell who it was.")


@dataclasses.dataclass(frozen=True)
class Book:
    """The ledger as it stands now: its rows, what checking them found, and what was measured
    beside it."""

    lines: tuple[Line, ...]
    verified: Verified
    figures: Figures

    @property
    def intact(self) -> bool:
        return self.verified.intact

    @property
    def chain(self) -> tuple[Entry, ...]:
        """The entries that can be read."""
        return tuple(line.entry for line in self.lines if line.entry is not None)


def open_book() -> Book:
    """Read the ledger and check it."""
    with reading() as db:
        return Book(tuple(ledger.lines(db)), check(db), measured(db))


def intact(book: Book) -> None:
    """Whether the ledger is as it was written, each fault in words, and notes."""
    count = counted(book.verified.count, "entry", "entries")
    if book.intact:
        st.success(f"**Intact:** {count}, chain and end.", icon=":material/verified:")
    else:
        faults = "\n".join(f"- {told(fault)}" for fault in
                           (*book.verified.faults, *book.verified.reopened))
        st.error(f"**Not intact.** {count}.\n\n{faults}", icon=":material/gpp_bad:")
        st.markdown("It cannot be mended here, and should not be: keep a copy of the data folder "
                    "as it is, and compare it with an export that somebody else keeps.")
        _reopen(book)
    for note in book.verified.notes:
        st.info(told(note), icon=":material/schedule:")


def _reopen(book: Book) -> None:
    """Go on over the faults; offered to whoever sits at the machine."""
    if not book.verified.faults:
        return
    st.markdown("Until then nothing is added to it: nobody can teach, ask or be forgotten.")
    if who().local and st.button("Go on over these faults", key="ledger.reopen",
                                 icon=":material/report:",
                                 help="Writes an entry that names them. From then on requests are "
                                      "carried out again, and the ledger says for good that it is "
                                      "not intact."):
        with writing() as db:
            ledger.reopen(db)
        st.rerun()


def not_intact() -> bool:
    """Whether the ledger takes no entries; said on the pages that would write some."""
    faults = open_book().verified.faults
    if faults:
        st.error(f"**The ledger is not intact**, so nothing is added and nothing can be forgotten "
                 f"here: {told(faults[0])} The page Ledger says more, and how to go "
                 "on.", icon=":material/gpp_bad:")
    return bool(faults)


def unproven() -> None:
    """What the ledger does not prove."""
    st.markdown("\n".join(f"- {one}" for one in ledger.UNPROVEN))


def entries(book: Book) -> None:
    """The table, newest first, and one entry opened."""
    if not book.lines:
        st.info("No entries yet. The first comes when somebody gives a drawing or a photo on the "
                "page Teach.", icon=":material/receipt_long:")
        return
    newest = book.lines[::-1]
    text = st.column_config.TextColumn
    st.dataframe([row_of(line, book.intact) for line in newest], hide_index=True,
                 alt=f"The {counted(len(newest), 'entry', 'entries')} of the ledger, newest first",
                 column_config={"Entry": st.column_config.NumberColumn(width=60),
                                "Of": text(width=70), "Whose": text(width=90, help=WHOSE),
                                "Result": text(width=400), "As written": text(width=110)})
    sound = {line.number: line.entry for line in newest if not line.faults}
    number = st.selectbox("Open an entry", list(sound), None,
                          format_func=lambda one: _title(sound[one]), key="ledger.entry",
                          placeholder="Choose one", width=420)
    if number is not None:
        _opened(sound[number], book.figures)
    if len(sound) < len(newest):
        st.caption("Entries marked as altered cannot be opened.")


def _title(entry: Entry) -> str:
    return f"{entry.number} · {base_title(entry)} · {what_of(entry)}"


def _opened(entry: Entry, figures: Figures) -> None:
    with st.container(border=True):
        st.markdown(f"**Entry {entry.number}**, {entry.at}")
        if entry.what == "forgotten":
            outcome_of(outcome(entry, figures), f"ledger.{entry.number}")
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
                       disabled=bool(book.verified.faults))
    file = st.file_uploader("Check an earlier export against this ledger", type=["json"],
                            max_upload_size=most_mb(MOST_MB), key="ledger.earlier")
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
    own = ledger.verify_chain(earlier, end).faults
    faults = [f"the export itself: {fault}" for fault in own]
    faults += ledger.extends(book.chain, earlier)
    if faults:
        said = "\n".join(f"- {told(fault)}" for fault in faults)
        st.error(f"**This ledger does not begin with that export.**\n\n{said}",
                 icon=":material/gpp_bad:")
    elif not earlier:
        st.info("That export is of an empty ledger: every ledger begins with it.",
                icon=":material/info:")
    else:
        st.success(f"This ledger begins with the {counted(len(earlier), 'entry', 'entries')} of "
                   f"that export, and has {len(book.chain) - len(earlier):,} more.",
                   icon=":material/verified:")


def _export() -> str:
    with reading() as db:
        return ledger.export_text(db)
