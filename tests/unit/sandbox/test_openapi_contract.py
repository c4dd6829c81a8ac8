"""The contract check finds what breaks the contract, and lets the known differences pass."""

from typing import Any

import pytest

from tests.support.openapi_contract import DEVIATIONS, check_exchange

REQUEST = {"id": "PR-1", "type": "purchase", "status": "pending", "asset": {"id": "AS-1"}}
FILE = {
    "id": "UF-1",
    "external_id": "1",
    "status": "ready",
    "vendor": {"id": "VA-1"},
    "provider": {"id": "PA-1"},
    "marketplace": {"id": "MP-1"},
    "contract": {"id": "CRD-1"},
}


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status", "answer"),
    [
        ("GET", "requests", "", None, 200, [REQUEST]),
        ("GET", "/public/v1/requests", "eq(status,pending)", None, 200, []),
        ("GET", "requests", "select(-asset.items,-asset.tiers,-template)", None, 200, []),
        ("GET", "requests", {"asset.product.id__in": "A,B", "limit": "5"}, None, 200, []),
        ("GET", "requests", "eq%28status%2Cpending%29&ordering(-created)", None, 200, []),
        ("GET", "requests/PR-1", "", None, 404, {"error_code": "NF", "errors": ["no"]}),
        ("POST", "requests/PR-1/approve", "", {"template_id": "TL-1"}, 200, REQUEST),
        ("POST", "tier/config-requests/TCR-1/fail", "", {"reason": "x"}, 204, None),
        ("POST", "usage/files/UF-1/upload", "", None, 201, FILE),
        ("GET", "usage/files", "", None, 200, [{**FILE, "status": "READY"}]),
        ("GET", "requests/PR-1", "", None, 200, {**REQUEST, "assignee": {"id": "UR-1"}}),
        ("GET", "requests/PR-1", "", None, 200, {**REQUEST, "note": None, "color": "red"}),
        ("GET", "templates/TL-1/render", "request_id=PR-1", None, 200, None),
    ],
)
def test_conforming_exchanges_pass(
    method: str, path: str, query: Any, body: Any, status: int, answer: Any
) -> None:
    assert check_exchange(method, path, query, body, status, answer) == []


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status", "answer"),
    [
        ("GET", "orders", "", None, 200, []),
        ("GET", "requests/", "", None, 200, []),
        ("POST", "requests/PR-1/approve/", "", {"template_id": "TL-1"}, 200, REQUEST),
        ("GET", "requests", "select(-asset.color)", None, 200, []),
        ("DELETE", "requests/PR-1", "", None, 200, REQUEST),
        ("GET", "requests", "", None, 200, REQUEST),
        ("GET", "requests", "", None, 201, [REQUEST]),
        ("GET", "requests", "", None, 200, [{**REQUEST, "status": "waiting"}]),
        ("GET", "requests", "", None, 200, [{**REQUEST, "status": "PENDING"}]),
        ("GET", "requests", "", None, 200, [{**REQUEST, "asset": {"items": [{"mpn": 5}]}}]),
        ("GET", "requests", "eq(color,red)", None, 200, []),
        ("GET", "requests", "color=red", None, 200, []),
        ("GET", "requests", {"color__in": "red"}, None, 200, []),
        ("GET", "requests/PR-1", "", None, 404, {"detail": "no"}),
        ("GET", "requests/PR-1", "", None, 500, None),
        ("GET", "requests/PR-1", "", None, 200, None),
        ("PUT", "requests/PR-1", "", {"asset": {"params": {"id": "x"}}}, 200, REQUEST),
        ("POST", "requests/PR-1/approve", "", {"template_id": 5}, 200, REQUEST),
        ("POST", "requests/PR-1/fail", "", {"reason": ["x"]}, 200, REQUEST),
        ("POST", "tier/config-requests/TCR-1/fail", "", {"reason": "x"}, 200, {}),
        ("POST", "tier/config-requests/TCR-1/fail", "", {"reason": "x"}, 204, {}),
        ("POST", "usage/files/UF-1/submit", "", {}, 201, FILE),
        ("POST", "usage/files/UF-1/upload", "", {"usage_file": "x"}, 200, FILE),
        ("GET", "usage/files/UF-1", "", None, 200, {"id": "UF-1"}),
        ("POST", "conversations/CO-1/messages", "", {"message": "x"}, 201, {"text": "x"}),
        ("GET", "templates/TL-1/render", "", None, 204, None),
    ],
)
def test_violations_are_found(
    method: str, path: str, query: Any, body: Any, status: int, answer: Any
) -> None:
    assert check_exchange(method, path, query, body, status, answer)


def test_every_deviation_gives_its_reason() -> None:
    assert all(deviation.reason.endswith(".") for deviation in DEVIATIONS)
