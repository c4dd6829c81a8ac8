"""Runs a measurement in its own process, with the worker's environment."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.sample import MeasurementError
from bench.testbed import Testbed


def run_child(
    testbed: Testbed, module: str, *arguments: object, python: str = sys.executable, **settings: str
) -> Any:
    """Run `python -m MODULE …` and return the JSON document that it prints last.

    Raises:
        MeasurementError: The process failed; the message has its error output.
    """
    process = subprocess.run(
        [python, "-m", module, *map(str, arguments)],
        env={**testbed.environment, **settings},
        cwd=testbed.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise MeasurementError(f"{module}: {process.stderr.strip()[-500:]}")
    return json.loads(process.stdout.splitlines()[-1])


class TimingProxy:
    """Counts and times the calls of a port, for one thread."""

    def __init__(self, port: object) -> None:
        self._port = port
        self.calls = 0
        self.seconds: dict[str, float] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.calls += 1
                spent = time.perf_counter() - started
                self.seconds[name] = self.seconds.get(name, 0.0) + spent

        return timed
