"""The Dockerfile, as far as it can be tested without an engine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from bench.docker_steps import (
    PORT,
    WORKDIR,
    copied,
    enters,
    environment,
    free_port,
    healthy,
    lay_out,
    started,
    steps_of,
)

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text()
STEPS = steps_of(DOCKERFILE)

EVERY_MODULE = """
import importlib, pkgutil
import forget, ui
for package in (forget, ui):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name != "forget.__main__":
            importlib.import_module(module.name)
"""
EVERY_FILE = f"""
from streamlit.testing.v1 import AppTest
for app in (AppTest.from_file("app.py"), AppTest.from_string({EVERY_MODULE!r})):
    app.run(timeout=90)
    assert not app.exception, app.exception
import sys
import forget.cli.main
from ui.frame import warm_up
assert warm_up().done.wait(90)  # what ends while PyTorch is at work in a thread aborts
sys.exit(forget.cli.main.main(["methods"]))
"""
"""What imports all that was copied: the app, each module of both packages, the command line."""


def all_of(word: str) -> list:
    return [step for step in STEPS if step.word == word]


def only(word: str):
    [step] = all_of(word)
    return step


def taken() -> list[tuple[Path, str]]:
    """All that the COPY instructions take from this tree."""
    return [one for step in all_of("COPY") for one in copied(step, ROOT, IGNORED)]


def hadolint() -> str:
    path = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if path is None:
        pytest.skip("the linter has no wheel for this machine")
    return path


def test_the_linter_has_nothing_to_say():
    done = subprocess.run([hadolint(), ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_linter_would_say_something(tmp_path):
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(DOCKERFILE.replace(":3.11-slim", "").replace("--no-cache-dir ", ""))
    said = subprocess.run([hadolint(), wrong], capture_output=True, text=True).stdout
    assert "DL3006" in said and "DL3042" in said


def test_the_base_is_slim_pinned_and_of_the_tested_python():
    text = (ROOT / "pyproject.toml").read_text()
    least = re.search(r'requires-python = ">=([\d.]+)"', text)[1]
    assert only("FROM").rest == f"python:{least}-slim"


def test_packages_are_the_tested_ones_from_wheels_and_without_a_cache():
    [install] = [step for step in all_of("RUN") if "pip install" in step.rest]
    for words in ("--no-cache-dir", "--only-binary :all:", "-r requirements.txt",
                  "-c constraints.txt"):
        assert words in install.rest
    assert not re.search(r"apt|gcc|curl|wget", DOCKERFILE.replace("build_opener", ""))


def test_the_server_and_the_fetching_run_as_somebody_without_rights():
    words = [step.word for step in STEPS]
    user = only("USER").rest
    assert int(user.split(":")[0]) >= 1000
    assert f"--uid {user.split(':')[0]} " in DOCKERFILE
    [fetch] = [n for n, step in enumerate(STEPS) if "forget fetch" in step.rest]
    assert words.index("USER") < fetch < words.index("CMD")


def test_baked_data_lie_in_the_volume_that_is_declared_after_them():
    words = [step.word for step in STEPS]
    [fetch] = [n for n, step in enumerate(STEPS) if "forget fetch" in step.rest]
    # What is written to a volume after it was declared is thrown away by the build.
    assert fetch < words.index("VOLUME")
    assert f"FORGET_HOME={only('VOLUME').rest}" in only("ENV").words


def test_the_port_is_one_and_the_same_everywhere():
    assert only("EXPOSE").rest == PORT
    assert f"--server.port={PORT}" in only("CMD").words
    assert f"127.0.0.1:{PORT}/_stcore/health" in only("HEALTHCHECK").words[-1]


@pytest.mark.parametrize("path", [
    ".env", ".streamlit/secrets.toml", ".git/config", ".venv/bin/python", "me.jpg", "notes.txt",
    "ui/__pycache__/frame.cpython-311.pyc", "forget_downloads/machine.key",
    "forget_downloads/people/ana/1.jpg", "forget_downloads/embeddings/a/b.safetensors",
    "forget_downloads/trained/mnist-network-0.safetensors", "forget_downloads/forget.db",
    "forget_downloads/mnist-network-0.secret.safetensors", "forget_downloads/runs/1.json",
    "out/model.secret.safetensors", "tests/data/dlib_rows.json"])
def test_no_secret_photo_or_result_passes_the_ignore_file(path):
    assert not enters(path, IGNORED)


def test_only_code_and_the_shipped_model_are_copied():
    kinds = {file.suffix for file, _ in taken()}
    assert kinds == {".py", ".txt", ".toml", ".png", ".json", ".safetensors"}
    data = [file.name for file, place in taken() if place.startswith("/data/")]
    assert "manifest.json" in data
    assert all(re.fullmatch(r"manifest\.json|mnist-network-[0-9a-f]+\.safetensors", name)
               for name in data)
    assert [file.name for file, _ in taken() if file.suffix == ".png"] == ["icon.png"]


def test_a_secret_in_the_tree_is_not_copied(tmp_path):
    for name in ("ui/a.py", "ui/mine.secret.safetensors", ".streamlit/config.toml",
                 ".streamlit/secrets.toml", "forget_downloads/manifest.json",
                 "forget_downloads/machine.key"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    places = {place for step in all_of("COPY") for _, place in copied(step, tmp_path, IGNORED)}
    assert places == {"/app/ui/a.py", "/app/.streamlit/config.toml", "/data/manifest.json"}


def test_the_health_check_fails_where_nothing_answers():
    words = [word.replace(PORT, free_port()) for word in only("HEALTHCHECK").words]
    assert words[0] == "python"
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True)
    assert done.returncode != 0


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A clean folder with what COPY takes, and the environment that ENV and PATH give."""
    folder = tmp_path_factory.mktemp("image")
    for step in all_of("COPY"):
        assert lay_out(step, folder) > 0
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder),
           **environment(STEPS, folder)}
    return folder, env


@pytest.mark.slow
def test_from_a_clean_folder_the_server_starts_and_is_healthy(image):
    folder, env = image
    port = free_port()
    words = [sys.executable, "-m", *only("CMD").words]
    check = only("HEALTHCHECK")
    with started(words, port, folder, env) as server:
        assert healthy(check, port, env, 60), (folder / "server.log").read_text()
        # From any other address, too, as through a container's published port.
        assert requests.get(f"http://127.0.0.2:{port}/", timeout=5,
                            headers={"Host": f"localhost:{port}"}).ok
        assert server.poll() is None


@pytest.mark.slow
def test_from_a_clean_folder_the_app_and_the_program_find_all_their_files(image):
    folder, env = image
    done = subprocess.run([sys.executable, "-c", EVERY_FILE], cwd=folder / WORKDIR,
                          env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "gradient_ascent" in done.stdout
