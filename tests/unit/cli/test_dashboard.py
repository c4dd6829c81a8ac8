"""The alert rules and the dashboard ask for what is served."""

from __future__ import annotations

import json
import re
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
    assert asked
    assert asked <= {name for name, _ in scrape(served)}


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_asks_for_labels_and_states_that_exist(served: str, expression: str) -> None:
    known = {label for _, labels in scrape(served) for label, _ in labels}
    matched = re.findall(r'(\w+)\s*(=~|=)\s*"([^"]*)"', expression)
    assert {name for name, _, _ in matched} <= known
    states = {text for name, _, text in matched if name == "state"}
    assert {item for text in states for item in text.split("|")} <= set(State)


def test_each_alert_says_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert {"alert", "expr", "for", "labels", "annotations"} == set(rule)
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "description"} == set(rule["annotations"])


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
