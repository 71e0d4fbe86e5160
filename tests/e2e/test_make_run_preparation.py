"""Before anything starts: the interpreter is found, and its environments are made whole or made again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import environments
from local.environments import EnvironmentSetupError, ensure, interpreter
from local.template import REPOSITORY

FIND = REPOSITORY / "local" / "find_python.sh"
GOOD = "#!/bin/sh\nexit 0\n"
SHIM = "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n"
NO_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n'


def put(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


def find(home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(home / "bin"), "HOME": str(home), **variables}
    return subprocess.run(  # noqa: S603
        ["/bin/sh", FIND], env=environment, capture_output=True, text=True, check=False, timeout=10
    )


def test_3_13_is_preferred_even_when_only_a_version_manager_has_it(tmp_path: Path) -> None:
    put(tmp_path / "bin" / "python3", GOOD)
    put(tmp_path / "bin" / "python3.12", GOOD)
    managed = put(tmp_path / ".pyenv" / "versions" / "3.13.9" / "bin" / "python3", GOOD)
    assert find(tmp_path).stdout.strip() == str(managed)


def test_a_shim_that_fails_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "bin" / "python3.13", SHIM)
    found = put(tmp_path / "bin" / "python3.11", GOOD)
    assert find(tmp_path).stdout.strip() == str(found)


def test_one_without_venv_is_passed_over_and_told_if_there_is_no_other(tmp_path: Path) -> None:
    put(tmp_path / "bin" / "python3.13", NO_VENV)
    done = find(tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "python3.13 has no ensurepip: install its venv package" in done.stderr
    found = put(tmp_path / "bin" / "python3", GOOD)
    assert find(tmp_path).stdout.strip() == str(found)


def test_no_interpreter_is_one_line(tmp_path: Path) -> None:
    done = find(tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "No Python of version 3.11 or later found" in done.stderr


def test_a_named_interpreter_is_used_or_refused(tmp_path: Path) -> None:
    put(tmp_path / "bin" / "python3.13", GOOD)
    assert find(tmp_path, PYTHON=sys.executable).stdout.strip() == sys.executable
    done = find(tmp_path, PYTHON="/nowhere/python")
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        ["PYTHON=/nowhere/python is not a Python of version 3.11 or later that runs."],
    )


def test_make_says_it_in_one_line_too() -> None:
    done = subprocess.run(
        ["make", "run", "PYTHON=/nowhere/python"],  # noqa: S607 - whichever make there is
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith("PYTHON=/nowhere/python is not a Python")


@pytest.fixture(autouse=True)
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment ``tiny`` of its own, whose lock names nothing."""
    path = tmp_path / "requirements.txt"
    path.write_text("# nothing\n")
    monkeypatch.setattr(environments, "REPOSITORY", tmp_path)
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "env")
    monkeypatch.setattr(environments, "LOCKS", {"tiny": path})
    return path


def test_an_environment_is_made_once_and_again_when_its_lock_changes(
    lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure("tiny")
    assert "tiny: ready" in capsys.readouterr().out
    ensure("tiny")
    assert capsys.readouterr().out == ""
    lock.write_text("# still nothing\n")
    ensure("tiny")
    assert "tiny: ready" in capsys.readouterr().out


def test_one_whose_creation_was_interrupted_is_not_taken_for_good() -> None:
    wanted = interpreter("tiny")
    put(wanted, GOOD)
    assert not (wanted.parent.parent / environments.STAMP).exists()
    ensure("tiny")
    done = subprocess.run([wanted, "-m", "pip", "--version"], capture_output=True, check=False)  # noqa: S603
    assert done.returncode == 0


def test_a_failed_installation_says_why_and_leaves_no_stamp(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    lock.write_text("no-such-package==1.0 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(
        EnvironmentSetupError, match=r"(?s)requirements.txt failed; env/tiny.log ends with:.*no-such-package"
    ):
        ensure("tiny")
    assert not (interpreter("tiny").parent.parent / environments.STAMP).exists()


def test_the_users_own_python_path_stays_out(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('this must not be imported')\n")
    command = [
        sys.executable,
        "-m",
        "local.environments",
        "run",
        "--",
        "-c",
        "import yaml, sys; print(sys.prefix)",
    ]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONHOME": ""}
    done = subprocess.run(  # noqa: S603
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip().endswith(".build/env/run")
