"""What every Lambda is made of; nothing here talks to anyone until it is used.

Each Lambda has its own wiring beside this (`bootstrap.route`, `bootstrap.probe`, `bootstrap.trading`),
so that none loads what only another needs. What not every request needs is loaded by the first that
does: the venues' adapters, with the HTTP client and its certificates, because a request answered out
of the caches asks no venue.
"""

from __future__ import annotations

import asyncio
import pkgutil
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from aws_lambda_powertools import Logger

from sor_core.adapters import venues as venue_folders
from sor_core.adapters.aws import AwsClients
from sor_core.adapters.dynamo_counters import DynamoCounters
from sor_core.adapters.dynamo_state import DynamoStateStore
from sor_core.adapters.emf import EmfWriter
from sor_core.api import http
from sor_core.clock import Clock, SystemClock
from sor_core.metrics import Outcome
from sor_core.observability import PowertoolsLog, make_logger
from sor_core.ports import StateStore, VenueMarketData
from sor_core.services.metering import Meter, Recorder
from sor_core.services.undisturbed import settle
from sor_core.settings import Settings, SettingsError

if TYPE_CHECKING:
    import httpx

VENUES = tuple(folder.name for folder in pkgutil.iter_modules(venue_folders.__path__) if folder.ispkg)
"""The venues that this build can speak to: each is a folder."""
_T = TypeVar("_T")


def new_id() -> str:
    """Give a random text of 32 hex digits."""
    return uuid.uuid4().hex


class Adapters(Mapping[str, VenueMarketData]):
    """The venues' adapters by name, made when the first is asked for."""

    def __init__(self, names: tuple[str, ...], make: Callable[[str], VenueMarketData]) -> None:
        self._names = names
        self._make = make

    @cached_property
    def _made(self) -> Mapping[str, VenueMarketData]:
        return {name: self._make(name) for name in self._names}

    def __getitem__(self, name: str) -> VenueMarketData:
        """Give a venue's adapter; raises `KeyError` for a venue that is not configured."""
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        """Give the names, in the order of the configuration."""
        return iter(self._names)

    def __len__(self) -> int:
        """Count the venues."""
        return len(self._names)


class Runtime:
    """What every Lambda keeps between events.

    One event loop and one HTTP client as long as the process lives, so that connections are kept.
    """

    function: ClassVar[str]
    """Its name in the metrics."""
    counters_every_ms: ClassVar[int] = 0
    """See `Meter`; 0 writes the counters at the end of each invocation."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.settings = settings = read_settings(env)
        self.logger: Logger = make_logger(settings.log_level)
        self.log = PowertoolsLog(self.logger)
        self.clock: Clock = SystemClock()
        self.aws = AwsClients()
        self.dynamodb: Any = self.aws.client("dynamodb")
        self.store: StateStore = DynamoStateStore(self.dynamodb, settings.state_table, self.clock)
        self.metrics = Recorder()
        self.counters = DynamoCounters(
            self.dynamodb, settings.state_table, self.function, uuid.uuid4().int, self.clock
        )
        emf = EmfWriter(settings.metrics_namespace)
        written = (self.counters, emf.write, self.function)
        self._meter = Meter(self.metrics, *written, self.clock, self.log, self.counters_every_ms)
        self.venues: Mapping[str, VenueMarketData] = Adapters(settings.venues, self._market_data)
        self._runner = asyncio.Runner()
        self._settled = False
        self._version = env.get("AWS_LAMBDA_FUNCTION_VERSION", "")

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        from sor_core.adapters.pool import make_client  # noqa: PLC0415 - see above

        return make_client()

    def _market_data(self, venue: str) -> VenueMarketData:
        from sor_core.adapters.venues.registry import market_data  # noqa: PLC0415 - see above

        settings = self.settings
        return market_data(
            venue,
            self._client,
            self.clock,
            gateway_url=settings.exchange_gateway_url,
            override=settings.venue_urls[venue],
        )

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run to the end."""
        return self._runner.run(work)

    def serve(
        self, handle: Callable[[Any, Any], _T], event: Any, context: Any, correlation_id: str = ""
    ) -> _T:
        """Have a handler serve an invocation, with its lines in the log named after it, and measured.

        `correlation_id` is the path of what ties those lines to others, such as
        ``requestContext.requestId``. What the handler raises is raised, and stands in the log.
        """
        named = self.logger.inject_lambda_context(
            correlation_id_path=correlation_id or None, clear_state=True
        )
        answer: _T = named(self._metered(handle))(event, context)
        if not self._settled:  # after the first, for that loads what was not needed to start
            self._settled = True
            settle()
        return answer

    def _metered(self, handle: Callable[[Any, Any], _T]) -> Callable[[Any, Any], _T]:
        """Have an invocation measured, and what it measured written at its end."""

        def invoke(event: Any, context: Any) -> _T:
            # The ARN that Lambda tells is that of the alias: only this says which version it was.
            self.logger.append_keys(function_version=self._version)
            started, outcome = self._meter.begin(), Outcome.FAILED
            try:
                answer = handle(event, context)
                outcome = _outcome(answer)
                self._tell_problem(event, answer)
            except Exception as error:
                self.log.failed(error)
                raise
            finally:
                self.measure()
                self.run(self._meter.end(started, outcome))
            return answer

        return invoke

    def _tell_problem(self, event: Any, answer: Any) -> None:
        """Write one line for a request that was answered with a problem."""
        if http.is_problem(answer):
            failed = answer["statusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR
            say = self.log.warning if failed else self.log.info
            say("answered with a problem", **http.told_of_problem(event, answer))

    def measure(self) -> None:
        """Tell the metrics what is known at the end of an invocation."""

    def close(self) -> None:
        """Close connections and loop; Lambda never does, a program that embeds this should."""
        if "_client" in self.__dict__:
            self.run(self._client.aclose())
        self._runner.close()


def _outcome(answer: object) -> Outcome:
    """What an answer says of its invocation: HTTP's status, messages that failed, or that there is one."""
    told = answer if isinstance(answer, dict) else {}
    status = told.get("statusCode", HTTPStatus.OK)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or told.get("batchItemFailures"):
        return Outcome.FAILED
    return Outcome.REFUSED if status >= HTTPStatus.BAD_REQUEST else Outcome.OK


def read_settings(env: Mapping[str, str]) -> Settings:
    """Settings that this build can serve; raises `SettingsError`."""
    settings = Settings.from_env(env)
    unknown = [v for v in settings.venues if v not in VENUES]
    if unknown:
        raise SettingsError(f"SOR_VENUES: expected venues among {', '.join(VENUES)}, not {unknown[0]!r}")
    if not settings.state_table:
        raise SettingsError("SOR_STATE_TABLE: expected the name of the DynamoDB table for health and caches")
    return settings
