"""Secrets given as files, as Docker and Kubernetes mount them; and none shown by a refusal."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_worker.exceptions import SettingsError
from connect_worker.observability.masking import mask_secrets
from connect_worker.settings.model import Settings

SECRET = "canary-0123456789"
VALUES = {
    "CONNECT_API_KEY": f"SU-111-222-333:{SECRET}",
    "CONNECT_REDIS_URL": f"rediss://worker:{SECRET}@redis.example:6380/0",
    "CONNECT_BROKER_URL": f"amqp://worker:{SECRET}@rabbit.example//",
}
ATTRIBUTES = {
    "CONNECT_API_KEY": "api_key",
    "CONNECT_REDIS_URL": "redis_url",
    "CONNECT_BROKER_URL": "broker_url",
}
each_secret = pytest.mark.parametrize("name", VALUES)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CONNECT_")]:
        monkeypatch.delenv(name)


def refused(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(dotenv=None)
    assert raised.value.setting in variables
    assert SECRET not in str(raised.value)
    return str(raised.value)


@each_secret
def test_a_secret_is_read_from_its_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{VALUES[name]}\n")
    monkeypatch.setenv(f"{name}_FILE", str(file))
    settings = Settings.from_env(dotenv=None)
    assert getattr(settings, ATTRIBUTES[name]) == VALUES[name]
    assert SECRET not in repr(settings)


@each_secret
def test_a_secret_given_both_ways_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(VALUES[name])
    said = refused(monkeypatch, **{name: VALUES[name], f"{name}_FILE": str(file)})
    assert said == f"settings refused: {name}_FILE: {name} is set too: remove one of the two"


@each_secret
def test_a_blank_variable_beside_its_file_is_none(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(VALUES[name])
    monkeypatch.setenv(name, " ")
    monkeypatch.setenv(f"{name}_FILE", str(file))
    assert getattr(Settings.from_env(dotenv=None), ATTRIBUTES[name]) == VALUES[name]


@each_secret
def test_a_file_that_is_not_there_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "missing"
    said = refused(monkeypatch, **{f"{name}_FILE": str(file)})
    assert said == f"settings refused: {name}_FILE: {file} can't be read: No such file or directory"


@each_secret
@pytest.mark.parametrize(
    ("content", "why"), [(b" \n", "is empty"), (b"\xff\xfe\x00", "it is not UTF-8 text")]
)
def test_a_file_without_a_secret_is_refused(
    name: str, content: bytes, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert why in refused(monkeypatch, **{f"{name}_FILE": str(file)})


def test_a_file_that_holds_no_redis_address_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    said = refused(monkeypatch, CONNECT_REDIS_URL_FILE=str(file))
    assert "must begin with redis://" in said


@pytest.mark.parametrize("name", ["CONNECT_REDIS_URL", "CONNECT_BROKER_URL"])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"redis://:{SECRET}?x@redis", "is no URL"),
        (f"redis://redis:6379/0?password={SECRET}", "has its password in the query"),
    ],
)
def test_an_address_that_would_show_its_password_is_refused(
    name: str, url: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why in refused(monkeypatch, **{name: url})


def test_what_was_read_is_hidden_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECT_REDIS_URL", "redis://:s3cret%2Fvalue@redis/0")
    Settings.from_env(dotenv=None)
    assert mask_secrets("AUTH s3cret/value, s3cret%2Fvalue") == "AUTH ***, ***"
    monkeypatch.setenv("CONNECT_API_URL", "http://127.0.0.1:9/public/v1")
    monkeypatch.setenv("CONNECT_API_KEY", "oddly-shaped-key")
    Settings.from_env(dotenv=None).config()
    assert mask_secrets("with oddly-shaped-key") == "with ***"


KEY = "gIuvm0RIKz5eGzO2yqcUwsCMkZ0iUe8jAa5yXr2bTno="


def test_keys_are_listed_with_commas_and_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    other = KEY.replace("gI", "-_")
    monkeypatch.setenv("CONNECT_ENCRYPTION_KEY", f" {KEY} ,{other},")
    settings = Settings.from_env(dotenv=None)
    assert settings.encryption_key == (KEY, other)
    assert KEY not in repr(settings)
    assert mask_secrets(f"{KEY} {other}") == "*** ***"


def test_plain_stands_for_values_without_encryption_and_is_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONNECT_ENCRYPTION_KEY", f"plain,{KEY}")
    assert Settings.from_env(dotenv=None).encryption_key == ("plain", KEY)
    assert mask_secrets("in plain words") == "in plain words"
    for text in ("plain", "plain,plain"):
        monkeypatch.setenv("CONNECT_ENCRYPTION_KEY", text)
        with pytest.raises(SettingsError, match="names no key: add one to 'plain', or remove it"):
            Settings.from_env(dotenv=None)
    monkeypatch.setenv("CONNECT_ENCRYPTION_KEY", " , ")
    with pytest.raises(SettingsError, match="names no key: add one, or remove the commas"):
        Settings.from_env(dotenv=None)


@pytest.mark.parametrize("wrong", ["secret", KEY[:-1], KEY + KEY, KEY.replace("gI", "g!")])
def test_a_key_that_is_none_is_refused_without_being_shown(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECT_ENCRYPTION_KEY", f"{KEY},{wrong}")
    with pytest.raises(SettingsError, match="CONNECT_ENCRYPTION_KEY: key 2 of 2") as raised:
        Settings.from_env(dotenv=None)
    assert raised.value.setting == "CONNECT_ENCRYPTION_KEY"
    assert wrong not in str(raised.value)


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder that any user may enter, while this process is a user without privileges."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    is_root = os.geteuid() == 0
    if is_root:
        os.setegid(10_001)
        os.seteuid(10_001)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
            os.setegid(0)
        shutil.rmtree(folder)


def test_a_file_of_another_user_is_explained(
    foreign_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = foreign_folder / "secret"
    user, group = os.geteuid(), os.getegid()
    if user == 10_001:
        os.seteuid(0)
        # As a password manager writes it on the host, and Compose mounts it into the container.
        file.write_text(VALUES["CONNECT_API_KEY"])
        file.chmod(0o600)
        os.chown(file, 0, 0)
        os.seteuid(user)
        owner = "user 0 (group 0) with mode 0600"
    else:
        file.write_text(VALUES["CONNECT_API_KEY"])
        file.chmod(0)
        owner = f"user {user} (group {group}) with mode 0000"
    assert refused(monkeypatch, CONNECT_API_KEY_FILE=str(file)) == (
        f"settings refused: CONNECT_API_KEY_FILE: {file} can't be read: this process runs as user "
        f"{user} (group {group}), and the file belongs to {owner}. Make it readable where it comes "
        f"from, such as with `chown {user}`"
    )
