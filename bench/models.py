"""Loading a request into models, against connect-sdk 22.0: the same program, two environments."""

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
from bench.place import Place
from bench.sample import NotMeasured, Row, Target, in_turns, ratio_row

SCRIPT = HERE / "peers/models.py"

USES = {
    "load": "loaded, nothing read",
    "typical": "what a processor reads of it included",
    "all": "every attribute of the document read",
}


def measure(place: Place) -> Iterator[Row]:
    """Yield a row for each use, once both sides have read the same."""
    plain = {name: text for name, text in place.environment.items() if name != "PYTHONPATH"}
    with ExitStack() as stack:
        ours = stack.enter_context(
            _loader(sys.executable, "connect_worker.models", dict(place.environment))
        )
        peer = stack.enter_context(_loader(sdk_python(), "connect.models", plain))
        if _whole_seconds(ours.values()) != _whole_seconds(peer.values()):
            raise NotMeasured("the two libraries read different values out of the payload")
        count = place.size(400, quick=60)
        for use, words in USES.items():
            for side in (ours, peer):
                side.seconds(use, count // 4)
            pairs = in_turns(
                place.size(15, quick=5),
                lambda use=use: 1e6 * ours.seconds(use, count),  # type: ignore[misc]
                lambda use=use: 1e6 * peer.seconds(use, count),  # type: ignore[misc]
            )
            json_alone = 1e6 * ours.seconds("json", count)
            yield ratio_row(
                f"times faster: a request into models, {words}",
                pairs,
                peer="connect-sdk 22.0, the same 4 KB of JSON text, equal values read",
                side_unit="µs",
                speedup=True,
                target=Target(10, at_least=True) if use == "typical" else None,
                json_loads_alone_microseconds=round(json_alone, 1),
            )


class _Loader:
    """A process that loads when it is asked to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _ask(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise NotMeasured(f"the loader ended at {line!r}")
        return json.loads(answer)

    def seconds(self, use: str, count: int) -> float:
        """The seconds per request."""
        return float(self._ask(f"{use} {count}"))

    def values(self) -> Any:
        """What is read."""
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


def _whole_seconds(value: Any) -> Any:
    """Cut times to what the SDK keeps of them: it drops the zone and the fractions."""
    match value:
        case dict():
            return {key: _whole_seconds(item) for key, item in value.items()}
        case list():
            return [_whole_seconds(item) for item in value]
        case str() if len(value) >= 19 and value[4:5] == "-" and value[10:11] == "T":
            return datetime.fromisoformat(value).replace(tzinfo=None, microsecond=0).isoformat()
    return value
