"""The locks are whole, and what is decided about dependencies is decided for a reason and a time."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from local.supply import audit
from local.supply.locks import LAMBDA, LAYER, LOCKS, REPOSITORY, LockError, asked, read, released
from local.supply.policy import LONGEST, POLICY, PolicyError, load, today_utc
from local.template import load as load_template

TODAY = date(2026, 11, 22)
HASH = "0" * 64
every_lock = pytest.mark.parametrize("path", LOCKS.values(), ids=LOCKS)


def test_these_are_all_locks_and_each_is_made() -> None:
    parts = ("layers", "local", "cli", "tests")
    found = {path for part in parts for path in (REPOSITORY / part).rglob("requirements*.in")}
    assert {path.with_suffix(".in") for path in LOCKS.values()} == found
    made = re.findall(r"\$\(call resolve,([a-z]\S+)\)", (REPOSITORY / "Makefile").read_text())
    assert {REPOSITORY / f"{name}.txt" for name in made} == set(LOCKS.values())


@every_lock
def test_a_lock_names_exact_releases_with_hashes_and_no_place_to_get_them(path: Path) -> None:
    assert read(path)
    assert "://" not in path.read_text()


@every_lock
def test_a_lock_has_what_is_asked_for(path: Path) -> None:
    """So that nobody adds a line to a requirements.in and forgets `make lock`."""
    pins = read(path)
    for requirement in asked(path.with_suffix(".in")):
        versions = [pin.version for pin in pins if pin.name == canonicalize_name(requirement.name)]
        assert versions, f"{requirement.name} is not in {path.name}"
        assert all(requirement.specifier.contains(version, prereleases=True) for version in versions)


@pytest.mark.parametrize("other", ["run", "cli", "test"])
def test_what_is_tested_with_is_what_ships(other: str) -> None:
    there = dict(released(read(LOCKS[other])))
    layer = dict(released(read(LAYER)))
    shared = layer.keys() & there.keys()
    assert "httpx" in shared
    assert {name: there[name] for name in shared} == {name: layer[name] for name in shared}


def test_the_layer_is_taken_for_where_it_runs() -> None:
    function = load_template()["Globals"]["Function"]
    assert function["Runtime"] == f"python{LAMBDA['python_version']}"


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://packages.example/simple",
        "-e .",
        "httpx",
        f"httpx>=0.28 --hash=sha256:{HASH}",
        f"httpx==0.* --hash=sha256:{HASH}",
        "httpx==0.28.1",
        f"httpx==0.28.1 --hash=md5:{HASH}",
        f"httpx==0.28.1 --hash=sha256:{HASH} --no-binary",
        f"httpx @ https://packages.example/httpx.whl --hash=sha256:{HASH}",
    ],
)
def test_a_line_that_is_no_exact_hashed_release_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"anyio==4.16.0 \\\n    --hash=sha256:{HASH}\n    # via httpx\n{line}\n")
    with pytest.raises(LockError, match=r"requirements\.txt: expected"):
        read(path)


def test_the_state_machines_checker_is_locked_as_well() -> None:
    folder = REPOSITORY / ".ci" / "npm"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == wanted
    assert all(re.fullmatch(r"[0-9]+(\.[0-9]+){2}", version) for version in wanted.values())
    assert packages
    assert all(
        each["integrity"].startswith("sha512-") and "resolved" not in each for each in packages.values()
    )


def policy_of(text: str, tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return path


ENTRY = 'id = "GHSA-1"\npackage = "h11"\nreason = "not reachable: we never serve"\n'


def test_our_policy_can_be_read_today() -> None:
    policy = load(POLICY, today_utc())
    assert not any(re.match(r"A?GPL|LGPL|SSPL|MPL", licence) for licence in policy.licences)


def test_an_acceptance_has_a_reason_and_an_end(tmp_path: Path) -> None:
    last = TODAY + LONGEST
    [entry] = load(policy_of(f"[[accepted]]\n{ENTRY}expires = {last}\n", tmp_path), TODAY).accepted
    assert (entry.id, entry.expires) == ("GHSA-1", last)


@pytest.mark.parametrize(
    "text",
    [
        f"[[accepted]]\n{ENTRY}",
        f"[[accepted]]\n{ENTRY}expires = {TODAY + LONGEST + timedelta(days=1)}\n",
        f'[[accepted]]\n{ENTRY}expires = "2026-12-01"\n',
        f"[[accepted]]\n{ENTRY}expires = 2026-12-01T00:00:00\n",
        f"[[accepted]]\n{ENTRY}expires = 2026-12-01\nby = 'me'\n",
        '[[accepted]]\nid = "GHSA-1"\npackage = "h11"\nreason = " "\nexpires = 2026-12-01\n',
        '[[licences.exception]]\npackage = "h11"\nlicence = "MPL-2.0"\n',
        '[licences]\nallowed = "MIT"\n',
        "[[accepted]\n",
    ],
)
def test_a_decision_without_reason_or_end_is_none(text: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        load(policy_of(text, tmp_path), TODAY)


PAGES = ("SECURITY.md", "docs/supply-chain.md", "docs/adding-a-venue.md", "docs/licences.md")


def slugs(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = REPOSITORY / name
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", prose):
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in slugs(path), f"{target}#{anchor}"


def test_the_page_tells_the_locks_the_exit_codes_and_an_entry_of_the_policy(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "supply-chain.md").read_text()
    locks = re.findall(r"^\| `(\S+\.txt)` \| (?:the Lambda (layer)|`(\w+)`) \|", page, re.MULTILINE)
    assert {layer or name: REPOSITORY / path for path, layer, name in locks} == LOCKS
    codes = re.findall(r"^\| (\d) \| (.{5})", page, re.MULTILINE)
    assert [int(code) for code, _ in codes] == [
        audit.CLEAN,
        audit.FINDINGS,
        audit.MISUSED,
        audit.NOT_CHECKED,
    ]
    [example] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    [entry] = load(policy_of(example, tmp_path), date(2026, 12, 1)).accepted
    assert entry.reason
