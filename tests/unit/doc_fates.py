"""What becomes of a command that the documentation shows: it is run, or held against what exists.

A command is *run* (against a local stack, by `tests/e2e/test_docs_commands.py`) or only *checked*: its
program, subcommand and options are those of the command line, the Makefile, the template or the AWS API.
What is neither is an error, so a new command in a document has to be made one of them.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
import warnings
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from typing import Any

import botocore.loaders
import botocore.model
import botocore.validate
import click
import jmespath  # type: ignore[import-untyped] # botocore's own
from botocore import xform_name

from cli.app import sor
from local.template import REPOSITORY, load
from tests.unit.doc_commands import ASSIGNMENT, Simple, simple_commands

HEAVY_TARGETS = {
    *("run", "venues", "chaos", "load", "explore", "bench", "cost", "test", "lint", "format", "types"),
    *(
        "validate",
        "check-template",
        "audit",
        "licences",
        "sbom",
        "openapi",
        "build",
        "deploy",
        "lock",
        "clean",
    ),
}
"""Targets that take long, need an account or the network, or change the sources: they have to exist."""

HEAVY_MODULES = {"local", "local.venues", "tests.explorer", "ops.dashboards", "ops.render_dashboards"}
"""Programs of this repository that have tests of their own; those of `benchmarks` besides."""

RUN_PROGRAMS = {"export", "sleep", "cat", "head", "grep", "cd", "echo", "["}
CHECKED_PROGRAMS = {
    *("aws-sigv4-proxy", "promtool", "git", "pip", "pipx", "uv", "date", "kill"),
    *(".ci/run", "npm", "checkov", "cfn-lint", "ruff", "mypy", "docker", "schemathesis"),
}
"""Not run here: they want an account, a tool or a network that a test has not."""

CUSTOM_AWS = {
    ("logs", "tail"): {"--since", "--follow", "--filter-pattern", "--format", "--log-stream-names"},
    ("configure", "sso"): set(),
    ("configure", "list"): set(),
    ("cloudformation", "deploy"): {"--template-file", "--stack-name", "--parameter-overrides"},
}
"""Subcommands that are the AWS command line's own, by its reference."""
GLOBAL_AWS = {
    *("--region", "--profile", "--output", "--query", "--endpoint-url", "--cli-binary-format"),
    *("--cli-read-timeout", "--cli-connect-timeout", "--no-cli-pager", "--no-paginate", "--max-items"),
    *("--page-size", "--starting-token", "--no-verify-ssl", "--debug"),
}
SAM_OPTIONS = {
    "build": {"--parameter-overrides", "--cached", "--parallel"},
    "deploy": {
        *("--guided", "--config-env", "--parameter-overrides", "--no-confirm-changeset", "--stack-name"),
        *("--no-fail-on-empty-changeset", "--resolve-s3", "--capabilities", "--region", "--profile"),
    },
    "validate": {"--lint", "--region"},
    "local": {"--event", "--env-vars", "--add-host", "--parameter-overrides"},
    "delete": {"--stack-name", "--config-env", "--region"},
    "logs": {"--stack-name", "--name", "--tail"},
}
EXAMPLE_VENUE = "okx"
"""Files with it in their names are the reader's to make: docs/adding-a-venue.md has a test of its own."""
PLACEHOLDER = re.compile(r"\b[A-Z]+_[A-Z_]*[A-Z]\b")
_ADDRESS = re.compile(r"https?://|\$[A-Z]+_URL|(localhost|127\.0\.0\.1):")
_LOCAL_ADDRESS = re.compile(r"(https?://)?(localhost|127\.0\.0\.1):800[67]/")


class Fate(Enum):
    """What is done with a command."""

    RUN = "run"
    CHECKED = "checked"


def fate(statement: str) -> Fate:
    """Whether a command is run; checks the form of one that is not.

    Raises
    ------
    ValueError
        It is of no class, or names something that does not exist.
    """
    fates = [_fate(command) for command in simple_commands(statement)]
    return Fate.CHECKED if Fate.CHECKED in fates else Fate.RUN


def _fate(command: Simple) -> Fate:
    for name, _ in command.variables:
        if name.startswith("SOR_") and name not in variables():
            raise ValueError(f"{name} is no variable of SOR")
    if not command.words:
        return Fate.RUN
    program, *arguments = command.words
    if program in _LOOKED_INTO:
        return _LOOKED_INTO[program](arguments)
    if program in RUN_PROGRAMS:
        return Fate.RUN
    if program not in CHECKED_PROGRAMS:
        raise ValueError(f"{program!r} is of no class of tests/unit/doc_fates.py")
    return Fate.CHECKED


@cache
def template() -> Any:
    """Of the repository, read once."""
    return load()


