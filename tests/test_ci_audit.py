"""``.ci/audit``: what CI says of known holes in the pinned packages."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UNREACHABLE = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")

STAND_IN = """
import json, pathlib, sys
print(pathlib.Path(__file__).with_name("answers.json").read_text())
pathlib.Path(__file__).with_name("asked.txt").open("a").write(" ".join(sys.argv[1:]) + chr(10))
"""


def audit(pins: Path, **environment: str) -> str:
    """What the script prints; it must never fail the build."""
    done = subprocess.run([sys.executable, ROOT / ".ci" / "audit", pins], cwd=ROOT, text=True,
                          capture_output=True, timeout=120, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def pins(tmp_path):
    """A file of pins whose folder is in no repository, a hundred days old."""
    path = tmp_path / "constraints.txt"
    path.write_text("click==8.5.1\n")
    old = path.stat().st_mtime - 100 * 86_400
    os.utime(path, (old, old))
    return path


@pytest.fixture
def database(tmp_path):
    """A stand-in for pip-audit; call it with what each package's record shall be."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "pip_audit.py").write_text(STAND_IN)

    def says(*records: dict) -> dict[str, str]:
        answer = json.dumps({"dependencies": records, "fixes": []})
        (folder / "answers.json").write_text(answer)
        return {"PYTHONPATH": str(folder)}

    says.asked = folder / "asked.txt"
    return says


def test_without_a_database_the_age_of_the_pins_is_said(pins):
    said = audit(pins, **UNREACHABLE)
    assert "could be reached" in said
    assert "constraints.txt is 100 days old by the file's date" in said


def test_without_pip_audit_the_same_is_said_and_what_is_missing(pins):
    done = subprocess.run([sys.executable, "-S", ROOT / ".ci" / "audit", pins], text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 0
    assert "pip-audit is not installed" in done.stdout
    assert "constraints.txt is 100 days old" in done.stdout


def test_in_a_repository_the_age_is_that_of_the_last_commit():
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    said = audit(ROOT / "constraints.txt", **UNREACHABLE)
    assert re.search(r"constraints\.txt is \d+ days old by its last commit", said)


def test_a_known_hole_is_named_with_what_fixes_it(pins, database):
    hole = {"id": "PYSEC-1", "fix_versions": ["8.6"], "aliases": [], "description": ""}
    said = audit(pins, **database({"name": "click", "version": "8.5.1", "vulns": [hole]},
                                  {"name": "idna", "version": "3.20", "vulns": []}))
    assert "click 8.5.1: PYSEC-1, fixed in 8.6" in said
    assert "vulnerabilities: 1; packages looked up: 2; not in the database: 0" in said
    assert "days old" not in said


def test_a_package_that_the_database_does_not_know_is_counted_apart(pins, database):
    said = audit(pins, **database({"name": "click", "version": "8.5.1", "vulns": []},
                                  {"name": "mine", "skip_reason": "not found"}))
    assert "vulnerabilities: 0; packages looked up: 1; not in the database: 1" in said


def test_a_mirror_that_knows_no_package_at_all_does_not_count_as_a_database(pins, database):
    said = audit(pins, **database({"name": "click", "skip_reason": "not found"}))
    assert "could be reached" in said
    assert "looked up" not in said


def test_every_pin_is_looked_up_and_a_second_database_asked_where_the_first_is_silent(
    pins, database
):
    audit(pins, **database({"name": "click", "skip_reason": "not found"}))
    asked = database.asked.read_text().splitlines()
    assert [re.search(r"-s (\w+)", line)[1] for line in asked] == ["pypi", "osv"]
    assert all(f"-r {pins}" in line for line in asked)


def test_ci_audits_after_the_installation_and_before_the_tests():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    install, tests = lines.index("make setup-dev"), lines.index("make test")
    assert [n for n, line in enumerate(lines) if ".ci/audit" in line and install < n < tests]
