"""Many jobs in one process: nothing is shared that one of them changes, and no import is felt."""

from __future__ import annotations

import importlib
import json
import logging
import pkgutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import Enum
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from marshmallow import Schema

import connect_worker
from connect_worker.api import Client as ConnectClient
from connect_worker.config import Config
from connect_worker.domain.states import RequestKind, State, idempotency_key
from connect_worker.exceptions import SubmitUsageFile
from connect_worker.logger import log_context
from connect_worker.models import ActivationTileResponse, UsageFile, UsageRecord
from connect_worker.observability.logging import ContextFilter
from connect_worker.resources import FulfillmentAutomation
from connect_worker.resources.automation import Automation
from tests.support.engine_harness import EngineHarness, automation
from tests.support.sandbox_server import API_KEY, Client, running_sandbox

REPOSITORY = Path(__file__).parents[2]
THREADS = 100


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Client]:
    with running_sandbox("--requests", "40", "--fulfillment", str(THREADS + 5)) as client:
        yield client


def harness(sandbox: Client, mine: type[Automation[Any]]) -> EngineHarness:
    """A workplace whose calls are as patient as a worker's: a hundred at once take their time."""
    opened = EngineHarness(sandbox, mine)
    config = Config.local(f"{sandbox.root}/public/v1", API_KEY)
    client = ConnectClient(config.api_url, config.api_key)
    opened.engine = replace(opened.engine, connect=client)
    return opened


class Kept(logging.Handler):
    """Keeps the records, with the facts that were bound when they were made."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(ContextFilter())
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


# ---- a hundred threads


def test_a_hundred_threads_with_one_automation_have_each_their_own_request(
    sandbox: Client,
) -> None:
    all_are_inside = threading.Barrier(THREADS, timeout=60)
    made: list[Any] = []
    seen: dict[str, tuple[Any, ...]] = {}

    def begin(self: Any, config: Config) -> None:
        FulfillmentAutomation.__init__(self, config)
        made.append(self)

    def process(self: Any, request: Any) -> Any:
        self.current, own = request.id, request
        self.logger.info("begun %s", request.id)
        all_are_inside.wait()
        param = request.asset.params[0]
        param.value_error = f"about {request.id}"
        self.logger.info("going on %s", request.id)
        all_are_inside.wait()
        account = Config.get_instance() is self.config
        facts = (self.current, own.asset.params[0].value_error, log_context()["request"], account)
        seen[request.id] = (*facts, self.idempotency_key, self.attempt)
        return ActivationTileResponse(f"# {self.current}")

    opened = harness(sandbox, automation(process, __init__=begin))
    opened.poll()
    refs = [opened.messages.popleft() for _ in range(THREADS)]
    kept, log = Kept(), logging.getLogger("connect_worker")
    before = log.level
    log.addHandler(kept)
    log.setLevel(logging.INFO)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            ended = list(pool.map(opened.handle, refs))
    finally:
        log.removeHandler(kept)
        log.setLevel(before)

    assert Counter(handled.text for handled in ended) == {"approved": THREADS}
    assert seen == {
        ref.id: (ref.id, f"about {ref.id}", ref.id, True, idempotency_key("test", ref, "1"), 1)
        for ref in refs
    }
    assert len(made) == 1
    assert "current" not in vars(made[0])
    lines = [r for r in kept.records if str(r.msg).startswith(("begun", "going on"))]
    assert len(lines) == 2 * THREADS
    assert all(vars(record)["facts"]["request"] in record.getMessage() for record in lines)
    for ref in refs:
        [outcome] = opened.seen(ref)["accepted"]
        assert outcome["body"] == {"activation_tile": f"# {ref.id}"}
        assert outcome["idempotency_key"] == idempotency_key("test", ref, "1")


# ---- state of classes


def own_classes() -> list[type]:
    """Every class of the package, nested ones included."""
    found: dict[type, None] = {}
    for module in pkgutil.walk_packages(connect_worker.__path__, "connect_worker."):
        queue = list(vars(importlib.import_module(module.name)).values())
        while queue:
            thing = queue.pop()
            is_ours = isinstance(thing, type) and thing.__module__.startswith("connect_worker")
            if is_ours and thing not in found:
                found[thing] = None
                queue += vars(thing).values()
    return list(found)


def copied(value: Any) -> Any:
    return type(value)(value) if type(value) in (list, dict, set) else value


def state_of(classes: list[type]) -> dict[str, Any]:
    return {
        f"{owner.__module__}.{owner.__qualname__}.{name}": copied(value)
        for owner in classes
        for name, value in vars(owner).items()
        # Where `copy` notes down what it has found out about a class.
        if name != "__slotnames__"
    }


def test_no_class_holds_anything_that_could_be_changed_by_mistake() -> None:
    # A class's lists and mappings are those that Python's enumerations, marshmallow's schemas and
    # the declaration of models make once, when the class is made.
    declared = ("_attributes", "_by_key", "_aliases")
    held = [
        f"{owner.__module__}.{owner.__qualname__}.{name}"
        for owner in own_classes()
        if not issubclass(owner, (Enum, Schema))
        for name, value in vars(owner).items()
        if isinstance(value, (list, dict, set, bytearray))
        and not (name.startswith("__") or name in declared)
    ]
    assert held == []


def approve(self: Any, request: Any) -> Any:
    self.touched = request.id
    return ActivationTileResponse("# Hello")


def report(self: Any, request: Any) -> Any:
    file = UsageFile(name="Usage", product=request.product, contract=request.contract)
    records = UsageRecord(
        record_id="1",
        item_search_criteria="item.mpn",
        item_search_value=request.product.id,
        quantity=1,
        start_time_utc="2026-10-01 00:00:00",
        end_time_utc="2026-11-01 00:00:00",
        asset_search_criteria="asset.id",
        asset_search_value="AS-1",
    )
    return self.submit_usage(file, [records]).id


def submit(self: Any, request: Any) -> Any:
    raise SubmitUsageFile("Please")


@pytest.mark.parametrize(
    ("kind", "process", "scenario"),
    [
        (RequestKind.FULFILLMENT, approve, "purchase"),
        (RequestKind.TIER_CONFIG, approve, "setup"),
        (RequestKind.USAGE, report, "listed"),
        (RequestKind.USAGE_FILE, submit, "ready"),
    ],
)
def test_a_job_changes_no_class(
    sandbox: Client, kind: RequestKind, process: Any, scenario: str
) -> None:
    sandbox.control("POST", "requests", {"kind": kind.value, "scenario": scenario})
    mine = automation(process, kind)
    opened = harness(sandbox, mine)
    opened.poll()
    ref = opened.messages[-1]
    classes = own_classes()
    assert len(classes) > 150
    classes.append(mine)
    before = state_of(classes)

    opened.handle(ref)

    assert opened.entry(ref).state is State.COMPLETED
    assert state_of(classes) == before


# ---- imports


def run(code: str, cwd: Path) -> Any:
    """Run a program in a process of its own; gives what it printed, which is one JSON value."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        cwd=cwd,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


