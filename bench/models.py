"""Loads a request into models, and compares with connect-sdk 22.0 in its own environment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from bench.backlog import PAYLOAD
from bench.jobs import HERE, sdk_python
from bench.sample import MeasurementError, Row, Target, in_turns, ratio_row
from bench.testbed import Testbed

SCRIPT = HERE / "peers/models.py"

USES = {
    "load": "loaded, nothing read",
    "typical": "with the attributes that a processor reads",
    "all": "every attribute of the document read",
}


def measure(testbed: Testbed) -> Iterator[Row]:
    """Yield a row for each use, after a check that both sides read equal values."""
    without_path = {
        name: text for name, text in testbed.environment.items() if name != "PYTHONPATH"
    }
    with ExitStack() as stack:
        ours = stack.enter_context(
            _loader(sys.executable, "connect_worker.models", dict(testbed.environment))
        )
        peer = stack.enter_context(_loader(sdk_python(), "connect.models", without_path))
        if _comparable(ours.values()) != _comparable(peer.values()):
            raise MeasurementError("the two libraries read different values from the payload")
        count = testbed.size(400, quick=60)
        for use, words in USES.items():
            for side in (ours, peer):
                side.seconds(use, count // 4)
            pairs = in_turns(
                testbed.size(15, quick=5),
                lambda use=use: 1e6 * ours.seconds(use, count),  # type: ignore[misc]
                lambda use=use: 1e6 * peer.seconds(use, count),  # type: ignore[misc]
            )
            json_alone = 1e6 * ours.seconds("json", count)
            yield ratio_row(
                f"speedup of loading a request into models: {words}",
                pairs,
                peer="connect-sdk 22.0, the same 4 KB of JSON text, equal values read",
                side_unit="µs",
                speedup=True,
                target=Target(10, at_least=True) if use == "typical" else None,
                json_loads_alone_microseconds=round(json_alone, 1),
            )


class _Loader:
    """A process that loads the payload on request."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _ask(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise MeasurementError(f"the loader ended at {line!r}")
        return json.loads(answer)

    def seconds(self, use: str, count: int) -> float:
        """Return the seconds per request."""
        return float(self._ask(f"{use} {count}"))

    def values(self) -> Any:
        """Return the values that the process read."""
        return self._ask("values")


@contextmanager
def _loader(python: str, module: str, environment: dict[str, str]) -> Iterator[_Loader]:
    with subprocess.Popen(
        [python, "-W", "ignore", str(SCRIPT), module, str(PAYLOAD)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield _Loader(process)


def _comparable(value: Any) -> Any:
    """Drop the zone and the fractions of times, as the SDK does."""
    match value:
        case dict():
            return {key: _comparable(item) for key, item in value.items()}
        case list():
            return [_comparable(item) for item in value]
        case str() if len(value) >= 19 and value[4:5] == "-" and value[10:11] == "T":
            return datetime.fromisoformat(value).replace(tzinfo=None, microsecond=0).isoformat()
    return value
