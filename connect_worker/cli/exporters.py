"""What Prometheus is told of several accounts: each metric once, with the samples of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric
from prometheus_client.registry import Collector


class Exporters(Collector):
    """Puts together what one collector an account tells.

    Args:
        collectors: Of what they say of the deployment as a whole, the first one's word counts.
    """

    def __init__(self, collectors: Sequence[Collector]) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; one of a name, or Prometheus would refuse all of them."""
        found: dict[str, Metric] = {}
        for collector in self._collectors:
            for family in collector.collect():
                known = found.setdefault(family.name, family)
                if known is not family:
                    told = {(one.name, *sorted(one.labels.items())) for one in known.samples}
                    known.samples += [
                        one
                        for one in family.samples
                        if (one.name, *sorted(one.labels.items())) not in told
                    ]
        yield from found.values()

    def describe(self) -> list[Metric]:
        """Return nothing: to register it, no Redis need be there."""
        return []
