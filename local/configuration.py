"""What the local stack is told by the environment, checked whole before anything is started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.template import parameter_of_variable
from sor_core.bootstrap import read_settings
from sor_core.settings import SettingsError

HIGHEST_PORT = 65535
LONGEST_PORT = 5
LOCAL_ONLY = ("SOR_HOST", "SOR_PORT", "SOR_AWS_HOST", "SOR_AWS_PORT")
LOOPBACK = "127.0.0.1"
SET_BY_DEPLOYMENT = (
    "AWS_ENDPOINT_URL",
    "SOR_STATE_TABLE",
    "SOR_PROBE_QUEUE_URL",
    "SOR_ORDERS_TABLE",
    "SOR_FAILOVER_MACHINE",
    "SOR_SECRETS_PREFIX",
    "SOR_RELEASE",
)
COMMAND_LINES = ("SOR_URL", "SOR_STACK")
"""Read by the command line `sor` alone."""
VENUES_PREFIX = "SOR_VENUES_"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where the local stack listens, and what template.yaml is deployed with."""

    host: str
    port: int
    venues_port: int
    gateway_url: str
    """Where the venues are; empty: simulated ones are started on `venues_port`."""
    aws_host: str
    """Where the local AWS listens: loopback, unless something such as a container is to reach it."""
    aws_port: int
    """Its port; 0: any free one."""
    parameters: Mapping[str, str]
    """Template parameters that the environment sets."""
    unknown: tuple[str, ...]
    """Variables that look like SOR's and are not: likely misspelt."""

    @property
    def url(self) -> str:
        """The address to give to people: one that a browser on this machine reaches."""
        return http_url(self.host, self.port)

    @property
    def venues_url(self) -> str:
        """Where the functions reach the venues."""
        return self.gateway_url or f"http://{LOOPBACK}:{self.venues_port}"


def read(environment: Mapping[str, str], template: Mapping[str, Any]) -> Configuration:
    """Read the environment against the template.

    Raises
    ------
    SettingsError
        A variable has a value that cannot be used; its text names it and what was expected.
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    variables = parameter_of_variable(template)
    own = {name: given[name] for name in variables if name in given and name not in SET_BY_DEPLOYMENT}
    settings = read_settings(own | {"SOR_STATE_TABLE": "named by the deployment"})
    port = _port(given, "SOR_PORT", 8007)
    venues_port = _port(given, "SOR_VENUES_PORT", 8006)
    if port == venues_port and not settings.exchange_gateway_url:
        raise SettingsError(f"SOR_VENUES_PORT: expected another port than SOR_PORT, not {port} as well")
    return Configuration(
        host=given.get("SOR_HOST", LOOPBACK),
        port=port,
        venues_port=venues_port,
        gateway_url=settings.exchange_gateway_url,
        aws_host=given.get("SOR_AWS_HOST", LOOPBACK),
        aws_port=_port(given, "SOR_AWS_PORT", 0),
        parameters={variables[name]: value for name, value in own.items()},
        unknown=tuple(_unknown(given, variables)),
    )


def _port(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (
        text.isascii() and text.isdigit() and len(text) <= LONGEST_PORT and 0 < int(text) <= HIGHEST_PORT
    ):
        raise SettingsError(f"{name}: expected a port from 1 to {HIGHEST_PORT}, not {text[:60]!r}")
    return int(text)


def _unknown(given: Mapping[str, str], variables: Iterable[str]) -> list[str]:
    known = {*variables, *LOCAL_ONLY, *SET_BY_DEPLOYMENT, *COMMAND_LINES}
    return sorted(
        name
        for name in given
        if name.startswith("SOR_") and name not in known and not name.startswith(VENUES_PREFIX)
    )


def http_url(host: str, port: int) -> str:
    """Where a server listening on `host` and `port` is reached from this machine."""
    return f"http://{_address(_reachable(host))}:{port}"


def _reachable(host: str) -> str:
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - named to be translated


def _address(host: str) -> str:
    return f"[{host}]" if ":" in host else host
