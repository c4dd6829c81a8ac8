"""What the Compose file and the Dockerfile promise, read without Docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import click
import pytest
import yaml
from environs import Env
from flower.options import default_options

from connect_worker.cli import main
from connect_worker.sandbox.__main__ import main as sandbox_command
from connect_worker.sandbox.memory import DEFAULT_API_KEY
from connect_worker.settings import model

ROOT = Path(__file__).resolve().parents[2]
OURS = {"worker", "beat", "flower", "console", "webhook", "metrics", "sandbox"}
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
MANUAL = (ROOT / "docs" / "deployment.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2].strip() for line in DOCKERFILE if line.startswith(f"{name} ")]


def with_defaults(text: str) -> str:
    """Put in what Compose would when the environment is empty."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)


def connect_variables(service: str) -> set[str]:
    return {name for name in SERVICES[service]["environment"] if name.startswith("CONNECT_")}


def test_the_services_and_which_of_them_are_optional() -> None:
    assert set(SERVICES) == {"redis", *OURS}
    profiles = {name: item["profiles"] for name, item in SERVICES.items() if "profiles" in item}
    assert profiles == {name: [name] for name in ("console", "webhook", "metrics", "sandbox")}


def test_redis_appends_to_a_file_on_a_volume_and_evicts_nothing() -> None:
    redis = SERVICES["redis"]
    arguments = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert arguments["--appendonly"] == "yes"
    assert arguments["--maxmemory-policy"] == "noeviction"
    assert redis["volumes"] == ["redis:/data"]
    assert "redis" in DOCUMENT["volumes"]


def test_redis_is_reached_only_from_a_network_without_a_way_out() -> None:
    assert SERVICES["redis"]["networks"] == ["ledger"]
    assert DOCUMENT["networks"]["ledger"] == {"internal": True}


