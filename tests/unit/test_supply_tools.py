"""`make audit`, `make licences` and `make sbom`, run in their own environment; the service is one of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from local.supply.locks import LAMBDA, LAYER, LOCKS, REPOSITORY, read, released
from local.supply.policy import today_utc

TOOL_TIMEOUT_S = 120
H11 = dict(released(read(LAYER)))["h11"]
KNOWN = {
    "id": "GHSA-test-test-test",
    "aliases": ["CVE-2030-0001"],
    "affected": [
        {
            "package": {"name": "h11", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


def in_environments(environments: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - ours, on loopback
        [sys.executable, "-m", "local.environments", *environments.split(), "--", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=TOOL_TIMEOUT_S,
    )


def run_tool(environments: str, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return in_environments(environments, "-m", f"local.supply.{tool}", *arguments)


def audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_tool("supply", "audit", *arguments)


@pytest.fixture(autouse=True, scope="module")
def _no_proxy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@contextmanager
def service(answers: Mapping[str, Any], status: int = 200) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An OSV service on loopback that knows of some packages, and remembers what it was asked."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((question["package"]["name"], question["version"]))
            body = json.dumps(answers.get(question["package"]["name"], {})).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_every_release_of_every_lock_is_asked_about() -> None:
    with service({}) as (url, asked):
        done = audit("--osv-url", url)
    assert (done.returncode, done.stderr) == (0, "")
    everything = released(pin for path in LOCKS.values() for pin in read(path))
    assert sorted(set(asked)) == everything
    assert len(asked) == len(everything)
    assert "colorama" in dict(asked), "a release for another platform only"
    assert f"checked {len(everything)} releases in {len(LOCKS)} locks, 0 findings" in done.stdout


def test_a_known_vulnerability_fails_until_it_is_accepted_and_again_when_that_ends(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("")
    with service({"h11": {"vulns": [KNOWN]}}) as (url, _):
        command = ("--osv-url", url, "--policy", str(policy), str(LAYER))
        found = audit(*command)
        accepted = []
        for days in (0, -1):
            policy.write_text(
                '[[accepted]]\nid = "CVE-2030-0001"\npackage = "h11"\nreason = "test"\n'
                f"expires = {today_utc() + timedelta(days=days)}\n"
            )
            accepted.append(audit(*command))
    assert found.returncode == 1
    assert f"h11 {H11}: CVE-2030-0001 = GHSA-test-test-test, fixed in 99.0" in found.stdout
    assert [done.returncode for done in accepted] == [0, 1]
    assert accepted[0].stdout.startswith("accepted until ")
    assert "its acceptance ended on" in accepted[1].stdout


@pytest.mark.parametrize(("arguments", "code"), [((), 3), (("--strict",), 1)])
def test_nobody_there_is_not_all_well(arguments: tuple[str, ...], code: int) -> None:
    done = audit("--osv-url", "http://127.0.0.1:1/v1/query", *arguments, str(LAYER))
    assert (done.returncode, done.stdout) == (code, "")
    assert "NOT CHECKED" in done.stderr
    assert "http://127.0.0.1:1/v1/query" in done.stderr


def test_a_service_that_fails_is_not_all_well() -> None:
    with service({}, status=503) as (url, _):
        done = audit("--osv-url", url, str(LAYER))
    assert done.returncode == 3
    assert "NOT CHECKED" in done.stderr


def test_the_licences_page_is_what_is_installed_and_the_layer_may_ship() -> None:
    done = run_tool("supply run", "licences", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    page = (REPOSITORY / "docs" / "licences.md").read_text()
    everything = released(pin for path in LOCKS.values() for pin in read(path))
    missing = [f"{name} {version}" for name, version in everything if f"| {name} | {version} | " not in page]
    assert missing == [], "run make licences"


MAY_SHIP = {
    "MIT": True,
    "Apache-2.0 OR GPL-2.0-only": True,
    "MIT AND BSD-3-Clause": True,
    "MIT AND GPL-3.0-only": False,
    "LGPL-3.0-or-later": False,
    "GPL-2.0-only WITH Classpath-exception-2.0": False,
    "MPL-2.0": False,
    "not stated": False,
    "BSD License": False,
}


def test_what_may_ship() -> None:
    script = """
import json, sys
from local.supply.licences import refused
from local.supply.policy import POLICY, load, today_utc
policy = load(POLICY, today_utc())
asked = [("package", text) for text in json.loads(sys.argv[1])] + [("certifi", "MPL-2.0")]
print(json.dumps([not refused({(name, "1"): text}, policy) for name, text in asked]))
"""
    done = in_environments("supply", "-c", script, json.dumps(list(MAY_SHIP)))
    assert json.loads(done.stdout) == [*MAY_SHIP.values(), True]


def test_the_bill_of_materials_is_the_layer(tmp_path: Path) -> None:
    path = tmp_path / "bill.json"
    done = run_tool("supply run", "sbom", "--output", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    bill = json.loads(path.read_text())
    assert "serialNumber" not in bill, "the same lock and code give the same bytes"
    assert "timestamp" not in bill["metadata"]
    pins = [pin for pin in read(LAYER) if pin.applies_in(LAMBDA)]
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert {each["purl"] for each in bill["components"]} == {f"pkg:pypi/{p.name}@{p.version}" for p in pins}
    hashes = {
        each["bom-ref"]: sorted(entry["value"] for entry in each["properties"]) for each in bill["components"]
    }
    assert sorted(hashes.values()) == sorted(sorted(pin.hashes) for pin in pins)
    assert bill["metadata"]["component"]["name"] == "sor"
    needs = {each["ref"]: set(each.get("dependsOn", [])) for each in bill["dependencies"]}
    assert set(needs) == {"sor", *hashes}
    reached, left = set(), {"sor"}
    while left:
        reached |= left
        left = set().union(*(needs[ref] for ref in left)) - reached
    assert reached == set(needs), "something ships that nobody asked for"
