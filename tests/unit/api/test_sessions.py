"""Sessions are reused, never shared between threads, and left behind by a fork."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from connect_worker.api import Client, client_for
from connect_worker.api.transport import SessionPool
from connect_worker.config import Config, use_config
from tests.support.scripted_server import KEY, Call, Reply, serving

FINE = Reply(body={"id": "PR-1"})


def test_calls_one_after_the_other_use_one_connection() -> None:
    with serving(FINE) as server:
        client = server.client()
        for _ in range(10):
            client.get("requests/PR-1")
            client.post("requests/PR-1/approve", {})
        assert len(server.calls) == 20
        assert len(server.connections) == 1


def test_a_refused_call_leaves_the_connection_usable() -> None:
    with serving(Reply(400, {"error_code": "VAL_001", "errors": ["x"]}), FINE) as server:
        client = server.client()
        with pytest.raises(Exception, match="VAL_001"):
            client.post("requests", {})
        client.get("requests/PR-1")
        assert len(server.connections) == 1


def test_threads_never_share_a_connection_and_take_no_more_than_they_are() -> None:
    threads = 8
    together = threading.Barrier(threads, timeout=10)

    def play(call: Call) -> Reply:
        if call.path.endswith("together"):
            # Answered only when every thread has a call under way.
            together.wait()
        return Reply(body={"path": call.path})

    with serving(play) as server:
        client = server.client()

        def work(number: int) -> list[str]:
            client.get("together")
            return [client.get(f"requests/{number}-{turn}")["path"] for turn in range(10)]

        with ThreadPoolExecutor(threads) as pool:
            results = list(pool.map(work, range(threads)))
        assert len(server.connections) == threads
    for number, paths in enumerate(results):
        assert paths == [f"/public/v1/requests/{number}-{turn}" for turn in range(10)]


def test_a_session_is_lent_to_one_user_at_a_time() -> None:
    pool = SessionPool(KEY)
    with ExitStack() as stack:
        lent = [stack.enter_context(pool.session()) for _ in range(3)]
        assert len({id(session) for session in lent}) == 3
    with pool.session() as again:
        assert again in lent
    pool.close()


def test_a_session_comes_back_after_an_exception() -> None:
    pool = SessionPool(KEY)
    with pytest.raises(ValueError, match="mine"), pool.session() as first:
        raise ValueError("mine")
    with pool.session() as second:
        assert second is first
    pool.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_makes_its_own_connections() -> None:
    with serving(FINE) as server:
        client = server.client()
        client.get("requests/parent")
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(read_end)
                answers = [client.get(f"requests/child-{turn}") for turn in range(2)]
                os.write(write_end, json.dumps(answers).encode())
            finally:
                os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            assert json.loads(pipe.read()) == [{"id": "PR-1"}] * 2
        os.waitpid(child, 0)
        client.get("requests/parent")
        assert len(server.calls) == 4
        assert len(server.connections) == 2, "one of the parent, one of the child"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_session_lent_at_the_fork_does_not_get_into_the_childs_pool() -> None:
    pool = SessionPool(KEY)
    read_end, write_end = os.pipe()
    with pool.session() as inherited:
        child = os.fork()
        if child == 0:
            try:
                with pool.session() as own:
                    is_other = own is not inherited
            finally:
                os.write(write_end, b"y" if is_other else b"n")
    if child == 0:
        try:
            with pool.session() as later:
                os.write(write_end, b"y" if later is not inherited else b"n")
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        assert pipe.read() == "yy"
    os.waitpid(child, 0)
    pool.close()


def test_one_account_has_one_client_and_another_has_another() -> None:
    item = Config.local("http://127.0.0.1:1/a", "SU-1:one")
    same = Config.local("http://127.0.0.1:1/a/", "ApiKey SU-1:one", products=["PRD-1"])
    other = Config.local("http://127.0.0.1:1/a", "SU-2:two")
    assert client_for(item) is client_for(same)
    assert client_for(item) is not client_for(other)
    with use_config(other):
        assert client_for() is client_for(other)


def test_the_environments_proxy_is_used() -> None:
    with serving(FINE) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", server.url.removesuffix("/public/v1"))
        client = Client("http://connect.invalid/public/v1", KEY)
        client.get("requests/PR-1")
        client.post("requests/PR-1/approve", {})
    assert [call.headers["Host"] for call in server.calls] == ["connect.invalid"] * 2
    assert len(server.connections) == 1


def test_a_host_without_a_proxy_is_called_directly() -> None:
    with serving(FINE) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", "http://127.0.0.1:9")
        patch.setenv("no_proxy", "127.0.0.1")
        server.client().get("requests/PR-1")
    assert [call.path for call in server.calls] == ["/public/v1/requests/PR-1"]


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environments_certificates_are_used(variable: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        patch.setenv(variable, "/nowhere/bundle.pem")
        with pytest.raises(OSError, match=r"bundle\.pem"):
            Client("https://127.0.0.1:9/public/v1", KEY).get("requests/PR-1")
