"""The customer's side of an inquiry."""

from connect_worker.sandbox.catalog import CUSTOMER_USER
from connect_worker.sandbox.collection import Json
from connect_worker.sandbox.errors import BadRequestError
from connect_worker.sandbox.fields import REQUEST_ACTIONS, require_status
from connect_worker.sandbox.fulfillment import FulfillmentRequest
from connect_worker.sandbox.simulation import exact
from connect_worker.sandbox.state import Request, World
from connect_worker.sandbox.tier_config import TierConfigRequest


def expect_answer(world: World, record: Request) -> None:
    """Have the customer answer after the time the options name, if they name one."""
    seconds = world.options.answer_inquiries_seconds
    if seconds is not None:
        world.later(seconds, lambda: _answer_if_asked(world, record.id))


def answer(world: World, record: Request, values: Json | None = None) -> None:
    """Fill the parameters that were asked for and put the request before the vendor again.

    Args:
        world: where it happens.
        record: an inquired request.
        values: parameter id to value; what is not given gets a plausible value.

    Raises:
        BadRequestError: the request is not inquired, or its kind has no inquiries.
    """
    if not isinstance(record, FulfillmentRequest | TierConfigRequest):
        raise BadRequestError(f"{record.id} is of a kind that cannot be inquired.")
    require_status(record.id, record.status, REQUEST_ACTIONS["pend"][0], "be answered")
    given = values or {}
    filled: Json = {}
    for param in _current_params(record):
        identifier = param["id"]
        if param.get("value_error") or identifier in given or _missing(param):
            filled[identifier] = given.get(identifier) or _plausible(param, record.number)
            change = {"value": filled[identifier], "value_error": ""}
            record.params[identifier] = {**record.params.get(identifier, {}), **change}
    now = world.clock()
    record.updated = now
    if isinstance(record, TierConfigRequest):
        record.events["pended"] = (now, CUSTOMER_USER)
    world.settle(record, "pending")
    world.journal.entry(record.id).events.append(
        {"event": "answered", "at": exact(now), "params": filled}
    )


def _answer_if_asked(world: World, record_id: str) -> None:
    record = world.find(record_id)
    # Somebody may have decided or answered it meanwhile.
    if record.status == "inquiring":
        answer(world, record)


def _current_params(record: FulfillmentRequest | TierConfigRequest) -> list[Json]:
    owner = record.asset() if isinstance(record, FulfillmentRequest) else record.body()
    params: list[Json] = owner["params"]
    return params


def _missing(param: Json) -> bool:
    required = (param.get("constraints") or {}).get("required")
    return bool(required) and not param.get("value")


def _plausible(param: Json, number: int) -> str:
    if "email" in str(param["id"]):
        return f"answered{number}@customer.example"
    return str(param.get("value") or f"answer {number}")
