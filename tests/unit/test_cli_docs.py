"""docs/cli.md and docs/library.md say what the program and the package do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest

from cli.app import sor
from cli.exits import Code

ROOT = Path(__file__).parents[2]
CLI, LIBRARY = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("cli.md", "library.md"))
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", CLI, re.MULTILINE | re.DOTALL))
AS_ROUTE = {"execute": {"--no-cache", "--receipt"}}
"""A command that takes the options of `route`, and those that it does not."""


def in_tables(section: str) -> set[str]:
    """The options that begin the rows of a section's tables."""
    first = [line.split(" | ")[0] for line in SECTIONS[section].splitlines() if line.startswith("| `--")]
    return {option for cell in first for option in re.findall(r"`(--[a-z-]+)`", cell)}


def options(command: click.Command) -> set[str]:
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def test_every_command_has_a_section_and_no_other_does() -> None:
    told = {name.removeprefix("sor ") for name in SECTIONS if name.startswith("sor ")}
    assert told == set(sor.commands)


@pytest.mark.parametrize("name", list(sor.commands))
def test_every_option_of_a_command_is_told_and_no_other_is(name: str) -> None:
    told = in_tables(f"sor {name}")
    if name in AS_ROUTE:
        told |= in_tables("sor route") - AS_ROUTE[name]
    if name not in {"verify", "record", "replay"}:
        told |= in_tables("Which API")
    assert told == options(sor.commands[name])


def test_every_exit_code_is_told_with_its_name_and_no_other_is() -> None:
    told = re.findall(r"^\| (\d+) \| `(\w+)` \|", SECTIONS["Output"], re.MULTILINE)
    assert told == [(str(code.value), code.name) for code in Code]
    assert all(f"{code.value} " in (sor.help or "") for code in Code)


def test_every_command_and_option_explains_itself() -> None:
    for command in sor.commands.values():
        assert command.help
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (command.name, parameter.name)


def test_the_librarys_example_prints_what_it_says_with_nothing_installed_but_msgspec(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", LIBRARY, re.DOTALL)
    (expected,) = re.findall(r"```text\n(.*?)```", LIBRARY, re.DOTALL)
    begin = "import sys; sys.path[:0] = ['layers/sor_core', sys.argv[1]]; exec(sys.stdin.read())"
    (tmp_path / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    done = subprocess.run(  # noqa: S603 - ours; -I -S: nothing else that is installed
        [sys.executable, "-I", "-S", "-c", begin, str(tmp_path)],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stderr, done.stdout) == ("", expected)
