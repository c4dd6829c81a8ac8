"""The alert rules and the dashboard ask for what is served."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from connect_worker.domain.states import State

from .metrics_exporter import ROOT, scrape

RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "connect-worker.json"


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def expressions() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    return [rule["expr"] for rule in rules()] + asked


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_is_promql_over_metrics_that_are_served(served: str, expression: str) -> None:
    # Grafana puts these in before it asks.
    promql_parser.parse(expression.replace("$__rate_interval", "5m"))
    asked = set(re.findall(r"\bconnect_worker_\w+", expression))
    assert asked or expression.startswith("up{")
    assert asked <= {name for name, _ in scrape(served)}


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_asks_for_labels_and_states_that_exist(served: str, expression: str) -> None:
    known = {label for _, labels in scrape(served) for label, _ in labels}
    matched = re.findall(r'(\w+)\s*(=~|=)\s*"([^"]*)"', expression)
    # Prometheus adds the name of the scrape's job.
    assert {name for name, _, _ in matched} <= known | {"job"}
    states = {text for name, _, text in matched if name == "state"}
    assert {item for text in states for item in text.split("|")} <= set(State)


def test_each_alert_says_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert {"alert", "expr", "for", "labels", "annotations"} == set(rule)
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "description"} == set(rule["annotations"])


#: Series of Prometheus in the tests of rules, one value a minute: `NUMBERxCOUNT`, `_` for none.
SERIES = "connect_worker_"
PROMTOOL = shutil.which("promtool")


def polled(
    age: str, *, interval: int, open_seconds: int = 0, account: str = "eu"
) -> dict[str, str]:
    labels = f'{{account="{account}",kind="fulfillment"}}'
    series = {
        f"{SERIES}poll_interval_seconds{labels}": f"{interval}x60",
        f'{SERIES}breaker_open_seconds{{account="{account}"}}': f"{open_seconds}x60",
    }
    if age:
        series[f"{SERIES}poll_age_seconds{labels}"] = age
        series[f"{SERIES}poll_duration_seconds{labels}"] = "30x60"
    return series


def exporter(instance: str, *, up: str, ledger_up: str) -> dict[str, str]:
    labels = f'{{instance="{instance}",job="connect-worker"}}'
    return {f"up{labels}": up, f"{SERIES}ledger_up{labels}": ledger_up}


def breaker(account: str, values: str) -> dict[str, str]:
    return {f'{SERIES}breaker_failures{{account="{account}",instance="{account}"}}': values}


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: the package prometheus)")
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        # An interval of 15 minutes: the age grows to 900 seconds before each poll.
        (polled("0+60x15 0+60x15 0+60x15", interval=900), set()),
        (polled("0+60x60", interval=900), {("ConnectNotPolled", ',account="eu"')}),
        (polled("0+60x60", interval=60), {("ConnectNotPolled", ',account="eu"')}),
        (polled("0+60x60", interval=60, open_seconds=600), set()),
        (
            polled("30x60", interval=60) | polled("", interval=60, account="us"),
            {("ConnectNeverPolled", ',account="us"')},
        ),
        (polled("", interval=60, open_seconds=600), set()),
        (
            exporter("a", up="1x60", ledger_up="1x60")
            | exporter("b", up="1x10 0x50", ledger_up="1x10 _x50"),
            {("ConnectExporterDown", ',instance="b"')},
        ),
        (
            exporter("a", up="0x60", ledger_up="_x60"),
            {("ConnectExporterDown", ',instance="a"'), ("ConnectExporterAbsent", "")},
        ),
        # A target that is gone from Prometheus, with another account's exporter beside it.
        (
            exporter("a", up="1x60", ledger_up="1x60")
            | breaker("a", "0x60")
            | breaker("b", "0x10 _x50"),
            {("ConnectAccountAbsent", ',account="b"')},
        ),
        # Without Redis the exporter has no metrics of an account.
        (
            exporter("a", up="1x60", ledger_up="1x10 0x50") | breaker("a", "0x10 _x50"),
            {("ConnectLedgerAway", ',instance="a"')},
        ),
    ],
    ids=[
        "long interval",
        "long interval and no poll",
        "no poll",
        "breaker open",
        "one account never",
        "never while the breaker is open",
        "one exporter of two",
        "the only exporter",
        "one account of two",
        "ledger away",
    ],
)
def test_an_alert_fires_when_it_should_and_not_otherwise(
    series: dict[str, str], expected: set[tuple[str, str]], tmp_path: Path
) -> None:
    fires = 'sum by (alertname, account, instance) (ALERTS{alertstate="firing"})'
    # Without an exporter each test has this one, which is well.
    if not any(name.startswith("up{") for name in series):
        series = series | exporter("c", up="1x60", ledger_up="1x60")
    samples = [
        {"labels": f'{{alertname="{alert}"{label}}}', "value": 1}
        for alert, label in sorted(expected)
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": fires, "eval_time": "45m", "exp_samples": samples}],
    }
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [test]}))
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_panels_have_titles_of_their_own_and_do_not_overlap() -> None:
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)
    taken = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels())
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def test_the_manual_names_what_is_served(served: str) -> None:
    manual = (ROOT / "docs" / "operating.md").read_text()
    documented = set(re.findall(r"`(connect_worker_\w+)`", manual))
    assert documented == {name for name, _ in scrape(served)}