#: The libraries beneath come first: what their imports do (requests adds a filter of warnings) is
#: not ours.
LIBRARIES = "click, environs, marshmallow, openpyxl, redis, requests, rich.live, tornado.web"


def test_importing_every_module_changes_nothing_around_it(tmp_path: Path) -> None:
    code = f"""
    import importlib, json, logging, os, pkgutil, signal, sys, threading, warnings
    import {LIBRARIES}

    logging.basicConfig(level="ERROR")
    theirs = logging.getLogger("somebody.elses")
    theirs.setLevel("DEBUG")
    theirs.addHandler(logging.StreamHandler())
    worker = logging.getLogger("connect_worker")
    worker.setLevel("WARNING")

    def logger_state(log):
        return [repr(log.handlers), log.filters, log.level, log.disabled, log.propagate]

    def surroundings():
        names = ["", "somebody.elses", "connect_worker", *sorted(known)]
        signals = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
        return {{
            "loggers": [logger_state(logging.getLogger(name)) for name in names],
            "logging": [repr(thing) for thing in (
                logging.lastResort, logging.root.manager.disable, logging.getLoggerClass(),
                logging.getLogRecordFactory(), logging.raiseExceptions)],
            "warnings": [repr(warnings.filters), repr(warnings.showwarning)],
            "signals": repr(signals),
            "environment": dict(os.environ),
            "path": list(sys.path),
            "finders": repr([sys.meta_path, sys.path_hooks]),
            "hooks": repr([sys.excepthook, threading.excepthook, sys.stdout, sys.stderr]),
            "threads": repr(threading.enumerate()),
            "folder": os.getcwd(),
        }}

    known = list(logging.root.manager.loggerDict)
    before = surroundings()
    import connect_worker
    count = 0
    for module in pkgutil.walk_packages(connect_worker.__path__, "connect_worker."):
        importlib.import_module(module.name)
        count += 1
    after = surroundings()
    ours = [log for name, log in logging.root.manager.loggerDict.items() if "connect" in name]
    print(json.dumps([
        count > 140,
        [name for name in before if before[name] != after[name]],
        [log.name for log in ours if log is not worker and (log.handlers or log.level)],
        "connect" in sys.modules,
    ]))
    """
    assert run(code, tmp_path) == [True, [], [], False]


# ---- the configuration in force


def test_a_hundred_jobs_of_as_many_accounts_leave_no_configuration_behind(tmp_path: Path) -> None:
    code = f"""
    import json, threading
    from concurrent.futures import ThreadPoolExecutor
    from connect_worker.config import Config, use_config

    both = threading.Barrier({THREADS}, timeout=30)

    def job(number):
        config = Config.local(f"https://{{number}}.example.org", "key")
        with use_config(config):
            both.wait()
            return Config.get_instance() is config

    with ThreadPoolExecutor({THREADS}) as pool:
        own = list(pool.map(job, range({THREADS})))
    try:
        Config.get_instance()
    except OSError as error:
        print(json.dumps([all(own), error.filename.endswith("config.json")]))
    """
    assert run(code, tmp_path) == [True, True]
