"""Connect's identifier formats, made from running numbers without a collision.

A number is spread over the digits by multiplication with a constant that shares no factor with
ten, which is a permutation: different numbers give different digits.
"""

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

    Every ninth id is of the older kind that has no occurrence.
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