def test_ports_are_published_on_the_loopback_address_only() -> None:
    published = {name: item["ports"] for name, item in SERVICES.items() if "ports" in item}
    assert set(published) == {"console", "flower", "metrics", "sandbox", "webhook"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_can_tell_its_health_is_asked(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize("name", sorted(OURS - {"sandbox"}))
def test_what_needs_redis_waits_until_it_is_healthy(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_containers_are_confined_and_come_back(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["mem_limit"]
    assert 0 < service["pids_limit"] <= 512
    assert service["tmpfs"] == ["/tmp:size=64m"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"]["max-size"]
    assert not {"privileged", "network_mode", "pid"} & set(service)


def test_our_services_share_one_image_and_gain_no_capability() -> None:
    assert {SERVICES[name]["image"] for name in OURS} == {"connect-worker"}
    # Several builds of one name would race: Docker's containerd store refuses the second.
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["worker"]
    # Compose 2 would ask Docker Hub for the image of the others.
    assert {SERVICES[name]["pull_policy"] for name in OURS} == {"never"}
    assert not any("cap_add" in SERVICES[name] or "user" in SERVICES[name] for name in OURS)


def test_a_worker_can_be_scaled() -> None:
    worker = SERVICES["worker"]
    assert not {"container_name", "hostname", "ports"} & set(worker)
    assert "stop_grace_period" in worker
    assert worker["init"] is True


def test_every_setting_reaches_the_service_that_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in connect_variables("worker") | connect_variables("beat"):
        monkeypatch.delenv(name, raising=False)
    env = Env(prefix="CONNECT_", eager=False)
    model.read_values(env)
    # Compose gives Flower its password as Flower itself reads it, or in a file.
    of_flower = {"CONNECT_CONSOLE_URL", "CONNECT_FLOWER_AUTH_FILE"}
    known = {name for name in env.dump() if "_FLOWER_AUTH" not in name}
    of_the_schedule = {name for name in known if re.search("_(POLL|SWEEP)_", name)}
    parts = "_(REDIS|BROKER)_URL|_SENTINEL_|_PREFIX|_ACCOUNTS|_QUEUES"
    of_redis = {name for name in known if re.search(parts, name)}
    of_each = {"CONNECT_LOG_FORMAT", "CONNECT_HEARTBEAT_FILE"}
    assert connect_variables("beat") == of_the_schedule | of_redis | of_each
    of_the_console = {name for name in known if re.search("_(CONSOLE|FLOWER|TRUSTED)_", name)}
    validation = {"CONNECT_VALIDATION_SECONDS"}
    of_others = {"CONNECT_SWEEP_SECONDS"} | validation | of_the_console
    assert connect_variables("worker") == known - of_others
    of_flower |= {"CONNECT_FLOWER_URL", "CONNECT_TRUSTED_PROXIES", "CONNECT_LOG_FORMAT"}
    assert connect_variables("flower") == of_redis | of_flower
    documented = {"CONNECT_MAX_CALLS_PER_SECOND", "CONNECT_KEEP_DAYS", "CONNECT_LOG_FORMAT"}
    account = {"CONNECT_ACCOUNTS", "CONNECT_API_URL", "CONNECT_API_KEY"}
    ledger = account | {name for name in known if re.search("_REDIS_URL|_SENTINEL_|_PREFIX", name)}
    polls = of_the_schedule - {"CONNECT_SWEEP_SECONDS"}
    encryption = {"CONNECT_ENCRYPTION_KEY", "CONNECT_ENCRYPTION_KEY_FILE"}
    assert connect_variables("console") == of_the_console | documented | ledger | polls | encryption
    of_webhooks = {"CONNECT_WEBHOOK_SECRET", "CONNECT_WEBHOOK_SECRET_FILE"}
    others = {"CONNECT_LEASE_SECONDS", "CONNECT_LOG_FORMAT", "CONNECT_TRUSTED_PROXIES"}
    others |= {"CONNECT_PROCESSORS"} | validation
    assert connect_variables("webhook") == of_webhooks | of_redis | account | others
    assert connect_variables("metrics") == of_redis | account | polls | {"CONNECT_LOG_FORMAT"}


def test_the_console_is_started_by_a_command_that_there_is() -> None:
    python, flag, module, name, *options = SERVICES["console"]["command"]
    assert (python, flag, module) == ("python", "-m", "connect_worker")
    chosen = main.commands[name].make_context(name, options).params
    assert SERVICES["console"]["ports"][0].endswith(f":{chosen['port']}")
    # Its address is not this machine's own: it starts with a password only.
    assert chosen["address"] == "0.0.0.0"
    assert SERVICES["console"]["environment"]["CONNECT_CONSOLE_PASSWORD"] is None


def test_the_receiver_is_started_by_a_command_that_there_is() -> None:
    python, flag, module, name, command, *options = SERVICES["webhook"]["command"]
    assert (python, flag, module) == ("python", "-m", "connect_worker")
    group = main.commands[name]
    assert isinstance(group, click.Group)
    chosen = group.commands[command].make_context(command, options).params
    assert SERVICES["webhook"]["ports"][0].endswith(f":{chosen['port']}")
    assert SERVICES["webhook"]["environment"]["CONNECT_WEBHOOK_SECRET"] is None


def test_the_exporter_is_started_by_a_command_that_there_is() -> None:
    python, flag, module, name, *options = SERVICES["metrics"]["command"]
    assert (python, flag, module) == ("python", "-m", "connect_worker")
    chosen = main.commands[name].make_context(name, options).params
    assert SERVICES["metrics"]["ports"][0].endswith(f":{chosen['port']}")


def test_images_are_pinned_by_digest_and_another_one_can_be_chosen() -> None:
    assert "PYTHON_IMAGE" in instructions("ARG")
    [base] = map(with_defaults, instructions("FROM"))
    assert SERVICES["worker"]["build"]["args"] == ["PYTHON_IMAGE"]
    redis = SERVICES["redis"]["image"]
    assert redis.startswith("${REDIS_IMAGE:-")
    for image in (base, with_defaults(redis)):
        assert re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", image)


def test_only_the_worker_gets_the_key() -> None:
    # The others need the part before the colon, under a name of its own.
    for name in ("console", "webhook", "metrics"):
        user = SERVICES[name]["environment"]["CONNECT_API_KEY"]
        assert user == f"${{{name.upper()}_SERVICE_USER:-}}"
    holders = {
        name
        for name, item in SERVICES.items()
        if any("API_KEY" in variable for variable in item.get("environment", {}))
    }
    assert holders == {"worker", "console", "webhook", "metrics"}
    assert SERVICES["worker"]["environment"]["CONNECT_API_KEY"] is None


def test_flower_is_read_only_behind_a_password_that_has_no_default() -> None:
    environment = SERVICES["flower"]["environment"]
    # Flower refuses to start without a password here: tests/acceptance/test_flower.py.
    assert with_defaults(environment["FLOWER_BASIC_AUTH"]) == "connect:"
    assert environment["FLOWER_ADDRESS"] == "0.0.0.0"
    assert environment["FLOWER_READ_ONLY"] == "true"
    assert environment["FLOWER_UNAUTHENTICATED_API"] == "false"


def test_the_installed_flower_knows_the_options() -> None:
    # It ignores a variable that it does not know; an older one would not be read-only.
    options = {name.removeprefix("FLOWER_").lower() for name in SERVICES["flower"]["environment"]}
    options = {name for name in options if not name.startswith("connect_")}
    assert all(name in default_options for name in options - {"unauthenticated_api"})


def test_the_sandbox_understands_its_command_line() -> None:
    command = [with_defaults(word) for word in SERVICES["sandbox"]["command"]]
    assert command[:3] == ["python", "-m", "connect_worker.sandbox"]
    chosen = sandbox_command.make_context("sandbox", command[3:]).params
    assert (chosen["host"], chosen["port"]) == ("0.0.0.0", 8800)


def test_the_manual_names_every_variable_of_the_file_and_the_sandbox_key() -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    used |= set(SERVICES["worker"]["build"]["args"])
    assert {name for name in used if name not in MANUAL} == set()
    assert f"CONNECT_API_KEY={DEFAULT_API_KEY}\n" in MANUAL


def test_the_image_runs_as_nobody_special_and_without_a_shell() -> None:
    user = instructions("USER")[-1].partition(":")[0]
    assert int(user) > 0
    assert len(cast("list[str]", yaml.safe_load(instructions("CMD")[0]))) > 1


def test_the_image_installs_wheels_by_hash() -> None:
    (install,) = [line for line in instructions("RUN") if line.startswith("pip ")]
    expected = {"--require-hashes", "--only-binary=:all:", "requirements/worker.txt"}
    assert expected <= set(install.split())


def test_what_the_image_copies_is_there_and_nothing_else_is_sent() -> None:
    copied = {word for line in instructions("COPY") for word in line.split()[:-1]}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)
