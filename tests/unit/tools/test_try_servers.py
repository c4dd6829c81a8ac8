"""The tool that runs tests with each supported server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tools import try_servers
from tools.try_servers import NotHereError, Server, fetch, main, read_servers

FAKE = "#!/bin/sh\necho Redis server v=7.2.4 sha=0\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(try_servers, "CACHE", tmp_path)
    return tmp_path


def put(cache: Path, name: str) -> None:
    """Something that was got before."""
    program = cache / name.replace(" ", "-") / "bin" / "redis-server"
    program.parent.mkdir(parents=True)
    program.write_text(FAKE)
    program.chmod(0o755)


def test_each_server_has_a_source_with_a_checksum() -> None:
    for server in read_servers().values():
        assert bool(server.wheel) == bool(re.fullmatch("[0-9a-f]{64}", server.sha256))
        assert bool(server.libraries) == bool(server.libraries_sha256)
        assert server.wheel or server.image
        assert bool(server.suite) == bool(server.packages)


def test_what_is_another_version_is_not_run(cache: Path) -> None:
    put(cache, "Redis 7.2")
    put(cache, "Redis 7.4")
    assert fetch(Server("Redis 7.2")) == "7.2.4"
    with pytest.raises(NotHereError, match=r"there is only 7\.2\.4"):
        fetch(Server("Redis 7.4"))


def test_a_server_that_is_named_has_to_be_there(cache: Path) -> None:
    put(cache, "Valkey 7.2")
    (cache / "Valkey-7.2" / "bin" / "redis-server").unlink()
    assert main(["Valkey 7.2"]) == 1


@pytest.mark.slow
def test_a_run_is_judged_by_its_tests(cache: Path, tmp_path: Path) -> None:
    put(cache, "Redis 7.2")
    good = tmp_path / "test_good.py"
    good.write_text(
        "import shutil\ndef test_path(): assert 'Redis-7.2' in shutil.which('redis-server')\n"
    )
    bad = tmp_path / "test_bad.py"
    bad.write_text("def test_no(): assert False\n")
    server = Server("Redis 7.2")
    assert server.run([str(good), str(bad)], jobs="1") == (1, ["test_no"])
    assert server.run([str(tmp_path / "none.py")], jobs="1") == (0, [])


def test_the_results_are_of_servers_and_no_test_failed() -> None:
    results = json.loads(try_servers.RESULTS.read_text())
    assert results.keys() <= read_servers().keys()
    assert {name: result["failed"] for name, result in results.items() if result["failed"]} == {}
    assert all(result["passed"] for result in results.values())
