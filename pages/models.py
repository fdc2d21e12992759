"""Models and data: what lies on this machine, where it came from, and what can be fetched."""

import streamlit as st

from ui.frame import page


def body() -> None:
    st.markdown("What this program has on this machine. Everything lies in one folder and can be "
                "deleted there; what is missing is fetched or trained again when it is needed.")
    _datasets()
    _embedders()
    _shipped()
    _brought()
    _everything()
    _work()


def _everything() -> None:
    from forget.core.words import counted
    from forget.io.paths import downloads
    from forget.report.inventory import inventory

    st.header("Everything in the folder", divider="gray")
    parts = inventory()
    sizes = [round(part.size / 1e6, 1) for part in parts]
    st.table([{
        "What": part.what,
        "Files": f"{part.files:,}",
        "MB": f"{size:,.1f}" if size else "under 0.1",
    } for part, size in zip(parts, sizes, strict=True)], hide_index=True, border="horizontal",
        alt="Every kind of file in the data folder, with the number and size of its files")
    files = counted(sum(part.files for part in parts), "file")
    st.caption(f"In all {files}, {sum(sizes):,.1f} MB, in {downloads()}. A file of another program "
               "that lies there counts among the other files, and so do locks and downloads under "
               "way.")


def _datasets() -> None:
    from forget.data import DATASETS
    from forget.io.paths import downloads

    st.header("Datasets", divider="gray")
    rows = []
    for cls in DATASETS.values():
        if cls.takes_path:
            continue
        about = cls().describe()
        rows.append({
            "Name": about["title"],
            "To train": _count(about, "train"),
            "Held out": _count(about, "held_out"),
            "To test": _count(about, "test"),
            "Here": "yes" if about["present"] else "not yet",
        })
    st.table(rows, hide_index=True, border="horizontal", alt="Datasets and their sizes")
    st.caption("Held out: samples that neither train nor test a model; stop rules look at them. "
               f"Folder: {downloads().name}/. Every file is checked against its declared sha256.")


def _count(about: dict, part: str) -> str:
    """A part's size, where it is known before the files are here."""
    return f"{about['sizes'][part]:,}" if any(about["sizes"].values()) else "–"


def _embedders() -> None:
    from forget.faces.embedders import CHOICE, EMBEDDERS, find_embedder

    st.header("Networks that read faces", divider="gray")
    running = find_embedder().name
    st.table([{
        "Name": cls.title + (" (running)" if cls.name == running else ""),
        "Numbers a face": str(cls.size),
        "Learnt from": cls.learnt_from,
        "Here": "yes" if cls.present() else "not yet",
    } for cls in EMBEDDERS.values()], hide_index=True, border="horizontal",
        alt="Face embedders")
    names = " or ".join(f"{CHOICE}={name}" for name in EMBEDDERS)
    st.caption(f"Public, and never changed here. To use another one, start the program with "
               f"{names} in its environment. What they make of each photo is kept in "
               "embeddings/ and goes with the person who is forgotten.")


def _shipped() -> None:
    from forget.unlearning import store
    from ui.widgets.charts import percent

    st.header("Models that come with the program", divider="gray")
    rows = [{
        "File": name,
        "Test accuracy": percent(entry.get("test_accuracy")),
        "Made by": str(entry.get("command", "unknown")),
        "Seed": str(entry.get("seed", "unknown")),
        "Trained in": f"{entry['seconds']:.1f} s" if "seconds" in entry else "unknown",
    } for name, entry in store.manifest().items()]
    if not rows:
        st.info("None here; the first visit to Digits trains one in some seconds.")
        return
    st.table(rows, hide_index=True, border="horizontal", alt="Shipped models")


def _brought() -> None:
    from forget.core.errors import DamagedFile
    from forget.core.spelling import is_text, printable_path
    from forget.io.paths import downloads
    from forget.unlearning import store
    from ui.shell.access import who
    from ui.shell.words import plain

    st.header("Your own checkpoints", divider="gray")
    rows = []
    for path in store.foreign_files():
        name = str(path.relative_to(downloads()))
        if not is_text(name):
            rows.append({"File": plain(printable_path(name)), "Kind": "–",
                         "Usable": "no: its name is no text: rename it"})
            continue
        name = plain(name)
        try:
            model = store.read_foreign(path)
            rows.append({"File": name, "Kind": model.name, "Usable": "yes"})
        except DamagedFile as error:
            rows.append({"File": name, "Kind": "–", "Usable": f"no: {plain(str(error))}"})
    if rows:
        st.table(rows, hide_index=True, border="horizontal", alt="Checkpoints in the folder")
    else:
        st.info("None yet. Put a .safetensors file, or a .pt file with plain tensors, of a known "
                "network into forget_downloads/, or fetch one here.")
    if who().may_enrol:
        _fetch()
    else:
        st.caption(":material/lock: Fetching checkpoints is for who has signed in: this server can "
                   "be reached from other machines.")


def _fetch() -> None:
    from forget.unlearning.drive import FOLDER, MOST_FILES, QUOTA, fetch_drive
    from ui.shell.words import plain

    link = st.text_input("Google Drive link of a folder or a file", key="models.link",
                         placeholder="https://drive.google.com/drive/folders/…",
                         help="Files whose shapes fit a known network are taken; nothing in them "
                         f"is run. They lie in {FOLDER}/, at most {MOST_FILES} of them and "
                         f"{QUOTA >> 20} MB.")
    if st.button("Fetch", icon=":material/download:", disabled=not link, key="models.fetch"):
        with st.spinner("Asking Google Drive"):
            fetched = fetch_drive(link)
        for path in fetched.taken:
            st.success(f"Taken: {plain(path.name)}. Choose it on Digits under Model.")
        for name, why in fetched.refused.items():
            st.warning(f"Left out: {plain(name)}: {plain(why)}.")
        if not fetched.taken and not fetched.refused:
            st.info("The link holds no files.")


def _work() -> None:
    from ui.jobs.operator import everybodys_work, may_operate
    from ui.shell.access import who

    if may_operate(who()):
        st.header("Work on this server", divider="gray")
        st.markdown("What runs and what waits, in the order of its turns. Requests to be forgotten "
                    "come first; the others take turns among visitors.")
        everybodys_work()


page("Models and data", body)
