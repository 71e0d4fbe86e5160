"""What both Lambdas that trade are made of: only they need keys, order clients and writes to the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from sor_core.adapters.dynamo_orders import DynamoOrderLedger
from sor_core.adapters.nonces import DynamoNonces
from sor_core.adapters.pool import make_order_client
from sor_core.adapters.secrets import SecretsManagerCredentials
from sor_core.adapters.step_functions import StepFunctionsFailover
from sor_core.adapters.venues.budget import VenueBudget
from sor_core.adapters.venues.registry import budget, market_data
from sor_core.adapters.venues.trading_registry import TradingParts, trading
from sor_core.adapters.venues.venue_clock import VenueClock
from sor_core.bootstrap import Runtime, new_id
from sor_core.metrics import RATE_LIMIT_BUDGET_USED_RATIO
from sor_core.services.context import Context
from sor_core.services.counterparties import Counterparties, Counterparty
from sor_core.services.desk import Desk
from sor_core.services.drive import Driver
from sor_core.services.follow import Follower
from sor_core.services.gather import Gatherer
from sor_core.settings import SettingsError


class TradingRuntime(Runtime):
    """What both Lambdas that trade are made of."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        settings = self.settings
        for name, value in (
            ("SOR_ORDERS_TABLE", settings.orders_table),
            ("SOR_FAILOVER_MACHINE", settings.failover_machine_arn),
            ("SOR_SECRETS_PREFIX", settings.secrets_prefix),
        ):
            if not value:
                raise SettingsError(f"{name}: expected a value, as the template sets it")
        dynamodb = self.dynamodb
        self.ledger = DynamoOrderLedger(dynamodb, settings.orders_table, self.clock, new_id)
        failover = StepFunctionsFailover(
            partial(self.aws.client, "stepfunctions"), settings.failover_machine_arn
        )
        self._order_client = make_order_client()
        parts = TradingParts(
            self._order_client,
            self.clock,
            SecretsManagerCredentials(self.aws.client("secretsmanager"), settings.secrets_prefix, self.clock),
            DynamoNonces(dynamodb, settings.state_table, self.clock),
            new_id,
        )
        context = Context(self.clock, asyncio.sleep, new_id, settings, self.log, self.metrics)
        self._budgets: dict[str, VenueBudget] = {}
        self.counterparties = {venue: self._counterparty(venue, parts) for venue in settings.venues}
        gatherer = Gatherer(self.venues, self.store, self.clock, new_id, settings, self.log)
        self.desk = Desk(Counterparties(self.counterparties), gatherer, self.ledger, self.store, context)
        driver = Driver(self.desk, self.ledger, context)
        self.follower = Follower(self.desk, driver, self.ledger, failover, context)
        self.driver, self.machine, self.context = driver, failover, context

    def _counterparty(self, venue: str, parts: TradingParts) -> Counterparty:
        settings = self.settings
        addresses = {
            "gateway_url": settings.exchange_gateway_url,
            "override": settings.venue_urls[venue],
        }
        try:
            shared = budget(venue, self.clock, settings.key_tiers.get(venue, ""))
        except ValueError as error:
            raise SettingsError(f"SOR_KEY_TIERS: {error}") from error
        self._budgets[venue] = shared
        time = VenueClock(self.clock)
        return Counterparty(
            trading(venue, parts, time, budget=shared, **addresses),
            market_data(venue, self._order_client, self.clock, budget=shared, **addresses),
            time,
        )

    def measure(self) -> None:
        """Tell how much of the venues' limits is used up."""
        for venue, shared in self._budgets.items():
            self.metrics.set(RATE_LIMIT_BUDGET_USED_RATIO, shared.used_ratio(), venue)

    def close(self) -> None:
        """Close connections and loop."""
        self.run(self._order_client.aclose())
        super().close()
