from __future__ import annotations

from pathlib import Path

import pytest

from connect_worker.devtools.stack import SandboxAddress, base_environment, worker_environment
from connect_worker.settings.model import Settings


def test_nothing_of_the_users_account_reaches_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECT_CONFIG_FILE", "/real/config.json")
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://real/0")
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "me:secret")
    monkeypatch.setenv("VENDOR_URL", "https://real.example")
    monkeypatch.setenv("no_proxy", "intranet")
    monkeypatch.setenv("PYTHONPATH", "/mine")

    found = base_environment(tmp_path, tmp_path / "logs")

    assert not [name for name in found if name.startswith(("CONNECT_", "CELERY_", "FLOWER_"))]
    assert "VENDOR_URL" not in found
    assert found["NO_PROXY"].startswith("127.0.0.1")
    assert found["PYTHONPATH"] == f"{tmp_path}:/mine"
    assert "PATH" in found


def test_the_workers_settings_are_the_sandboxs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = SandboxAddress("http://127.0.0.1:1", "http://127.0.0.1:1/public/v1", "SU-1:key")
    environment = worker_environment({}, redis_url="redis://127.0.0.1:2/0", sandbox=address)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    settings = Settings.from_env(dotenv=None)

    assert (settings.api_url, settings.api_key) == (address.api_url, address.api_key)
    assert settings.broker_url == settings.redis_url == "redis://127.0.0.1:2/0"
    assert len(settings.processors) == 4
    assert environment["VENDOR_URL"] == "http://127.0.0.1:1/vendor"
