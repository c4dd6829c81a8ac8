"""What the manifests promise, read without a cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import redis
import requests
import yaml
from kombu import Connection

from connect_worker.cli import main
from connect_worker.devtools.embedded_redis import embedded_redis, find_server, free_port
from connect_worker.domain.states import RequestKind
from tests.unit.cli.metrics_exporter import serving
from tools.site import tables

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
KUSTOMIZATION = FOLDER / "kustomization.yaml"
OBJECTS: list[dict[str, Any]] = [
    item
    for file in sorted(FOLDER.glob("*.yaml"))
    if file != KUSTOMIZATION
    for item in yaml.safe_load_all(file.read_text())
]
NAMES = [f"{item['kind']} {item['metadata']['name']}" for item in OBJECTS]
#: What Kubernetes itself knows; the rest is declared by an extension.
EXTENSIONS = ("keda.sh/", "monitoring.coreos.com/")
PLAIN = [item for item in OBJECTS if not item["apiVersion"].startswith(EXTENSIONS)]
PARTS = ("worker", "beat", "flower", "metrics", "console", "webhook")


def named(kind: str, name: str) -> dict[str, Any]:
    return one_of(OBJECTS, kind, name)


def one_of(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    [found] = [item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def pod(part: str) -> dict[str, Any]:
    kind = "StatefulSet" if part == "redis" else "Deployment"
    template: dict[str, Any] = named(kind, f"connect-{part}")["spec"]["template"]
    return template


def container(part: str) -> dict[str, Any]:
    [found] = pod(part)["spec"]["containers"]
    return dict(found)


def variables(part: str) -> set[str]:
    return {item["name"] for item in container(part).get("env", ())}


def test_no_object_is_there_twice_or_names_a_namespace() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert not any("namespace" in item["metadata"] for item in OBJECTS)


@pytest.mark.parametrize("version", ["1.29", "1.32", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("one", PLAIN, ids=[f"{o['kind']}-{o['metadata']['name']}" for o in PLAIN])
def test_an_object_is_one_that_kubernetes_takes(one: dict[str, Any], version: str) -> None:
    # Strict: an unknown field is refused, too.
    kubernetes_validate.validate(one, version, strict=True)


def test_a_misspelt_field_would_be_noticed() -> None:
    wrong = {**named("PodDisruptionBudget", "connect-worker"), "spec": {"maxUnavailabel": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("part", [*PARTS, "redis"])
def test_a_container_may_do_no_more_than_in_compose(part: str) -> None:
    spec, context = pod(part)["spec"], container(part)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert context == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(part)["resources"]["limits"]["memory"]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_runs_the_image_as_its_user(part: str) -> None:
    [user] = re.findall(r"^USER (\d+):\1$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    context = pod(part)["spec"]["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(user))
    assert container(part)["image"] == COMPOSE["worker"]["image"]
    # The image's own folder for everything that is written.
    assert container(part)["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


@pytest.mark.parametrize("part", [*PARTS, "redis"])
def test_a_part_is_started_as_in_compose(part: str) -> None:
    compose = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in COMPOSE[part]["command"]]
    assert container(part)["args"] == compose


def test_the_exporter_is_started_by_a_command_that_there_is() -> None:
    python, flag, module, name, *options = container("metrics")["args"]
    assert (python, flag, module) == ("python", "-m", "connect_worker")
    chosen = main.commands[name].make_context(name, options).params
    assert [{"name": "metrics", "containerPort": chosen["port"]}] == container("metrics")["ports"]
    annotations = pod("metrics")["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(chosen["port"])


def test_each_setting_is_one_that_exists() -> None:
    table = (ROOT / "docs/configuration.md").read_text().partition("## All settings")[2]
    known = set(re.findall(r"`(CONNECT_\w+)`", table))
    given = set(named("ConfigMap", "connect-worker")["data"])
    given |= set(named("Secret", "connect-redis")["stringData"])
    for part in PARTS:
        given |= {name for name in variables(part) if not name.startswith("FLOWER_")}
    assert given <= known
    assert "CONNECT_API_KEY" not in named("ConfigMap", "connect-worker")["data"]


def test_flower_is_as_guarded_as_in_compose() -> None:
    of_compose = COMPOSE["flower"]["environment"]
    assert variables("flower") == {name for name in of_compose if name.startswith("FLOWER_")}
    for item in container("flower")["env"]:
        assert "valueFrom" in item or item["value"] == of_compose[item["name"]]
    port = container("flower")["ports"][0]["containerPort"]
    assert COMPOSE["flower"]["ports"][0].endswith(f":{port}")


def test_only_the_worker_gets_the_key() -> None:
    taken = {
        (part, item["valueFrom"]["secretKeyRef"]["key"])
        for part in (*PARTS, "redis")
        for item in container(part).get("env", ())
        if "valueFrom" in item
    }
    assert taken == {
        ("worker", "api-key"),
        ("flower", "flower-auth"),
        ("metrics", "service-user"),
        ("console", "service-user"),
        ("console", "console-password"),
        ("webhook", "service-user"),
        ("webhook", "webhook-secret"),
        ("redis", "redis-password"),
    }
    assert set(named("Secret", "connect-worker")["stringData"]) == {key for _, key in taken}


@pytest.mark.parametrize("part", PARTS)
def test_the_address_of_redis_with_its_password_is_in_a_secret(part: str) -> None:
    assert {"secretRef": {"name": "connect-redis"}} in container(part)["envFrom"]
    assert "CONNECT_REDIS_URL" not in named("ConfigMap", "connect-worker")["data"]
    assert urlsplit(named("Secret", "connect-redis")["stringData"]["CONNECT_REDIS_URL"]).password


def test_a_worker_has_time_to_finish() -> None:
    spec = named("Deployment", "connect-worker")["spec"]
    # As the Compose file's two minutes at least.
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 120


@pytest.mark.parametrize("part", ["worker", "webhook"])
def test_replicas_are_on_several_nodes_and_end_one_at_a_time(part: str) -> None:
    spec = named("Deployment", f"connect-{part}")["spec"]
    [spread] = spec["template"]["spec"]["topologySpreadConstraints"]
    budget = named("PodDisruptionBudget", f"connect-{part}")["spec"]
    assert budget["selector"] == spread["labelSelector"] == spec["selector"]
    assert budget["maxUnavailable"] == 1


@pytest.mark.parametrize("part", [*PARTS, "redis"])
def test_a_selector_finds_its_own_pods_only(part: str) -> None:
    kind = "StatefulSet" if part == "redis" else "Deployment"
    selector = named(kind, f"connect-{part}")["spec"]["selector"]["matchLabels"]
    assert selector == pod(part)["metadata"]["labels"]
    assert selector["app.kubernetes.io/component"] == part


@pytest.mark.parametrize("part", ["flower", "console", "webhook", "metrics", "redis"])
def test_a_service_leads_to_the_port_that_its_pods_listen_on(part: str) -> None:
    service = named("Service", f"connect-{part}")["spec"]
    assert service["selector"] == pod(part)["metadata"]["labels"]
    [port] = service["ports"]
    [own] = container(part)["ports"]
    assert own["containerPort"] == port["targetPort"]


def test_workers_are_scaled_by_the_queues_that_there_are() -> None:
    scaled = named("ScaledObject", "connect-worker")["spec"]
    assert scaled["scaleTargetRef"]["name"] == "connect-worker"
    assert "replicas" not in named("Deployment", "connect-worker")["spec"]
    assert 1 <= scaled["minReplicaCount"] <= scaled["maxReplicaCount"]
    asked = [trigger["metadata"]["valueLocation"] for trigger in scaled["triggers"]]
    queues = [*map(str, RequestKind), "control"]
    assert asked == [f'connect_worker_queue_messages{{queue="{queue}"}}' for queue in queues]
    # With two replicas at least, KEDA's own `cooldownPeriod` would have no effect.
    assert "cooldownPeriod" not in scaled
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "made-by-keda"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "connect-worker"},
            "maxReplicas": scaled["maxReplicaCount"],
            "behavior": behavior,
        },
    }
    kubernetes_validate.validate(scaler, kubernetes_validate.latest_version(), strict=True)
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300


def test_workers_are_scaled_by_all_that_waits_whatever_its_priority() -> None:
    triggers = named("ScaledObject", "connect-worker")["spec"]["triggers"]
    port = named("Service", "connect-metrics")["spec"]["ports"][0]["port"]
    waiting = {}
    with embedded_redis() as redis_url:
        with Connection(redis_url) as broker:
            producer = broker.Producer()
            for number, kind in enumerate(RequestKind, start=1):
                for priority in [0, 3, 6, 9] * number:
                    producer.publish({}, routing_key=kind.value, priority=priority)
        with serving(redis_url) as url:
            for trigger in triggers:
                asked = trigger["metadata"]
                assert (trigger["type"], asked["format"]) == ("metrics-api", "prometheus")
                assert urlsplit(asked["url"]).path == urlsplit(url).path
                host = urlsplit(asked["url"]).netloc
                assert re.fullmatch(rf"connect-metrics\.[a-z]+\.svc:{port}", host)
                # As KEDA does: it takes the value of the line with these labels.
                answer = requests.get(url, headers={"Host": host}, timeout=30)
                [line] = [
                    line
                    for line in answer.text.splitlines()
                    if line.startswith(f"{asked['valueLocation']} ")
                ]
                waiting[asked["valueLocation"].split('"')[1]] = float(line.split()[-1])
    numbers = {kind.value: 4.0 * number for number, kind in enumerate(RequestKind, start=1)}
    assert waiting == {**numbers, "control": 0.0}


@pytest.mark.parametrize("part", [*PARTS, "redis"])
def test_a_container_that_hangs_is_started_again(part: str) -> None:
    assert container(part)["livenessProbe"]


def kustomized(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return list(yaml.safe_load_all(done.stdout))


def test_the_kustomization_knows_each_manifest() -> None:
    """The example of a Secret aside: it would replace the real one."""
    listed = re.findall(r"^  (?:# )?- ([\w-]+\.yaml)$", KUSTOMIZATION.read_text(), re.MULTILINE)
    there = {file.name for file in FOLDER.glob("*.yaml")}
    assert sorted(listed) == sorted(there - {KUSTOMIZATION.name, "secret.example.yaml"})


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize("with_all", [False, True], ids=["as it is", "with the optional parts"])
def test_the_kustomization_builds_what_the_manifests_say(with_all: bool, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "own")
    text = KUSTOMIZATION.read_text()
    if with_all:
        text = re.sub(r"^  # - (?=\w+\.yaml$)", "  - ", text, flags=re.MULTILINE)
    (tmp_path / "own" / KUSTOMIZATION.name).write_text(text)
    built = kustomized(tmp_path / "own")
    names = [f"{item['kind']} {item['metadata']['name']}" for item in built]
    if with_all:
        assert sorted(names) == sorted(name for name in NAMES if not name.startswith("Secret"))
    # Without the optional parts there is no Secret, and nothing of an extension.
    assert set(names) <= set(NAMES)
    [image] = yaml.safe_load(text)["images"]
    for item in built:
        if item["kind"] != "Deployment":
            continue
        pod_spec = item["spec"]["template"]["spec"]
        [one] = pod_spec["containers"]
        assert one["image"] == f"{image['newName']}:{image['newTag']}"
        assert {mount["name"] for mount in one["volumeMounts"]} == {"tmp", "redis-ca"}
        [ca] = [volume for volume in pod_spec["volumes"] if volume["name"] == "redis-ca"]
        assert ca["secret"]["optional"] is True
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)
    assert one_of(built, "Deployment", "connect-worker")["spec"]["replicas"] == 2


def test_the_rules_of_the_manifest_are_those_of_prometheus() -> None:
    assert (ROOT / tables.MANIFEST).read_text() == tables.with_rules(), "run `make tables`"
    rules = yaml.safe_load((ROOT / tables.RULES).read_text())
    assert named("PrometheusRule", "connect-worker")["spec"] == rules


def test_prometheus_finds_the_exporter_under_the_name_that_the_rules_know() -> None:
    monitor = named("PodMonitor", "connect-metrics")["spec"]
    labels = pod("metrics")["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"] == labels
    assert labels[monitor["jobLabel"]] == "connect-worker"
    [endpoint] = monitor["podMetricsEndpoints"]
    assert endpoint["port"] in [port["name"] for port in container("metrics")["ports"]]


def test_redis_asks_for_the_password(tmp_path: Path) -> None:
    """Its command, with the machine's own server in the image's place."""
    (tmp_path / "redis-server").symlink_to(find_server())
    port = free_port()
    command = [*container("redis")["command"], *container("redis")["args"]]
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        [*command, "--port", str(port), "--dir", str(tmp_path)],
        env={"PATH": path, "REDISCLI_AUTH": "a long password"},
        stdout=subprocess.DEVNULL,
    ) as server:
        try:
            give_up = time.monotonic() + 30
            while True:
                try:
                    with (
                        redis.Redis(port=port) as stranger,
                        pytest.raises(redis.AuthenticationError),
                    ):
                        stranger.ping()
                    break
                except redis.ConnectionError:
                    assert time.monotonic() < give_up
                    time.sleep(0.05)
            with redis.Redis(port=port, password="a long password") as client:
                assert client.ping()
                assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert "password" not in Path(f"/proc/{server.pid}/cmdline").read_text()
        finally:
            # The shell has become the server: it ends in order.
            server.terminate()
    assert server.returncode == 0


def test_redis_is_the_image_of_compose() -> None:
    assert COMPOSE["redis"]["image"] == f"${{REDIS_IMAGE:-{container('redis')['image']}}}"


def outgoing(part: str) -> list[dict[str, Any]]:
    """The rules that let a pod connect to others; network policies add up."""
    labels = pod(part)["metadata"]["labels"]
    rules: list[dict[str, Any]] = []
    for policy in (item["spec"] for item in OBJECTS if item["kind"] == "NetworkPolicy"):
        if selects(policy["podSelector"], labels) and "Egress" in policy["policyTypes"]:
            rules += policy["egress"] or [{}]
    assert rules, f"{part} may connect to everything"
    return rules


@pytest.mark.parametrize("part", [*PARTS, "redis"])
def test_a_pod_accepts_only_who_uses_it(part: str) -> None:
    """The TLS proxy where there are pages; Prometheus, KEDA and Connect's notifications."""
    labels = pod(part)["metadata"]["labels"]
    rules = [
        rule
        for policy in (item["spec"] for item in OBJECTS if item["kind"] == "NetworkPolicy")
        if "Ingress" in policy["policyTypes"] and selects(policy["podSelector"], labels)
        for rule in policy["ingress"]
    ]
    own = [port["containerPort"] for port in container(part).get("ports", ())]
    for rule in rules:
        assert set(own) <= {port["port"] for port in rule["ports"]}
    proxies = [
        peer["podSelector"] for rule in rules for peer in rule["from"] if "podSelector" in peer
    ]
    nginx = {"app.kubernetes.io/name": "ingress-nginx"}
    assert any(selects(proxy, nginx) for proxy in proxies) == (part in ("flower", "console"))
    assert bool(rules) == bool(own)


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a selector takes a pod with these labels."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        (labels.get(item["key"]) in item["values"]) == (item["operator"] == "In")
        for item in selector.get("matchExpressions", ())
    )


@pytest.mark.parametrize("part", [*PARTS, "redis"])
def test_a_pod_connects_only_to_what_it_needs(part: str) -> None:
    ports = sorted({port["port"] for rule in outgoing(part) for port in rule.get("ports", ())})
    # Names and Redis; workers also Connect, by HTTPS.
    assert ports == {"worker": [53, 443, 6379], "redis": []}.get(part, [53, 6379])
    for rule in outgoing(part):
        blocks = [peer["ipBlock"] for peer in rule.get("to", ()) if "ipBlock" in peer]
        # The addresses where clouds serve credentials.
        assert all(block["except"] for block in blocks)
        assert bool(blocks) is ([port["port"] for port in rule.get("ports", ())] == [443])
