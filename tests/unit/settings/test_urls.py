"""URLs of Redis and of the broker: what each library is given, and what is refused."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection

from connect_worker.exceptions import SettingsError
from connect_worker.ledger.redis import connect
from connect_worker.settings.model import Settings
from connect_worker.settings.urls import (
    celery_broker,
    describe_tls,
    refuse_celery_variables,
)


def read(monkeypatch: pytest.MonkeyPatch, url: str, name: str = "CONNECT_REDIS_URL") -> Settings:
    monkeypatch.setenv(name, url)
    return Settings.from_env(dotenv=None)


def refused(monkeypatch: pytest.MonkeyPatch, url: str, name: str = "CONNECT_REDIS_URL") -> str:
    with pytest.raises(SettingsError, match=name) as caught:
        read(monkeypatch, url, name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "reqs", "checks_name"),
    [
        ("rediss://r:6379/0", ssl.CERT_REQUIRED, True),
        ("rediss://r:6379/0?ssl_ca_certs=/ca.pem", ssl.CERT_REQUIRED, True),
        ("rediss://r/0?ssl_cert_reqs=CERT_REQUIRED", ssl.CERT_REQUIRED, True),
        ("rediss://r/0?ssl_cert_reqs=optional", ssl.CERT_OPTIONAL, True),
        ("rediss://r/0?ssl_check_hostname=False", ssl.CERT_REQUIRED, False),
        ("rediss://r/0?ssl_cert_reqs=none", ssl.CERT_NONE, False),
        ("rediss://r/0?ssl_cert_reqs=CERT_NONE", ssl.CERT_NONE, False),
    ],
)
def test_broker_and_ledger_verify_the_same(
    monkeypatch: pytest.MonkeyPatch, url: str, reqs: ssl.VerifyMode, checks_name: bool
) -> None:
    settings = read(monkeypatch, url)
    broker = celery_broker(settings.broker_url)
    # Celery makes its connections so.
    kombu_options: Any = Connection(broker.url, ssl=broker.use_ssl or False).ssl
    ledger = connect(settings.redis_url).connection_pool.make_connection()
    assert isinstance(ledger, redis.SSLConnection)
    assert kombu_options["ssl_cert_reqs"] == ledger.cert_reqs == reqs
    assert kombu_options["ssl_check_hostname"] == ledger.check_hostname == checks_name


def test_rabbitmq_verifies_certificate_and_name() -> None:
    broker = celery_broker("amqps://mq.example:5671//?ssl_ca_certs=/ca.pem&heartbeat=5")
    assert broker.url == "amqps://mq.example:5671//?heartbeat=5"
    assert broker.use_ssl == {
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": "/ca.pem",
        "server_hostname": "mq.example",
    }


def test_useful_parameters_reach_both_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch, "redis://r:6379?db=1&socket_timeout=20&socket_connect_timeout=3&protocol=3"
    )
    pool = connect(settings.redis_url).connection_pool.connection_kwargs
    assert (pool["db"], pool["socket_timeout"], pool["socket_connect_timeout"]) == (1, 20.0, 3.0)
    assert pool["protocol"] == 3
    broker = celery_broker(settings.broker_url)
    assert broker.url == "redis://r:6379/1"
    assert broker.transport_options == {"socket_timeout": 20.0, "socket_connect_timeout": 3.0}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://r:6379/abc", "a database that is no number"),
        ("redis://r:6379/0?db=1", "names two databases"),
        ("redis://r:6379/?db=one", "db=one, and it must be the number of a database"),
        ("redis://r:6379/0?protocol=4", "protocol=4, and it must be 2 or 3"),
        ("redis://r:6379/0?socket_timeout=soon", "it must be seconds, 0.1 or more"),
        ("redis://r:6379/0?socket_timeout=0", "it must be seconds, 0.1 or more"),
        ("redis://r:6379/0?socket_timeout=nan", "it must be seconds, 0.1 or more"),
        ("redis://r:6379/0?color=red", "the unknown parameter 'color': use db, protocol"),
        ("redis://r:6379/0?ssl_cert_reqs=none", "use rediss:// for TLS"),
        ("rediss://r:6379/0?ssl_cert_reqs=maybe", "it must be required, optional or none"),
        ("rediss://r:6379/0?ssl_check_hostname=maybe", "it must be true or false"),
        ("unix:///r.sock?socket_timeout=1", "use db, or none"),
        ("redis://user:12/half-a-password@r:6379/0", "quote special characters of a password"),
    ],
)
def test_a_malformed_url_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    message = refused(monkeypatch, url)
    assert says in message
    assert "half-a-password" not in message


def test_a_brokers_url_is_checked_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(monkeypatch, "amqp://mq//?ssl_cert_reqs=none", "CONNECT_BROKER_URL")
    assert "use heartbeat, or none" in message


@pytest.mark.parametrize(
    "name",
    [
        "CELERY_BROKER_URL",
        "CELERY_BROKER_READ_URL",
        "CELERY_BROKER_WRITE_URL",
        "CELERY_RESULT_BACKEND",
    ],
)
def test_a_variable_that_celery_prefers_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    refuse_celery_variables()
    monkeypatch.setenv(name, "redis://elsewhere/0")
    with pytest.raises(SettingsError, match=f"{name} is set, and Celery would use it"):
        refuse_celery_variables()


@pytest.mark.parametrize(
    ("url", "is_verified", "says"),
    [
        ("redis://r/0", True, ""),
        ("rediss://r/0", True, "TLS: certificate and host name are verified"),
        ("rediss://r/0?ssl_cert_reqs=none", False, "the certificate is not verified"),
        ("amqps://r//?ssl_check_hostname=no", False, "the host name is not verified"),
    ],
)
def test_a_sentence_says_what_is_verified(url: str, is_verified: bool, says: str) -> None:
    verified, text = describe_tls(url)
    assert verified is is_verified
    assert says in text
    assert bool(says) == bool(text)


@pytest.mark.parametrize(
    ("content", "is_refused"),
    [
        ("CONNECT_PAGE_SIZE=7\n".encode("utf-16"), True),
        ("CONNECT_PAGE_SIZE=7\n".encode("utf-16-le"), True),
        ("# é\nCONNECT_PAGE_SIZE=7\n".encode("latin-1"), True),
        ("CONNECT_PAGE_SIZE=7\n".encode("utf-8-sig"), False),
    ],
)
def test_the_encoding_of_an_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, is_refused: bool
) -> None:
    monkeypatch.setenv("CONNECT_PAGE_SIZE", "")
    monkeypatch.delenv("CONNECT_PAGE_SIZE")
    file = tmp_path / "settings.env"
    file.write_bytes(content)
    if is_refused:
        with pytest.raises(SettingsError, match=r"settings\.env is not UTF-8 text"):
            Settings.from_env(dotenv=str(file))
    else:
        assert Settings.from_env(dotenv=str(file)).page_size == 7
