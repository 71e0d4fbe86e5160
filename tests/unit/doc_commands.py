"""The shell commands that the documentation shows: found, and taken apart as a shell would."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.template import REPOSITORY

SHELL = {"sh", "bash", "shell", "console"}
BARE = {"curl", "make", "sor", "python", "python3", "aws", "sam", "pytest", "git"}
"""A block without a language that begins with one of these shows commands."""
NOT_RUN = "<!-- not run:"
"""Before a block: its commands are checked and not run. What follows says why."""

ASSIGNMENT = re.compile(r"^([A-Za-z_][A-Za-z0-9_]*)=", re.ASCII)
KEYWORDS = {"until", "while", "do", "done"}
"""The shell's own words before a program, or in the place of one."""
_SEPARATORS = {"|", "||", "&&", ";", "&", "(", ")"}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of commands."""

    page: str
    """Path from the repository's root."""
    line: int
    run: bool
    """False where the page says so."""
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Simple:
    """One program with its words; what a `$(...)` gives stands as ``SUBSTITUTED``."""

    variables: tuple[tuple[str, str], ...]
    words: tuple[str, ...]


def pages() -> list[Path]:
    """Every document that may show commands."""
    roots = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "local/README.md")]
    found = [*roots, *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "ops").rglob("*.md")]
    return sorted(path for path in found if path.exists())


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a page that hold commands: marked as shell, or beginning with a program known here."""
    page = str(path.relative_to(REPOSITORY))
    lines = path.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        fence = re.match(r"^\s*```(\w*)\s*$", lines[number])
        number += 1
        if not fence:
            continue
        start = number
        while number < len(lines) and not lines[number].strip().startswith("```"):
            number += 1
        inside = lines[start:number]
        number += 1
        before = next((line for line in reversed(lines[: start - 1]) if line.strip()), "")
        if fence[1] in SHELL or (not fence[1] and begins_with_program(inside)):
            found = tuple(statements(inside, console=fence[1] == "console" or prompts(inside)))
            yield Block(page, start, NOT_RUN not in before, found)


def prompts(lines: Sequence[str]) -> bool:
    """Whether commands stand behind a prompt, and all else is what they print."""
    return any(line.startswith("$ ") for line in lines)


def begins_with_program(lines: Sequence[str]) -> bool:
    """Whether a block without a language shows commands."""
    first = next((line for line in lines if line.strip()), "")
    words = [w for w in first.removeprefix("$ ").split() if not ASSIGNMENT.match(w)]
    return prompts(lines) or (bool(words) and words[0] in BARE)


def statements(lines: Sequence[str], *, console: bool) -> Iterator[str]:
    """Commands as a shell would take them: lines joined while a quote or a backslash leaves one open."""
    held = ""
    for line in lines:
        text = line
        if console and not held:
            if not line.startswith("$ "):
                continue
            text = line[2:]
        held = f"{held}\n{text}" if held else text.strip()
        if not held or held.startswith("#"):
            held = ""
        elif complete(held):
            yield held
            held = ""
    if held:
        raise ValueError(f"a command is not ended: {held!r}")


def complete(text: str) -> bool:
    """Whether a shell would not wait for more."""
    if text.endswith("\\"):
        return False
    bare, inner = substitutions(text)
    try:
        shlex.split(bare.replace("\\\n", " "), comments=True)
    except ValueError:
        return False
    return "$(" not in bare and all(map(complete, inner))


def substitutions(text: str) -> tuple[str, list[str]]:
    """A command without its `$(...)`, and what stood in them."""
    bare, inner = "", []
    position = 0
    quoted = False
    while position < len(text):
        if text[position] == "'" and bare.count('"') % 2 == 0:
            quoted = not quoted
        if text.startswith("$(", position) and not quoted:
            depth, end = 1, position + 2
            while end < len(text) and depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            if depth:
                return text, []
            inner.append(text[position + 2 : end - 1])
            bare += "SUBSTITUTED"
            position = end
            continue
        bare += text[position]
        position += 1
    return bare, inner


def simple_commands(statement: str) -> list[Simple]:
    """Every program that a statement starts, those inside its substitutions too."""
    bare, inner = substitutions(statement.replace("\\\n", " "))
    lexer = shlex.shlex(bare, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found, current = [], list[str]()
    tokens = [*lexer, ";"]
    skip = False
    for token in tokens:
        if token in _SEPARATORS:
            if current:
                found.append(_simple(current))
            current = []
        elif set(token) <= {"<", ">", "&"}:
            skip = True
        elif skip:
            skip = False
        else:
            current.append(token)
    return [*found, *(command for text in inner for command in simple_commands(text))]


def _simple(words: list[str]) -> Simple:
    variables = []
    while words and words[0] in KEYWORDS:
        words = words[1:]
    while words and (match := ASSIGNMENT.match(words[0])):
        variables.append((match[1], words[0][match.end() :]))
        words = words[1:]
    return Simple(tuple(variables), tuple(words))
