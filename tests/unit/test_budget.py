"""Budgets of requests: market data yields before orders do, and what a venue tells is believed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sor_core.adapters.http import Answer
from sor_core.adapters.venues.binance import limits as binance
from sor_core.adapters.venues.budget import (
    Bucket,
    Budget,
    Params,
    Purpose,
    VenueBudget,
    Window,
    blocked,
    decide,
    observed,
)
from sor_core.adapters.venues.coinbase import limits as coinbase
from sor_core.adapters.venues.kraken import limits as kraken
from sor_core.adapters.venues.registry import budget
from tests.fakes.clock import ManualClock

NOW_MS = 1_700_000_080_000
"""Twenty seconds before the next minute."""

ORDER = "/api/v3/order"
DEPTH = "/api/v3/depth"


def answer(
    status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b"{}", at_ms: int = NOW_MS
) -> Answer:
    return Answer(status, headers or {}, body, received_at_ms=at_ms, latency_ms=1.0)


def until_refused(budget: Budget, purpose: Purpose, costs: Mapping[str, float]) -> tuple[int, float]:
    """How often something may be sent at one moment, and how long to wait then."""
    for number in range(10_000):
        budget, wait_s = decide(budget, purpose, costs, NOW_MS)
        if wait_s > 0:
            return number, wait_s
    return 10_000, 0.0


@pytest.mark.parametrize(
    ("purpose", "sent"), [(Purpose.MARKET_DATA, 60), (Purpose.ACCOUNT, 85), (Purpose.ORDER, 100)]
)
def test_each_purpose_may_see_its_share_used_up(purpose: Purpose, sent: int) -> None:
    budget = Budget({"weight": Window(100, 60_000)})
    assert until_refused(budget, purpose, {"weight": 1}) == (sent, 20.0)


def test_orders_go_on_where_market_data_has_to_wait() -> None:
    budget = Budget({"weight": Window(100, 60_000)})
    for _ in range(60):
        budget, _ = decide(budget, Purpose.MARKET_DATA, {"weight": 1}, NOW_MS)
    assert decide(budget, Purpose.MARKET_DATA, {"weight": 1}, NOW_MS)[1] > 0
    budget, wait_s = decide(budget, Purpose.ORDER, {"weight": 1}, NOW_MS)
    assert wait_s == 0.0


def test_what_is_refused_is_not_counted() -> None:
    budget = Budget({"weight": Window(100, 60_000)})
    after, wait_s = decide(budget, Purpose.MARKET_DATA, {"weight": 61}, NOW_MS)
    assert wait_s == 0.0, "a share that a single request exceeds holds none back while it is empty"
    again, wait_s = decide(after, Purpose.MARKET_DATA, {"weight": 1}, NOW_MS)
    assert wait_s > 0
    assert again == after


def test_windows_begin_anew_and_buckets_drain() -> None:
    window = observed(Budget({"w": Window(100, 60_000)}), {"w": 100}, NOW_MS)
    assert decide(window, Purpose.ORDER, {"w": 1}, NOW_MS + 19_999)[1] == pytest.approx(0.001)
    assert decide(window, Purpose.ORDER, {"w": 1}, NOW_MS + 20_000)[1] == 0.0
    bucket = observed(Budget({"b": Bucket(10, drained_per_s=2.0)}), {"b": 10}, NOW_MS)
    assert decide(bucket, Purpose.ORDER, {"b": 3}, NOW_MS)[1] == pytest.approx(1.5)
    assert decide(bucket, Purpose.ORDER, {"b": 3}, NOW_MS + 1500)[1] == 0.0
    assert decide(bucket, Purpose.MARKET_DATA, {"b": 1}, NOW_MS + 1500)[1] == pytest.approx(1.0)


def test_every_limit_that_a_request_counts_for_holds() -> None:
    budget = Budget({"one": Window(100, 60_000), "two": Window(3, 10_000)})
    assert until_refused(budget, Purpose.ORDER, {"one": 1, "two": 1}) == (3, 10.0)


def test_families_count_each_member() -> None:
    budget = Budget({"engine": Bucket(2, drained_per_s=1.0)})
    for pair in ("engine:A", "engine:B"):
        assert until_refused(budget, Purpose.ORDER, {pair: 1})[0] == 2


def test_nothing_is_sent_while_the_venue_wants_us_away() -> None:
    budget = blocked(Budget({}), 5.0, NOW_MS)
    for purpose in Purpose:
        assert decide(budget, purpose, {}, NOW_MS + 1000)[1] == 4.0
        assert decide(budget, purpose, {}, NOW_MS + 5000)[1] == 0.0
    assert blocked(budget, 1.0, NOW_MS).blocked_until_ms == NOW_MS + 5000, "never shortened"


# Binance


def test_what_binance_counts() -> None:
    assert binance.costs("POST", ORDER, {}) == {"weight": 1, "orders_10s": 1, "orders_1d": 1}
    assert binance.costs("GET", ORDER, {}) == {"weight": 4}
    assert binance.costs("DELETE", ORDER, {}) == {"weight": 1}
    depths = {limit: binance.costs("GET", DEPTH, {"limit": limit})["weight"] for limit in (5, 100, 101, 5000)}
    assert depths == {5: 5, 100: 5, 101: 25, 5000: 250}
    assert binance.costs("GET", "/api/v3/openOrders", {"symbol": "BTCUSDT"}) == {"weight": 6}
    assert binance.costs("GET", "/api/v3/openOrders", {}) == {"weight": 80}
    assert binance.costs("GET", "/api/v3/myTrades", {"orderId": "1"}) == {"weight": 5}
    assert binance.costs("GET", "/api/v3/exchangeInfo", {}) == {"weight": 20}


def test_what_binance_tells() -> None:
    headers = {"x-mbx-used-weight-1m": "3700", "x-mbx-order-count-10s": "7", "x-mbx-order-count-1d": "x"}
    assert binance.observe(answer(headers=headers)) == {"weight": 3700, "orders_10s": 7}
    exhausted = answer(429, {"retry-after": "8"}, b'{"code":-1015,"msg":"Too many new orders."}')
    assert binance.observe(exhausted) == {"orders_10s": 50}
    assert binance.away_s(exhausted) == 0.0, "only orders are held up"
    assert binance.away_s(answer(429, {"retry-after": "8"})) == 8.0
    assert binance.away_s(answer(418, {"retry-after": "120"})) == 120.0
    assert binance.away_s(answer(429)) == 60.0
    assert binance.away_s(answer(400)) == 0.0


def test_binances_market_data_yields_by_the_header_and_orders_do_not() -> None:
    clock = ManualClock(NOW_MS)
    budget = VenueBudget(binance.RULES, clock)
    market_data, trading = budget.gate(Purpose.MARKET_DATA), budget.gate(Purpose.ACCOUNT)
    assert market_data.wait_s("GET", DEPTH, {"limit": 100}) == 0.0
    # Somebody else at this address has used it up.
    trading.learn(answer(headers={"x-mbx-used-weight-1m": "5200"}))
    assert market_data.wait_s("GET", DEPTH, {"limit": 100}) == 20.0
    assert trading.wait_s("GET", ORDER, {}) == 20.0
    assert trading.wait_s("POST", ORDER, {}) == 0.0
    assert trading.wait_s("DELETE", ORDER, {}) == 0.0
    clock.advance(20_000)
    assert market_data.wait_s("GET", DEPTH, {"limit": 100}) == 0.0


def test_a_ban_holds_everything_back() -> None:
    clock = ManualClock(NOW_MS)
    budget = VenueBudget(binance.RULES, clock)
    gate = budget.gate(Purpose.MARKET_DATA)
    gate.learn(answer(418, {"retry-after": "120"}))
    assert budget.gate(Purpose.ACCOUNT).wait_s("POST", ORDER, {}) == 120.0
    clock.advance(120_000)
    assert gate.wait_s("GET", DEPTH, {}) == 0.0


# Coinbase


def test_what_coinbase_counts_and_tells() -> None:
    assert coinbase.costs("GET", "/api/v3/brokerage/market/products/BTC-USD", {}) == {"public": 1}
    assert coinbase.costs("GET", "/api/v3/brokerage/time", {}) == {"public": 1}
    assert coinbase.costs("GET", "/api/v3/brokerage/orders/historical/x", {}) == {"private": 1}
    told = {"x-ratelimit-limit": "30", "x-ratelimit-remaining": "4", "x-ratelimit-reset": "1"}
    assert coinbase.observe(answer(headers=told)) == {"private": 26}
    assert coinbase.observe(answer(headers={**told, "x-ratelimit-limit": "10"})) == {"public": 6}
    assert coinbase.observe(answer(headers={**told, "x-ratelimit-limit": "77"})) == {}
    assert coinbase.observe(answer()) == {}
    assert coinbase.away_s(answer(429)) == 1.0
    assert coinbase.away_s(answer(429, {"retry-after": "3"})) == 3.0


def test_coinbases_orders_go_before_questions() -> None:
    budget = VenueBudget(coinbase.RULES, ManualClock(NOW_MS))
    gate = budget.gate(Purpose.ACCOUNT)
    gate.learn(answer(headers={"x-ratelimit-limit": "30", "x-ratelimit-remaining": "4"}))
    assert gate.wait_s("GET", "/api/v3/brokerage/accounts", {}) > 0
    assert gate.wait_s("POST", "/api/v3/brokerage/orders", {}) == 0.0


# Kraken


def test_what_kraken_counts() -> None:
    assert kraken.costs("GET", "/0/public/Depth", {"pair": "XBTUSD"}) == {"public": 1}
    assert kraken.costs("POST", "/0/private/OpenOrders", {}) == {"private": 1}
    assert kraken.costs("POST", "/0/private/ClosedOrders", {}) == {"private": 2}
    assert kraken.costs("POST", "/0/private/AddOrder", {"pair": "XBTUSD"}) == {"engine:XBTUSD": 1}
    assert kraken.costs("POST", "/0/private/CancelOrder", {"pair": "XBTUSD"}) == {"engine:XBTUSD": 8}


@pytest.mark.parametrize(
    ("age_s", "cost"),
    [(-1, 8), (0, 8), (4.999, 8), (5, 6), (10, 5), (15, 4), (45, 2), (90, 1), (299, 1), (300, 0), (9999, 0)],
)
def test_a_cancel_at_kraken_costs_by_the_age_of_its_order(age_s: float, cost: int) -> None:
    asked: Params = {"pair": "XBTUSD", "age_ms": round(age_s * 1000)}
    assert kraken.costs("POST", "/0/private/CancelOrder", asked) == {"engine:XBTUSD": cost}


def test_krakens_model_holds_no_cancel_back() -> None:
    clock = ManualClock(NOW_MS)
    gate = VenueBudget(kraken.RULES, clock).gate(Purpose.ACCOUNT)
    fresh: Params = {"pair": "XBTUSD", "age_ms": 0}
    assert [gate.wait_s("POST", "/0/private/CancelOrder", fresh) for _ in range(20)] == [0.0] * 20
    # It is counted: new orders of that pair wait, those of another do not.
    assert gate.wait_s("POST", "/0/private/AddOrder", {"pair": "XBTUSD"}) == pytest.approx(1.0)
    assert gate.wait_s("POST", "/0/private/AddOrder", {"pair": "ETHUSD"}) == 0.0
    gate.learn(answer(body=b'{"error":["EService:Throttled: 1700000099"]}'))
    assert gate.wait_s("POST", "/0/private/CancelOrder", fresh) == 5.0, "the venue wants us away"


def test_krakens_questions_yield_by_the_model() -> None:
    clock = ManualClock(NOW_MS)
    budget = VenueBudget(kraken.RULES, clock)
    gate = budget.gate(Purpose.ACCOUNT)
    waits = [gate.wait_s("POST", "/0/private/OpenOrders", {}) for _ in range(13)]
    assert waits[:12] == [0.0] * 12
    assert waits[12] > 0
    assert gate.wait_s("POST", "/0/private/AddOrder", {"pair": "XBTUSD"}) == 0.0
    clock.advance(3100)
    assert gate.wait_s("POST", "/0/private/OpenOrders", {}) == 0.0


@pytest.mark.parametrize(
    ("tier", "at_once", "drained_per_s"), [("starter", 12, 0.33), ("intermediate", 17, 0.5), ("pro", 17, 1.0)]
)
def test_a_higher_tier_at_kraken_may_ask_more(tier: str, at_once: int, drained_per_s: float) -> None:
    clock = ManualClock(NOW_MS)
    shared = budget("kraken", clock, tier)
    gate = shared.gate(Purpose.ACCOUNT)
    asked = 0
    while not (wait_s := gate.wait_s("POST", "/0/private/OpenOrders", {})):
        asked += 1
    assert asked == at_once
    assert wait_s <= 1 / drained_per_s
    shared.learn(answer(body=b'{"error":["EAPI:Rate limit exceeded"]}'))
    assert shared.used_ratio() == 1.0


def test_a_tier_that_a_venue_does_not_have_is_named() -> None:
    with pytest.raises(ValueError, match=r"a tier of kraken \(starter, intermediate, pro\), not 'gold'"):
        budget("kraken", ManualClock(), "gold")
    with pytest.raises(ValueError, match=r"a tier of binance \(none\)"):
        budget("binance", ManualClock(), "pro")


@pytest.mark.parametrize("tier", ["", "pro"])
def test_krakens_refusals_fill_the_counters(tier: str) -> None:
    clock = ManualClock(NOW_MS)
    budget = VenueBudget(kraken.RULES, clock, tier)
    gate = budget.gate(Purpose.ACCOUNT)
    gate.learn(answer(body=b'{"error":["EAPI:Rate limit exceeded"]}'))
    assert gate.wait_s("POST", "/0/private/OpenOrders", {}) > 0
    assert budget.gate(Purpose.MARKET_DATA).wait_s("GET", "/0/public/Depth", {}) > 0
    assert gate.wait_s("POST", "/0/private/AddOrder", {"pair": "XBTUSD"}) == 0.0
    gate.learn(answer(body=b'{"error":["EService:Throttled: 1700000099"]}'))
    assert gate.wait_s("POST", "/0/private/AddOrder", {"pair": "XBTUSD"}) == 5.0


@pytest.mark.parametrize(
    ("venue", "method", "prepares", "asks"),
    [
        ("binance", "GET", "/api/v3/account", "/api/v3/order"),
        ("coinbase", "GET", "/api/v3/brokerage/accounts", "/api/v3/brokerage/orders/historical/1"),
        ("kraken", "POST", "/0/private/BalanceEx", "/0/private/QueryOrders"),
    ],
)
def test_preparing_new_orders_yields_to_asking_after_earlier_ones(
    venue: str, method: str, prepares: str, asks: str
) -> None:
    shared = budget(venue, ManualClock())
    for _ in range(10_000):
        if shared.wait_s(Purpose.ACCOUNT, method, prepares, {}):
            break
    assert shared.wait_s(Purpose.ACCOUNT, method, prepares, {}) > 0
    assert shared.wait_s(Purpose.ACCOUNT, method, asks, {}) == 0
