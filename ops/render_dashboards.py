"""Draw both dashboards from a local run, by their own queries.

Beside ``make run``::

    python -m ops.render_dashboards --seconds 300 --out docs

It sends routes and orders, has venues fail now and then, lets a real Prometheus (`ops.prometheus`)
scrape ``/metrics``, and draws what the panels of ``grafana_dashboard.json`` ask of it. Those of
``cloudwatch_dashboard.json`` are drawn from the metrics that the functions wrote into their log, by
CloudWatch's own rules as far as the panels need them; AWS's own metrics do not exist locally.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
from matplotlib import pyplot as plt

from ops import prometheus
from ops.dashboards import CLOUDWATCH, GRAFANA

Points = list[tuple[float, float]]
STEP_S = 5
WINDOW_S = 30
"""What ``$__rate_interval`` is here."""
_COLUMNS = 4
_TURN_S = 0.4
_FAULTS_EVERY = 25
_STRATEGIES = ("best_execution", "lowest_latency", "best_liquidity", "cost_optimization")
mpl.use("Agg")
mpl.rcParams.update({"font.size": 7, "savefig.dpi": 90})


def main() -> None:
    """Do it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", default="http://127.0.0.1:8007")
    arguments.add_argument("--venues", default="http://127.0.0.1:8006")
    arguments.add_argument("--log", type=Path, help="functions.log of the run; else that of the url's port")
    arguments.add_argument("--seconds", type=float, default=300)
    arguments.add_argument("--out", type=Path, default=Path("docs"))
    given = arguments.parse_args()
    httpx.get(f"{given.url}/health", timeout=10, trust_env=False).raise_for_status()
    address = given.url.partition("://")[2]
    log = given.log or Path(".build/run") / address.rpartition(":")[2] / "functions.log"
    with (
        tempfile.TemporaryDirectory() as folder,
        prometheus.running(address, Path(folder), every_s=2) as server,
    ):
        started_s = time.time()
        stop = threading.Event()
        sender = threading.Thread(target=traffic, args=(given.url, given.venues, stop), daemon=True)
        sender.start()
        time.sleep(given.seconds)
        ended_s = time.time()
        stop.set()
        sender.join()
        draw_grafana(server, started_s, ended_s, given.out / "dashboard_grafana.png")
    draw_cloudwatch(log, started_s, ended_s, given.out / "dashboard_cloudwatch.png")


