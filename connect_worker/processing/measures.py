"""What the ledger counts beside states and outcomes, for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

#: Runs of a processor that began; `what` is "".
ATTEMPTS: Final = "attempts"
#: `what` is a cause, see `processing.retry.Cause`.
RETRIES: Final = "retries"
#: The cause of a retry that no error tells.
WORKER_DIED: Final = "worker died"
#: Calls that changed something in Connect; `what` is the least bucket that holds their duration.
POSTS: Final = "posts"
#: Milliseconds that they took together; `what` is "".
POST_MS: Final = "post_ms"
#: Calls that Connect refused or did not answer; `what` is the status, or why there was none.
ERRORS: Final = "errors"

#: The name under which products beyond the first 200 are counted together.
OTHER: Final = "other"
MAX_PRODUCTS: Final = 200

#: Upper bounds of a post's duration, in seconds.
BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MORE: Final = "more"


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is counted; `str` gives it as the ledger's scripts build it."""

    name: str
    #: Of request; "" for calls outside of jobs and polls.
    kind: str = ""
    what: str = ""
    #: "" where none is known.
    product: str = ""

    def __str__(self) -> str:
        return f"{self.prefix}:{self.product}"

    @property
    def prefix(self) -> str:
        """The name without the product, which the ledger may count as `other`."""
        return f"{self.name}:{self.kind}:{self.what}"

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Read a name back; a product may have colons in it."""
        return cls(*text.split(":", 3))


Measures = Mapping[Measure, int]


class Tally(Protocol):
    """What a process has counted and not told the ledger yet."""

    def take(self) -> Measures:
        """Return it, and begin anew."""

    def give_back(self, taken: Measures) -> None:
        """Count again what could not be told."""


class NoTally:
    """Counts nothing."""

    def take(self) -> Measures:
        """Return nothing."""
        return {}

    def give_back(self, taken: Measures) -> None:
        """Forget it."""


def bucket_of(seconds: float) -> str:
    """Return the name of the least bucket that holds a duration."""
    place = bisect_left(BUCKETS, seconds)
    return f"{BUCKETS[place]:g}" if place < len(BUCKETS) else MORE
