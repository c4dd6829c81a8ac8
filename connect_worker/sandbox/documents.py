"""What the sandbox's JSON documents are made of: merging, times, variety, identifiers."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

Json = dict[str, Any]

#: The fields of a parameter that a PUT may change; the rest belongs to the product.
CHANGEABLE_PARAM_FIELDS = ("value", "value_error", "structured_value", "structured_error")


def merge(base: Json, over: Json) -> Json:
    """Merge two documents: objects by field, parameters by id; everything else is replaced."""
    merged = dict(base)
    for name, value in over.items():
        present = merged.get(name)
        if isinstance(value, dict) and isinstance(present, dict):
            merged[name] = merge(present, value)
        elif name == "params" and isinstance(value, list) and isinstance(present, list):
            changes = {p["id"]: p for p in value if isinstance(p, dict) and "id" in p}
            known = {p["id"] for p in present}
            merged[name] = [merge(p, changes.get(p["id"], {})) for p in present] + [
                p for key, p in changes.items() if key not in known
            ]
        else:
            merged[name] = value
    return merged


def change_params(params: list[Json], changes: dict[str, Json]) -> list[Json]:
    """Replace the seeded values of parameters by those that were put."""
    return [{**param, **changes.get(param["id"], {})} for param in params]


def values_at(document: Any, path: str) -> list[Any]:
    """Return all values under a dotted path of a document, those inside of lists too.

    A missing or null step gives ``[None]``, as a database would for a filter.
    """
    return list(_walk(document, path.split("."))) or [None]


def _walk(node: Any, steps: list[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for element in node:
            yield from _walk(element, steps)
    elif not steps:
        yield node
    elif isinstance(node, dict):
        yield from _walk(node.get(steps[0]), steps[1:])


# ---- times as Connect writes them

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def with_microseconds(moment: datetime) -> str:
    """With microseconds, as fulfillment requests show it."""
    return moment.isoformat(timespec="microseconds")


def whole_seconds(moment: datetime) -> str:
    """Without fractions, as events and usage files show it."""
    return moment.isoformat(timespec="seconds")


T = TypeVar("T")

_WORD = (1 << 64) - 1


class SeededRandom:
    """Repeatable variety: the same seed, topic and number give the same values in every process.

    The generator (splitmix64) costs far less to seed than ``random.Random``: each read of a
    document builds it again, and seeds a generator for it.
    """

    def __init__(self, seed: int, topic: str, number: int) -> None:
        self._state = (
            seed * 0x9E3779B97F4A7C15
            + zlib.crc32(topic.encode()) * 0xD1B54A32D192ED03
            + number * 0x8CB92BA72F3D8DD7
        ) & _WORD

    def _next(self) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _WORD
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD
        return mixed ^ (mixed >> 31)

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self._next() % (high - low + 1)

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[self._next() % len(choices)]

    def chance(self, percent: int) -> bool:
        """True in this percentage of cases."""
        return self._next() % 100 < percent


# ---- identifiers in Connect's formats, made from running numbers without a collision: a number is
# multiplied by a constant that shares no factor with ten, so different numbers differ in digits.

_SPREAD = 387_420_489  # 3**18


def _digits(number: int, width: int, salt: int) -> str:
    return (
        f"{(number * _SPREAD + salt * 73_939_133_000_271 + 418_552_711_903) % 10**width:0{width}d}"
    )


def _by_three(digits: str) -> str:
    return f"{digits[:3]}-{digits[3:6]}-{digits[6:]}"


def _by_four(digits: str) -> str:
    return f"{digits[:4]}-{digits[4:8]}-{digits[8:]}"


def asset_id(number: int) -> str:
    """``AS-0000-0000-0000``."""
    return "AS-" + _by_four(_digits(number, 12, 1))


def fulfillment_id(number: int, occurrence: int) -> str:
    """``PR-…`` with the digits of its asset and the occurrence, as ``-001``.

    Every ninth id has the older form, without the occurrence.
    """
    digits = "PR-" + _by_four(_digits(number, 12, 1))
    return digits if number % 9 == 0 else f"{digits}-{occurrence:03d}"


def conversation_id(number: int) -> str:
    """``CO-000-000-000``."""
    return "CO-" + _by_three(_digits(number, 9, 2))


def message_id(number: int) -> str:
    """``ME-000-000-000``."""
    return "ME-" + _by_three(_digits(number, 9, 3))


def tier_request_id(number: int) -> str:
    """``TCR-000-000-000``."""
    return "TCR-" + _by_three(_digits(number, 9, 4))


def tier_config_id(number: int) -> str:
    """``TC-000-000-000``."""
    return "TC-" + _by_three(_digits(number, 9, 4))


def usage_file_id(number: int, year: int, month: int) -> str:
    """``UF-2018-11-0000000000``, or ``UF-2018-11-0000-0000`` as later ones are written."""
    if number % 3 == 0:
        return f"UF-{year}-{month:02d}-{_digits(number, 10, 5)}"
    digits = _digits(number, 8, 5)
    return f"UF-{year}-{month:02d}-{digits[:4]}-{digits[4:]}"


def listing_id(number: int) -> str:
    """``LST-000-000-000``."""
    return "LST-" + _by_three(_digits(number, 9, 6))


def contract_id(number: int) -> str:
    """``CRD-00000-00000-00000``."""
    digits = _digits(number, 15, 7)
    return f"CRD-{digits[:5]}-{digits[5:10]}-{digits[10:]}"


def tier_account_id(number: int, level: int) -> str:
    """``TA-0-0000-0000-0000``: level 0 is the customer, 1 its reseller, 2 the distributor."""
    return f"TA-{level}-" + _by_four(_digits(number, 12, 8))


def product_id(number: int) -> str:
    """``PRD-000-000-000``; the same in every run, so that a configuration can name it."""
    return "PRD-" + _by_three(_digits(number, 9, 9))


def template_id(number: int) -> str:
    """``TL-000-000-000``."""
    return "TL-" + _by_three(_digits(number, 9, 10))


def webhook_id(number: int) -> str:
    """``WH-000-000-000``."""
    return "WH-" + _by_three(_digits(number, 9, 12))


def tenant_id(number: int) -> str:
    """``TEN-00000000``: the vendor's own identifier."""
    return f"TEN-{_digits(number, 8, 11)}"