@cache
def variables() -> frozenset[str]:
    """Of `docs/configuration.md`, which a test holds to the code, and the command line's own."""
    text = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    return frozenset(re.findall(r"`(SOR_[A-Z_]+)`", text)) | {"SOR_URL", "SOR_STACK"}


@cache
def targets() -> frozenset[str]:
    """Of the Makefile."""
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


def _make(arguments: Sequence[str]) -> Fate:
    chosen = [a for a in arguments if not ASSIGNMENT.match(a)]
    given = dict(a.split("=", 1) for a in arguments if ASSIGNMENT.match(a))
    unknown = set(chosen) - targets()
    if unknown:
        raise ValueError(f"the Makefile has no target {', '.join(sorted(unknown))}")
    if chosen == ["sor"]:
        return _sor(shlex.split(given.get("ARGS", "")))
    if not set(chosen) <= HEAVY_TARGETS:
        raise ValueError(f"make {' '.join(chosen)} is of no class of tests/unit/doc_fates.py")
    words = shlex.split(given.get("ARGS", ""))
    _deployment(words)
    if chosen == ["test"]:
        _paths(words)
    return Fate.CHECKED


def _sor(arguments: Sequence[str]) -> Fate:
    """Parse, as the command line would. What ends by itself only when told to, or takes long, is not run."""
    context = click.Context(sor)
    name, *rest = [a for a in arguments if a not in {"-h", "--help"}] or ["--help"]
    if name == "--help":
        return Fate.RUN
    command = sor.get_command(context, name)
    if command is None:
        raise ValueError(f"sor has no command {name!r}")
    if {"-h", "--help"} & set(arguments):
        return Fate.RUN
    try:
        command.make_context(name, rest, parent=context)
    except click.UsageError as error:
        if "does not exist" not in error.format_message():
            raise ValueError(f"sor {' '.join(arguments)}: {error.format_message()}") from error
    return Fate.CHECKED if name in {"watch", "record", "replay"} else Fate.RUN


def _installed_sor(arguments: Sequence[str]) -> Fate:
    """The same, with an environment that it makes for itself: checked only."""
    _sor(arguments)
    return Fate.CHECKED


def _prepared_python(arguments: Sequence[str]) -> Fate:
    """The interpreter that `make run` leaves behind: not there in every checkout, so not run."""
    _python(arguments)
    return Fate.CHECKED


def _python(arguments: Sequence[str]) -> Fate:
    if arguments[:1] == ["-m"]:
        module = arguments[1]
        if module in {"json.tool", "cli"}:
            return Fate.RUN
        if module in {"venv", "pip", "pytest"}:
            return Fate.CHECKED
        file = REPOSITORY / module.replace(".", "/")
        if not (file.is_dir() or file.with_suffix(".py").exists()):
            raise ValueError(f"there is no module {module}")
        if module in HEAVY_MODULES or module.startswith("benchmarks."):
            return Fate.CHECKED
        raise ValueError(f"python -m {module} is of no class of tests/unit/doc_fates.py")
    if arguments[:1] in (["-c"], ["-"]):
        return Fate.RUN
    if EXAMPLE_VENUE not in arguments[0] and not (REPOSITORY / arguments[0]).exists():
        raise ValueError(f"there is no file {arguments[0]}")
    return Fate.RUN if arguments[0].endswith("verify.py") else Fate.CHECKED


def _curl(arguments: Sequence[str]) -> Fate:
    addresses = [a for a in arguments if _ADDRESS.match(a)]
    if len(addresses) != 1:
        raise ValueError(f"expected one address, not {addresses}")
    if not _LOCAL_ADDRESS.match(addresses[0]):
        return Fate.CHECKED
    return Fate.RUN


def _pytest(arguments: Sequence[str]) -> Fate:
    _paths(arguments)
    return Fate.CHECKED


def _paths(arguments: Sequence[str]) -> None:
    for word in arguments:
        path = word.split("::")[0]
        if EXAMPLE_VENUE in path or "/" not in path or path.startswith("-"):
            continue
        if not (REPOSITORY / path).exists():
            raise ValueError(f"there is no {path}")


def _sam(arguments: Sequence[str]) -> Fate:
    chosen = SAM_OPTIONS.get(arguments[0])
    if chosen is None:
        raise ValueError(f"sam {arguments[0]} is of no class of tests/unit/doc_fates.py")
    unknown = {a for a in arguments if a.startswith("--")} - chosen
    if unknown:
        raise ValueError(f"sam {arguments[0]} is not known to take {', '.join(sorted(unknown))}")
    if arguments[0] == "local" and arguments[2] not in template()["Resources"]:
        raise ValueError(f"the template has no function {arguments[2]}")
    _paths([a for a in arguments if a.startswith("events/")])
    _deployment(arguments)
    return Fate.CHECKED