def traffic(url: str, venues: str, stop: threading.Event) -> None:
    """Route and execute until told to stop; now and then a venue drops an order."""
    with httpx.Client(base_url=url, timeout=35, trust_env=False) as client:
        for turn in itertools.count():
            if stop.wait(_TURN_S):
                return
            order = {"symbol": "BTC/USDT", "side": ("buy", "sell")[turn % 2], "type": "market"}
            order |= {"amount": f"0.0{1 + turn % 7}", "execution_strategy": _STRATEGIES[turn // 3 % 4]}
            if turn % _FAULTS_EVERY == _FAULTS_EVERY // 2:
                fault = {"venue": "binance", "endpoint": "place_order", "fault": "drop", "when": "before"}
                httpx.post(f"{venues}/sim/faults", json={**fault, "count": 1}, timeout=5, trust_env=False)
            for _ in range(1 + turn % 3):
                client.post("/api/route", json=order)
            if turn % 3 == 0:
                client.post("/api/execute", json=order, headers={"Prefer": "wait=1"})


# Grafana ------------------------------------------------------------------------------------------


def draw_grafana(server: prometheus.Server, started_s: float, ended_s: float, to: Path) -> None:
    """Ask Prometheus what each panel asks, and draw it."""
    pictures: list[tuple[str, list[tuple[str, Points]], bool]] = []
    for panel in json.loads(GRAFANA.read_text(encoding="utf-8"))["panels"]:
        if panel["type"] == "row":
            continue
        bars = panel["type"] == "bargauge"
        found: list[tuple[str, Points]] = []
        for target in panel["targets"]:
            span = f"{ended_s - started_s:.0f}s"
            query = target["expr"].replace("$__rate_interval", f"{WINDOW_S}s").replace("$__range", span)
            if bars:
                rows = server.now(query)
                points = sorted((float(row["metric"]["le"]), float(row["value"][1])) for row in rows)
                found.append(("", points))
                continue
            for row in server.over(query, started_s, ended_s, STEP_S):
                values = [(float(at) - started_s, float(v)) for at, v in row["values"] if v != "NaN"]
                label = legend(target["legendFormat"], row["metric"])
                found.append((label, values))
        pictures.append((panel["title"], found, bars))
    draw(pictures, to)


def legend(wanted: str, labels: dict[str, str]) -> str:
    """Fill a legend's ``{{label}}`` in."""
    for name, value in labels.items():
        wanted = wanted.replace(f"{{{{{name}}}}}", value)
    return wanted


# CloudWatch ---------------------------------------------------------------------------------------


def draw_cloudwatch(log: Path, started_s: float, ended_s: float, to: Path) -> None:
    """Make the panels' metrics of the log's lines, and draw them."""
    samples = embedded(log, started_s, ended_s)
    pictures: list[tuple[str, list[tuple[str, Points]], bool]] = []
    for widget in json.loads(CLOUDWATCH.read_text(encoding="utf-8"))["widgets"]:
        if widget["type"] != "metric":
            continue
        found: list[tuple[str, Points]] = []
        for row in widget["properties"]["metrics"]:
            if isinstance(row[0], dict):
                found += computed(row[0], widget["properties"]["metrics"], samples, started_s)
                continue
            _, name, *pairs, how = row
            if how.get("visible", True):
                labels = frozenset(zip(pairs[::2], pairs[1::2], strict=True))
                found.append(
                    (how["label"], statistic(samples.get((name, labels), []), how["stat"], started_s))
                )
        pictures.append((widget["properties"]["title"], [f for f in found if f[1]], False))
    draw(pictures, to)


Samples = dict[tuple[str, frozenset[tuple[str, str]]], Points]


def embedded(log: Path, started_s: float, ended_s: float) -> Samples:
    """Read the lines in embedded metric format: values with their times, by metric and dimensions."""
    found: Samples = defaultdict(list)
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith('{"_aws"'):
            continue
        written: dict[str, Any] = json.loads(line)
        at_s = written["_aws"]["Timestamp"] / 1000
        if not started_s <= at_s <= ended_s:
            continue
        for directive in written["_aws"]["CloudWatchMetrics"]:
            [dimensions] = directive["Dimensions"]
            labels = frozenset((d, written[d]) for d in dimensions)
            for metric in directive["Metrics"]:
                found[metric["Name"], labels] += [(at_s, value) for value in written[metric["Name"]]]
    return found


def statistic(samples: Points, stat: str, started_s: float) -> Points:
    """One value a period, as CloudWatch has it; a period here is `WINDOW_S`."""
    periods: dict[int, list[float]] = defaultdict(list)
    for at_s, value in samples:
        periods[int((at_s - started_s) // WINDOW_S)].append(value)
    return [(period * WINDOW_S, _of(sorted(values), stat)) for period, values in sorted(periods.items())]


def _of(values: list[float], stat: str) -> float:
    simple = {"Sum": sum, "SampleCount": len, "Minimum": min, "Maximum": max}
    if stat in simple:
        return float(simple[stat](values))  # type: ignore[operator]
    if stat == "Average":
        return sum(values) / len(values)
    place = float(stat.removeprefix("p")) / 100 * (len(values) - 1)
    return values[round(place)]


def computed(
    row: dict[str, Any], rows: list[Any], samples: Samples, started_s: float
) -> list[tuple[str, Points]]:
    """A search, or a count divided by its period."""
    searched = re.search(r'\{"[^"]+",([\w,]+)\} MetricName="(\w+)"', row["expression"])
    if searched:
        own = {s: points for s, points in samples.items() if s[0] == searched[2]}
        order = searched[1].split(",")
        return [
            (" ".join(dict(labels)[name] for name in order), statistic(points, "Sum", started_s))
            for (_, labels), points in sorted(own.items(), key=str)
        ]
    [(name, how)] = [(r[1], r[-1]) for r in rows if r[-1].get("id") == row["expression"].partition(" ")[0]]
    counts = statistic(samples.get((name, frozenset()), []), how["stat"], started_s)
    return [(row["label"], [(at_s, count / WINDOW_S) for at_s, count in counts])]


def draw(pictures: list[tuple[str, list[tuple[str, Points]], bool]], to: Path) -> None:
    """Draw all panels into one file."""
    height = -(-len(pictures) // _COLUMNS)
    figure, axes = plt.subplots(height, _COLUMNS, figsize=(13, 2.1 * height), layout="constrained")
    for axis, picture in itertools.zip_longest(axes.flat, pictures):
        if picture is None:
            axis.axis("off")
            continue
        title, series, bars = picture
        axis.set_title(title, fontsize=8)
        axis.tick_params(labelsize=6)
        if not any(points for _, points in series):
            axis.text(0.5, 0.5, "no local data", ha="center", va="center", transform=axis.transAxes)
            continue
        for label, points in series:
            if bars:
                below = [0.0, *(count for _, count in points)]
                names = [f"{bound:g}" for bound, _ in points]
                axis.bar(names, [b - a for a, b in itertools.pairwise(below)])
                axis.tick_params(axis="x", labelrotation=60)
            elif points:
                axis.plot(*zip(*points, strict=True), label=label, linewidth=0.9, marker=".", markersize=2)
        if not bars:
            axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
            axis.legend(fontsize=5, loc="best", frameon=False)
    figure.savefig(to)
    plt.close(figure)
    print(f"{to}: {to.stat().st_size // 1024} KB")  # noqa: T201 - what the command says


if __name__ == "__main__":
    main()
