"""Measurements in a process of their own, with the worker's environment."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.place import Place
from bench.sample import NotMeasured


def run_child(
    place: Place, module: str, *arguments: object, python: str = sys.executable, **settings: str
) -> Any:
    """Run `python -m MODULE …` and return the JSON document that it prints last.

    Raises:
        NotMeasured: It failed; says how.
    """
    ended = subprocess.run(
        [python, "-m", module, *map(str, arguments)],
        env={**place.environment, **settings},
        cwd=place.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise NotMeasured(f"{module}: {ended.stderr.strip()[-500:]}")
    return json.loads(ended.stdout.splitlines()[-1])


class Timed:
    """A port whose calls are counted and timed, for one thread."""

    def __init__(self, port: object) -> None:
        self._port = port
        self.calls = 0
        self.seconds: dict[str, float] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.calls += 1
                spent = time.perf_counter() - begun
                self.seconds[name] = self.seconds.get(name, 0.0) + spent

        return timed