def _deployment(words: Sequence[str]) -> None:
    parameters = template()["Parameters"]
    environments = tomllib.loads((REPOSITORY / "samconfig.toml").read_text(encoding="utf-8"))
    for at, word in enumerate(words):
        if word == "--config-env" and words[at + 1] not in environments:
            raise ValueError(f"samconfig.toml has no environment {words[at + 1]!r}")
        if word != "--parameter-overrides":
            continue
        for given in words[at + 1 :]:
            if given.startswith("--"):
                break
            for pair in shlex.split(given):
                if pair.partition("=")[0] not in parameters:
                    raise ValueError(f"the template has no parameter {pair!r}")


# The AWS command line ------------------------------------------------------------------------------


@cache
def _loader() -> botocore.loaders.Loader:
    return botocore.loaders.Loader()


@cache
def _service(name: str) -> botocore.model.ServiceModel:
    name = {"deploy": "codedeploy"}.get(name, name)  # the command line's own name
    if name not in _loader().list_available_services("service-2"):
        raise ValueError(f"aws has no service {name!r}")
    return botocore.model.ServiceModel(_loader().load_service_model(name, "service-2"), name)


def _aws(arguments: Sequence[str]) -> Fate:
    """Hold an `aws` command against botocore's models of the services; raises ValueError."""
    given: dict[str, list[str]] = {}
    positional: list[str] = []
    option = ""
    for word in arguments:
        if word.startswith("--"):
            option, _, value = word.partition("=")
            given[option] = [value] if value else []
        elif option and not (option in _FLAGS or (given[option] and len(positional) < 2)):
            given[option].append(word)
        else:
            positional.append(word)
    if "--query" in given:
        with warnings.catch_warnings():  # `X` in backquotes, without quotes, as AWS's own examples have it
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            jmespath.compile(" ".join(given["--query"]))
    service, operation, *rest = positional
    own = given.keys() - GLOBAL_AWS
    if (service, operation) in CUSTOM_AWS:
        unknown = own - CUSTOM_AWS[service, operation]
    elif operation == "wait":
        unknown = own - _check_waiter(service, rest)
    else:
        unknown = own - _check_operation(service, operation, given, own)
    if unknown:
        raise ValueError(f"aws {service} {operation} takes no {', '.join(sorted(unknown))}")
    return Fate.CHECKED


_FLAGS = {"--no-cli-pager", "--no-paginate", "--no-verify-ssl", "--debug", "--follow"}


def _check_waiter(service: str, rest: Sequence[str]) -> set[str]:
    waiters = _loader().load_service_model(service, "waiters-2")["waiters"]
    by_name = {xform_name(name, "-"): waiter["operation"] for name, waiter in waiters.items()}
    if not rest or rest[0] not in by_name:
        raise ValueError(f"aws {service} has no waiter {' '.join(rest)}")
    shape = _service(service).operation_model(by_name[rest[0]]).input_shape
    return {f"--{xform_name(member, '-')}" for member in shape.members}


def _check_operation(service: str, operation: str, given: dict[str, list[str]], own: set[str]) -> set[str]:
    model = _service(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in names:
        raise ValueError(f"aws {service} has no command {operation!r}")
    shape = model.operation_model(names[operation]).input_shape
    members: dict[str, Any] = {} if shape is None else dict(shape.members)
    options = {f"--{xform_name(name, '-')}": name for name in members}
    switches = {f"--no-{o[2:]}": m for o, m in options.items() if members[m].type_name == "boolean"}
    told = {member for o, member in {**options, **switches}.items() if o in own}
    missing = set(shape.required_members if shape is not None else ()) - told
    if missing:
        raise ValueError(f"aws {service} {operation} needs {', '.join(sorted(missing))}")
    for option, name in options.items():
        _check_value(option, members[name], given.get(option, []))
    return {*options, *switches}


def _check_value(option: str, shape: Any, values: list[str]) -> None:
    """Hold a value against its shape, where it is JSON or one of a closed list."""
    enumerated = getattr(shape, "enum", None)
    if enumerated and values and not (set(values) <= {*enumerated, "SUBSTITUTED"} or "$" in values[0]):
        raise ValueError(f"{option} is one of {', '.join(enumerated)}")
    if len(values) == 1 and values[0][:1] in {"{", "["} and shape.type_name in {"structure", "map", "list"}:
        report = botocore.validate.ParamValidator().validate(json.loads(values[0]), shape)
        if report.has_errors():
            raise ValueError(f"{option}: {report.generate_report()}")


_LOOKED_INTO: dict[str, Callable[[Sequence[str]], Fate]] = {
    "make": _make,
    "sor": _sor,
    "cli/sor": _installed_sor,
    "python": _python,
    "python3": _python,
    ".build/env/run/bin/python": _prepared_python,
    "aws": _aws,
    "sam": _sam,
    "curl": _curl,
    "pytest": _pytest,
}
"""Programs whose words are held against what exists, which also tells whether they are run."""
