"""The commands of the documentation, run as they stand there, page by page, against one local stack.

Which are run and which only checked is decided by `tests/unit/doc_fates.py`. `ORDER_ID` stands for the
newest order. Any answer that is no success fails its page, but for those that the page shows as refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.template import REPOSITORY
from tests.e2e.ready_sor import CLIENT
from tests.e2e.test_make_run import READY_S, Run, end
from tests.unit.doc_commands import blocks, pages
from tests.unit.doc_fates import PLACEHOLDER, Fate, fate

PAGE_S = 90.0
REFUSED = (
    "/api/orders/0f1e2d3c4b5a69788796a5b4c3d2e1f0",  # an order that is not there
    '"amount": "1000", "max_slippage_bps": 20',
)
"""Parts of commands that show a refusal."""
LINKED = ("layers", "cli", "local", "events", "openapi", "Makefile", "template.yaml")
"""What commands may read. Not docs: one that writes there would change what is under test."""

ELSEWHERE = re.compile(r"\b(SOR_URL|SOR_STACK|AWS_PROFILE)=")
"""What sends the commands after it to a deployed stack is left out: they go to the local one."""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl"),
]


def to_run(path: Path) -> list[str]:
    """The statements of a page that are run, `ORDER_ID` filled in."""
    found = []
    for block in blocks(path):
        for statement in block.statements if block.run else ():
            if ELSEWHERE.search(statement):
                continue
            filled = statement.replace("ORDER_ID", "$(newest_order)")
            with contextlib.suppress(ValueError):  # of no class: tests/unit/test_docs_commands.py tells it
                if fate(statement) is Fate.RUN and not PLACEHOLDER.search(unquoted(filled)):
                    found.append(filled)
    return found


def unquoted(statement: str) -> str:
    """A command without what it sets and expands: what is left in capitals is for the reader to fill in."""
    return re.sub(r"\$\w+|\b[A-Z_]+=", "", statement)


def runnable() -> list[Path]:
    """Pages with commands to run. Runbooks are for incidents of a deployed stack: checked only."""
    return [path for path in pages() if "runbooks" not in path.parts and to_run(path)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("run") / "out.txt", {}, ["make", "run"])
    try:
        run.wait_until_ready()
        order = {"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": 0.01}
        httpx.post(f"{run.url}/api/execute", json=order, timeout=30).raise_for_status()
        yield run
    finally:
        end(run)


@pytest.fixture(scope="module")
def sor() -> Iterator[Path]:
    """Where `sor` waits, all it needs imported; in a short folder, for a socket's path may not be long."""
    paths = f"{REPOSITORY}:{REPOSITORY}/layers/sor_core"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sor"
        command = [sys.executable, "-m", "tests.e2e.ready_sor", str(path)]
        server = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})  # noqa: S603
        try:
            deadline = time.monotonic() + READY_S
            while not path.exists():
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield path
        finally:
            server.kill()
            server.wait()


@pytest.fixture
def desk(stack: Run, sor: Path, tmp_path: Path) -> Path:
    """A folder like the repository, with the programs that documents name; the stack as it started."""
    httpx.put(f"{stack.url}/api/trading", json={"mode": "running"}, timeout=30).raise_for_status()
    httpx.delete(f"http://127.0.0.1:{stack.ports[1]}/sim/faults", timeout=30).raise_for_status()
    for name in LINKED:
        if (REPOSITORY / name).exists():
            (tmp_path / name).symlink_to(REPOSITORY / name)
    newest = f"curl -s '{stack.url}/api/orders?limit=1' | sed 's/.*\"order_id\":\"\\([0-9a-f]*\\)\".*/\\1/'"
    programs = {
        "curl": f'exec {shutil.which("curl")} --fail-with-body --max-time 40 "$@"',
        "python": f"exec '{sys.executable}' \"$@\"",
        "python3": f"exec '{sys.executable}' \"$@\"",
        "make": '[ "$1" = sor ] || exit 99; eval "exec sor ${2#ARGS=}"',
        "newest_order": newest,
    }
    texts = {name: f"#!/bin/bash\n{line}\n" for name, line in programs.items()}
    texts["sor"] = CLIENT.format(python=sys.executable, path=str(sor))
    (tmp_path / "bin").mkdir()
    for name, text in texts.items():
        file = tmp_path / "bin" / name
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755)
    return tmp_path


def run_page(statements: list[str], stack: Run, desk: Path) -> list[int]:
    """Run them one after the other in one shell; gives their exit codes."""
    lines = ["set -o pipefail"]
    for number, statement in enumerate(statements):
        here = re.sub(r"(127\.0\.0\.1|localhost):8007", f"127.0.0.1:{stack.ports[0]}", statement)
        here = re.sub(r"(127\.0\.0\.1|localhost):8006", f"127.0.0.1:{stack.ports[1]}", here)
        lines += [f"{{ {here}", f"}} > {number}.out 2>&1 < /dev/null", f'echo "$?" >> "{desk}/codes"']
    (desk / "page.sh").write_text("\n".join(lines) + "\n", encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SOR_", "AWS_"))},
        "PATH": f"{desk / 'bin'}:{os.environ['PATH']}",
        "SOR_URL": stack.url,
    }
    subprocess.run(["bash", "page.sh"], cwd=desk, env=environment, timeout=PAGE_S, check=False)  # noqa: S607
    return [int(code) for code in (desk / "codes").read_text().split()]


@pytest.mark.parametrize("path", runnable(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_the_commands_of_a_page_do_what_they_say(path: Path, stack: Run, desk: Path) -> None:
    statements = to_run(path)
    codes = run_page(statements, stack, desk)
    assert len(codes) == len(statements)
    wrong = [
        f"{statement}\n-> {code}: {(desk / f'{number}.out').read_text()[-600:]}"
        for number, (statement, code) in enumerate(zip(statements, codes, strict=True))
        if (code != 0) is not any(part in statement for part in REFUSED)
    ]
    assert not wrong, "\n\n".join(wrong)


def test_a_command_that_fails_fails_its_page(stack: Run, desk: Path) -> None:
    bad = [
        "curl -s http://127.0.0.1:8007/nowhere",
        "sor order none | cat",
        "curl -s http://127.0.0.1:8007/health",
    ]
    first, second, third = run_page(bad, stack, desk)
    assert first != 0
    assert second != 0
    assert third == 0


def test_the_lost_order_of_the_user_guide_goes_elsewhere_once(stack: Run, desk: Path) -> None:
    guide = to_run(REPOSITORY / "docs" / "user-guide.md")
    losing = [statement for statement in guide if "place_order" in statement or "guide-2" in statement]
    assert run_page(losing, stack, desk) == [0, 0, 0]  # where that was done before: the same order again
    order = json.loads((desk / "2.out").read_text())
    assert (order["status"], order["filled_amount"], order["failover_used"]) == ("filled", 0.05, True)
    states = [(attempt["venue"], attempt["state"]) for attempt in order["attempts"]]
    assert states[0] == ("binance", "never")
    assert [state for _, state in states[1:]] == ["ended"]
