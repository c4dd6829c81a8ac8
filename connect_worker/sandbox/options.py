"""What one run of the sandbox is to look like."""

from dataclasses import dataclass

DEFAULT_API_KEY = "SU-000-000-001:sandbox-vendor-key"


@dataclass(frozen=True)
class Spread:
    """How many requests of each kind are seeded."""

    fulfillment: int
    tier_config: int
    usage_files: int
    listings: int


@dataclass(frozen=True)
class Options:
    """The settings of a run."""

    spread: Spread
    seed: int = 1
    product_count: int = 3
    api_key: str = DEFAULT_API_KEY
    #: a second key that may create requests as the provider does; None: nobody may
    provider_key: str | None = None
    #: added to every answer
    latency_seconds: float = 0.0
    #: after so long the customer answers an inquiry; None: never by itself
    answer_inquiries_seconds: float | None = None
    #: what an accepted upload of usage records is answered with; Connect has sent both 200 and 201
    upload_status: int = 201


def spread_over(
    total: int,
    *,
    fulfillment: int | None = None,
    tier_config: int | None = None,
    usage_files: int | None = None,
    listings: int | None = None,
) -> Spread:
    """Share a total among the kinds: about 60, 15, 15 and 10 of a hundred.

    Each kind gets at least one when the total is four or more. A kind that is given keeps its
    number, whatever the total.
    """
    smaller = [total * share // 100 for share in (15, 15, 10)]
    if total >= 4:
        smaller = [max(1, count) for count in smaller]
    rest = total - sum(smaller)
    return Spread(
        fulfillment=rest if fulfillment is None else fulfillment,
        tier_config=smaller[0] if tier_config is None else tier_config,
        usage_files=smaller[1] if usage_files is None else usage_files,
        listings=smaller[2] if listings is None else listings,
    )
