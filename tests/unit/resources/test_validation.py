"""A validation's document: what Connect gets back, and what a vendor's class may declare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connect_worker.config import Config
from connect_worker.domain.kinds import VALIDATION_TYPES
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import InvalidDecision, RegistrationError
from connect_worker.models import Fulfillment, Param
from connect_worker.resources import ValidationAutomation
from connect_worker.resources.discovery import find_automations, find_validations
from connect_worker.resources.validation import held_back, validated, without_errors
from connect_worker.testing import purchase, run

CONTRACT = Path(__file__).parents[2] / "data/openapi_contract.json"
CONFIG = Config.local("https://connect.test/public/v1", "SU-1:key")

MODULE = """
from connect_worker import FulfillmentAutomation, ValidationAutomation

class First(ValidationAutomation):
    {first}
    def validate(self, request): pass

class Second(ValidationAutomation):
    {second}
    def validate(self, request): pass

class NotYet(ValidationAutomation):
    pass

class Orders(FulfillmentAutomation):
    def process_request(self, request): pass
"""


class Form(ValidationAutomation):
    """Does what a test says to the request."""

    def __init__(self, change: Any, config: Config = CONFIG) -> None:
        super().__init__(config)
        self.change = change

    def validate(self, request: Fulfillment) -> Any:
        return self.change(request)


def document(*params: dict[str, Any]) -> dict[str, Any]:
    return {"id": "PR-1", "asset": {"id": "AS-1", "params": list(params)}, "unknown": [1]}


def set_error(request: Fulfillment, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(request.asset.params[0], name, value)


def test_only_errors_come_back_and_those_of_before_do_not() -> None:
    sent = document(
        {"id": "email", "value": "x", "value_error": "old", "more": 1},
        {"id": "plan", "structured_error": {"message": {"id": "old"}}},
    )

    def change(request: Fulfillment) -> Fulfillment:
        assert not any(param.value_error for param in request.asset.params)
        request.asset.id = "AS-2"
        set_error(request, value="y", value_error="new", structured_error={"message": {"id": "M"}})
        return request

    assert validated(Form(change), sent) == document(
        {
            "id": "email",
            "value": "x",
            "value_error": "new",
            "more": 1,
            "structured_error": {"message": {"id": "M"}},
        },
        {"id": "plan", "structured_error": {}},
    )


@pytest.mark.parametrize("sent", [{}, {"asset": None}, {"asset": {"params": "x"}}])
def test_a_document_without_parameters_stays_as_it_is(sent: dict[str, Any]) -> None:
    assert without_errors(RequestKind.FULFILLMENT, sent) == sent
    assert held_back(RequestKind.FULFILLMENT, sent, "Later") is None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda request: False, "validate returned False"),
        (lambda request: {"email": "wrong"}, "validate returned"),
        (lambda request: set_error(request, value_error=["wrong"]), "email is not a text"),
        (
            lambda request: request.asset.params.append(Param(id="other", value_error="wrong")),
            "an error on other",
        ),
    ],
)
def test_a_result_that_means_nothing_is_an_error(change: Any, error: str) -> None:
    with pytest.raises(InvalidDecision, match=error):
        validated(Form(change), document({"id": "email", "value": "x"}))


def test_an_order_is_held_back_at_the_first_parameter_of_its_form() -> None:
    sent = document({"id": "key", "phase": "fulfillment"}, {"id": "email", "phase": "ordering"})
    held = held_back(RequestKind.FULFILLMENT, sent, "Later")
    assert held is not None
    assert [param.get("value_error") for param in held["asset"]["params"]] == [None, "Later"]


def test_the_kit_reads_without_network_and_raises_what_a_validation_raises() -> None:
    def ask(request: Fulfillment) -> None:
        found = form.client.get("assets/AS-9")
        request.asset.params[0].value_error = found["id"]
        form.client.send("PUT", "requests/PR-1", {"note": "x"})

    form = Form(ask)
    done = run(form, purchase(), answers={"assets/AS-9": {"id": "AS-9"}})
    assert list(done.errors.values()) == ["AS-9"]
    assert [call.method for call in done.calls] == ["PUT"]
    with pytest.raises(ZeroDivisionError):
        run(Form(lambda request: 1 / 0), purchase())


def modules(folder: Path, first: str = "pass", second: str = "products = 'PRD-1'") -> list[str]:
    path = folder / "processors.py"
    path.write_text(MODULE.format(first=first, second=second))
    return [str(path)]


def test_validations_are_found_beside_automations(tmp_path: Path) -> None:
    names = modules(tmp_path)
    assert [found.__name__ for found in find_validations(names)] == ["First", "Second"]
    assert [found.__name__ for found in find_automations(names)] == ["Orders"]
    assert [found.__name__ for found in find_validations([f"{names[0]}:Second"])] == ["Second"]
    assert find_automations([f"{names[0]}:Second"]) == []


@pytest.mark.parametrize(
    ("first", "error"),
    [
        ("webhook_types = 'validator'", "webhook_types = 'validator': give a list of validator"),
        ("webhook_types = ['draft_tcr_t1_val']", "give a list of validator"),
        ("webhook_types = []", "give a list"),
        ("on_failures = 'hold'", "which has no effect: write on_failure"),
        ("on_failure = 'stop'", "'allow' or 'hold'"),
        ("failure_message = ' '", "give a text"),
        ("products = ['PRD-2', 'PRD-1']", "both validate validator for PRD-1: keep one"),
    ],
)
def test_what_a_class_declares_wrongly_is_named(tmp_path: Path, first: str, error: str) -> None:
    with pytest.raises(RegistrationError, match=error):
        find_validations(modules(tmp_path, first))


def test_two_validations_for_all_products_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistrationError, match="for all other products: keep one"):
        find_validations(modules(tmp_path, second="webhook_types = ('change_validator',)"))


def test_the_types_are_those_of_the_description() -> None:
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))
    body = contract["operations"]["POST /notifications/webhooks"]["body"]["application/json"]
    assert set(body["properties"]["type"]["enum"]) == {"event", *VALIDATION_TYPES}
