"""Every command in the documentation is of a class, and names only what exists (see `doc_fates`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.template import REPOSITORY
from tests.unit.doc_commands import blocks, pages, simple_commands, statements
from tests.unit.doc_fates import Fate, fate

PAGES = pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_command_is_of_a_class_and_names_what_exists(path: Path) -> None:
    wrong = []
    for block in blocks(path):
        for statement in block.statements:
            try:
                fate(statement)
            except ValueError as error:
                wrong.append(f"{block.page}:{block.line}: {statement.splitlines()[0]}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("make fly", "no target fly"),
        ("frobnicate now", "of no class"),
        ("make sor ARGS='route BTC/USDT --side buy --amount 1 --fast'", "--fast"),
        ("sor route BTC/USDT --side up --amount 1", "up"),
        ("SOR_MAX_LATENCYMS=5 make run", "no variable of SOR"),
        ("python -m benchmarks.wings", "no module"),
        ("pytest tests/unit/test_nothing.py", "there is no tests/unit/test_nothing.py"),
        ("sam deploy --parameter-overrides SorVenue=kraken", "no parameter"),
        ("make deploy ARGS='--parameter-overrides SorVenue=kraken'", "no parameter"),
        ("make deploy ARGS='--config-env production'", "no environment"),
        ("sam local invoke NoFunction --event events/health.json", "no function"),
        ("aws dynamo list-tables", "no service"),
        ("aws dynamodb list-table", "no command"),
        ("aws dynamodb describe-table --name sor-orders", "needs TableName"),
        ("aws dynamodb describe-table --table-name sor-orders --fast", "takes no --fast"),
        ("aws dynamodb wait table-there --table-name sor-orders", "no waiter"),
        ("X=$(aws dynamodb list-table)", "no command"),
        ('aws dynamodb put-item --table-name t --item \'{"pk": "switch"}\'', "--item"),
        ("aws dynamodb put-item --table-name t --item '{}' --return-values SOME", "--return-values"),
    ],
)
def test_a_command_that_names_what_does_not_exist_is_found(command: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fate(command)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("curl -s http://127.0.0.1:8007/health", Fate.RUN),
        ('curl -s "$API_URL/health"', Fate.CHECKED),
        ("sor status", Fate.RUN),
        ("make sor ARGS=status", Fate.RUN),
        ("make run", Fate.CHECKED),
        ("sor status | head -3", Fate.RUN),
        ("export STACK=sor", Fate.RUN),
        ("aws logs tail /sor/$STACK/execute --since 1h | head", Fate.CHECKED),
        ("sor order $(aws dynamodb list-tables)", Fate.CHECKED),
    ],
)
def test_what_is_run_and_what_is_checked(command: str, expected: Fate) -> None:
    assert fate(command) is expected


def test_commands_are_taken_as_a_shell_takes_them() -> None:
    shown = [
        "# a comment",
        "A=1 curl -d '{",
        '  "a": 1}\' \\',
        "  $B # why",
        "",
        "sor status > out && sor orders",
    ]
    first, second = statements(shown, console=False)
    [curl] = simple_commands(first)
    assert (curl.variables, curl.words) == ((("A", "1"),), ("curl", "-d", '{\n  "a": 1}', "$B"))
    assert [command.words for command in simple_commands(second)] == [("sor", "status"), ("sor", "orders")]
    shown = ["$ make run", "SOR ready", "$ curl \\", "    x", "done"]
    assert list(statements(shown, console=True)) == ["make run", "curl \\\n    x"]
    inside = 'X=$(aws a b --query "c[?d==`e`]" \\\n --output text):live'
    assigned, inner = simple_commands(inside)
    assert (assigned.variables, assigned.words) == ((("X", "SUBSTITUTED:live"),), ())
    assert inner.words == ("aws", "a", "b", "--query", "c[?d==`e`]", "--output", "text")
    looped = simple_commands('until [ "$(aws a b)" = X ]; do sleep 5; done && aws c d &&')
    words = [("[", "SUBSTITUTED", "=", "X", "]"), ("sleep", "5"), (), ("aws", "c", "d"), ("aws", "a", "b")]
    assert [command.words for command in looped] == words
