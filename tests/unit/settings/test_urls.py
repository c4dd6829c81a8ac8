"""URLs of Redis and of the broker: what each library is given, and what is refused."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection

from connect_worker.exceptions import SettingsError
from connect_worker.ledger.redis import connect
from connect_worker.observability.masking import mask_secrets
from connect_worker.settings.model import Settings
from connect_worker.settings.urls import (
    celery_broker,
    describe_tls,
    read_sentinels,
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
        ("sentinel://a,b/0", "lacks master_name: write sentinel://a:26379"),
        ("sentinel://a/0?master_name=", "it must be the name that the Sentinels have"),
        ("redis://a/0?master_name=orders", "unknown parameter 'master_name': use sentinel://"),
        ("sentinel://a;sentinel://b/0?master_name=x", "lacks master_name"),
        ("sentinel://a?master_name=x;sentinel://b?master_name=x", "in several URLs: use one"),
        ("sentinel://a,,b/0?master_name=x", "is no URL"),
        ("sentinel://a:99999/0?master_name=x", "is no URL"),
        ("sentinel://a/b?master_name=x", "a database that is no number"),
        ("sentinel://u:12/half-a-password@a/0?master_name=x", "quote special characters"),
        ("sentinel://a/0?master_name=x&ssl_cert_reqs=none", "use rediss+sentinel:// for TLS"),
        ("sentinel://a/0?master_name=x&sentinel_password=y", "use CONNECT_SENTINEL_PASSWORD"),
        ("rediss+sentinel://a/0?master_name=x&color=red", "sentinel_username"),
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


SENTINELS = "sentinel://me%40x:p%2Fw@a:26380,[::1],c/2?master_name=orders"


def test_broker_and_ledger_ask_the_same_sentinels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECT_SENTINEL_PASSWORD", "s&c/ret")
    settings = read(monkeypatch, f"{SENTINELS}&sentinel_username=me&socket_timeout=9")
    pool: Any = connect(settings.redis_url).connection_pool
    own = [sentinel.get_connection_kwargs() for sentinel in pool.sentinel_manager.sentinels]
    hosts = [("a", 26380), ("::1", 26379), ("c", 26379)]
    assert [(item["host"], item["port"]) for item in own] == hosts
    assert {(item["username"], item["password"]) for item in own} == {("me", "s&c/ret")}
    assert {(item["socket_timeout"], item["retry"]) for item in own} == {(5 / 3, None)}
    names = ("username", "password", "db", "socket_timeout", "socket_connect_timeout")
    primary = tuple(pool.connection_kwargs[name] for name in names)
    assert (pool.service_name, primary) == ("orders", ("me@x", "p/w", 2, 9.0, 5.0))

    broker = celery_broker(settings.broker_url)
    assert broker.use_ssl is None
    assert broker.url == ";".join(
        f"sentinel://me%40x:p%2Fw@{host}/2" for host in ("a:26380", "[::1]:26379", "c:26379")
    )
    own_options = {
        "username": "me",
        "password": "s&c/ret",
        "socket_timeout": 5 / 3,
        "socket_connect_timeout": 5 / 3,
        "retry": None,
    }
    assert broker.transport_options == {
        "master_name": "orders",
        "socket_timeout": 9.0,
        "sentinel_kwargs": own_options,
    }


def test_tls_is_for_the_sentinels_and_the_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch, "rediss+sentinel://a,b/0?master_name=orders&ssl_check_hostname=false"
    )
    pool: Any = connect(settings.redis_url).connection_pool
    broker = celery_broker(settings.broker_url)
    own = redis.Redis("a", **broker.transport_options["sentinel_kwargs"])
    connections = [
        pool.make_connection(),
        own.connection_pool.make_connection(),
        *(item.connection_pool.make_connection() for item in pool.sentinel_manager.sentinels),
    ]
    for connection in connections:
        assert isinstance(connection, redis.SSLConnection)
        assert (connection.cert_reqs, connection.check_hostname) == (ssl.CERT_REQUIRED, False)
    assert broker.use_ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": False}
    assert describe_tls(settings.redis_url)[0] is False


def test_no_text_has_a_password_of_sentinels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECT_SENTINEL_PASSWORD", "s&c/ret")
    settings = read(monkeypatch, SENTINELS)
    broker = celery_broker(settings.broker_url)
    conf = Celery(
        set_as_current=False, broker=broker.url, broker_transport_options=broker.transport_options
    ).conf
    sentinels = read_sentinels(settings.redis_url)
    shown = f"{settings} {broker} {sentinels} {conf.humanize(with_defaults=False)}"
    # As a worker answers `inspect conf`, and Flower shows it.
    shown += str(conf.table(with_defaults=False))
    assert "master_name" in shown
    assert mask_secrets(f"{settings.redis_url} s%26c%2Fret").count("***") == 3
    for word in ("s&c/ret", "s%26c", "p/w", "p%2Fw"):
        assert word not in shown
