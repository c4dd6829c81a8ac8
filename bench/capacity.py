"""The calls per second that the stand-in can answer: a plain load loop in several processes.

`python -m bench.capacity URL SECONDS` is one of these processes. It gets the same request again and
again, on a plain socket.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from bench.jobs import Load, run_bare
from bench.sample import Row, Sample
from bench.standin import API
from bench.testbed import Testbed
from bench.throughput import PREFORK

CLIENTS = 3


def measure(testbed: Testbed) -> Iterator[Row]:
    """Yield the stand-in's capacity against the load of bare Celery."""
    testbed.reset(10)
    seconds = testbed.size(5, quick=2)
    command = [sys.executable, "-m", "bench.capacity", testbed.connect_url, str(seconds)]
    clients = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(testbed.environment))
        for _ in range(CLIENTS)
    ]
    answered = sum(float(client.communicate()[0]) for client in clients)
    run = run_bare(testbed, Load(testbed.size(1000, quick=200)), PREFORK)
    asked = run.rate * run.calls_per_request
    yield Row(
        what="the stand-in's capacity against the load of bare Celery at 0 ms",
        measured=Sample((answered / asked,)),
        unit="×",
        peer=f"{CLIENTS} load loops on the same cores, GET of one request",
        ours=Sample((answered,)),
        theirs=Sample((asked,)),
        side_unit="calls/s",
        facts={"standin_share_of_a_core_in_the_run": round(run.standin_busy, 3)},
    )


def main(url: str, seconds: str) -> None:
    """Print the calls per second."""
    where = urlsplit(url)
    path = f"{API}requests/PR-0000-0001-000"
    call = f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode()
    done, started = 0, time.perf_counter()
    with socket.create_connection((where.hostname or "", where.port or 80)) as connection:
        connection.sendall(call)
        size = len(connection.recv(65536))
        while time.perf_counter() - started < float(seconds):
            connection.sendall(call)
            missing = size
            while missing > 0:
                missing -= len(connection.recv(missing))
            done += 1
    print(done / (time.perf_counter() - started))


if __name__ == "__main__":
    main(*sys.argv[1:])
