"""Starts the sandbox as a process and talks to it over the socket."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.support.openapi_contract import check_exchange

API_KEY = "SU-111-222-333:a-key-of-the-tests"
PROVIDER_KEY = "SU-444-555-666:the-provider"

Json = Any


@dataclass
class Client:
    """A client that checks each exchange with the API against the contract."""

    root: str
    key: str = API_KEY
    session: requests.Session = field(default_factory=requests.Session)
    #: method and path of every exchange with the API
    exchanges: list[tuple[str, str, int]] = field(default_factory=list)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        json: Json = None,
        upload: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        """Call the API and fail if its answer breaks the contract."""
        response = self.session.request(
            method,
            f"{self.root}/public/v1/{path}" + (f"?{query}" if query else ""),
            json=json,
            files={"usage_file": ("usage_file.xlsx", upload)} if upload is not None else None,
            headers={"Authorization": f"ApiKey {self.key}", **(headers or {})},
            timeout=60,
        )
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        document = response.json() if is_json and response.content else None
        self.exchanges.append((method, path, response.status_code))
        faults = check_exchange(method, path, query, json, response.status_code, document)
        assert not faults, faults
        return response

    def get(self, path: str, query: str = "") -> Json:
        """The document under a path; the answer must be 200."""
        response = self.call("GET", path, query=query)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, json: Json = None) -> Json:
        """The document that a successful post answers, or None for 204."""
        response = self.call("POST", path, json={} if json is None else json)
        assert response.ok, response.text
        return response.json() if response.content else None

    def refused(self, method: str, path: str, json: Json = None, *, query: str = "") -> Json:
        """The error body of a call that must be answered with 400."""
        response = self.call(method, path, json=json, query=query)
        assert response.status_code == 400, response.text
        return response.json()

    def control(self, method: str, path: str, json: Json = None) -> Json:
        """Call the sandbox's own control part."""
        response = self.session.request(
            method, f"{self.root}/sandbox/{path}", json=json, timeout=60
        )
        assert response.ok, response.text
        return response.json() if response.content else None

    def entry(self, request_id: str) -> Json:
        """What the report says about one request."""
        return self.control("GET", f"report/{request_id}")

    def wait_for_status(self, request_id: str, status: str, *, seconds: float = 10) -> None:
        """Return once a request has this status; fail after the given time."""
        give_up = time.monotonic() + seconds
        while (current := self.entry(request_id)["status"]) != status:
            assert time.monotonic() < give_up, f"{request_id} is still {current}"

    def with_scenario(self, scenario: str, position: int = 0) -> str:
        """The id of a seeded request of this scenario."""
        report: dict[str, Json] = self.control("GET", "report")["requests"]
        return [key for key, entry in report.items() if entry["scenario"] == scenario][position]


@contextmanager
def running_sandbox(*options: str) -> Iterator[Client]:
    """A sandbox process on a free port, stopped at the end; its client."""
    command = [sys.executable, "-m", "connect_worker.sandbox", "--port", "0"]
    keys = ["--api-key", API_KEY, "--provider-key", PROVIDER_KEY]
    with subprocess.Popen(
        [*command, *keys, *options], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            url = re.search(r"http://\S+", process.stdout.readline())
            assert url, "the sandbox did not start"
            with requests.Session() as session:
                yield Client(url[0], session=session)
        finally:
            process.terminate()
            assert process.wait(timeout=10) == 0
