"""Runs of the whole product, judged by the sandbox and by what Flower shows."""

from __future__ import annotations

from typing import Any

from .stack import Stack, assert_each_resolved_once

REQUESTS = 300
#: Enough for both workers to be in the middle of it when one is killed.
REQUESTS_BEFORE_KILL = 120


def run_undisturbed(stack: Stack, pool: str, concurrency: int) -> None:
    """Two workers, beat and Flower resolve all that waits."""
    stack.start_sandbox("--requests", str(REQUESTS))
    for name in ("one", "two"):
        stack.worker(name, "--pool", pool, "-c", str(concurrency))
    stack.start_flower()
    stack.celery("beat", "beat", "-l", "info")
    stack.until(stack.is_done, "every request is resolved", seconds=120)

    assert_each_resolved_once(stack.report())
    assert_flower_tells_the_story(stack)


def run_all_parts(stack: Stack, requests: int) -> None:
    """A sandbox with so many requests, Flower, a worker and beat: all that waits is resolved."""
    stack.start_sandbox("--requests", str(requests))
    stack.start_flower()
    stack.worker("worker", "-c", "2")
    stack.celery("beat", "beat", "-l", "info")
    stack.until(stack.is_done, "every request is resolved", seconds=90)
    assert_each_resolved_once(stack.report())
    stack.until(lambda: stack.flower("tasks"), "Flower shows jobs", seconds=60)


def run_with_a_kill(stack: Stack, pool: str, concurrency: int) -> None:
    """One of two workers is killed when a fifth is done."""
    stack.start_sandbox("--requests", str(REQUESTS_BEFORE_KILL), "--latency-ms", "20")
    for name in ("one", "two"):
        stack.worker(name, "--pool", pool, "-c", str(concurrency))
    stack.celery("beat", "beat", "-l", "info")
    stack.until(lambda: settled(stack) > REQUESTS_BEFORE_KILL // 5, "a fifth is done", seconds=120)
    stack.kill("one")
    assert settled(stack) < REQUESTS_BEFORE_KILL, "the kill came midway"
    stack.until(stack.is_done, "every request is resolved", seconds=120)

    assert_each_resolved_once(stack.report())


def settled(stack: Stack) -> int:
    totals = stack.report(summary=True)["totals"].values()
    return sum(sum(total["accepted"].values()) for total in totals)


def assert_flower_tells_the_story(stack: Stack) -> None:
    """Each request's job is there under its id and its kind's name, with what became of it."""
    stack.until(
        lambda: {job["state"] for job in jobs_in_flower(stack)} == {"SUCCESS"},
        "Flower has heard the end of each job",
        seconds=60,
    )
    jobs = jobs_in_flower(stack)
    assert {job["name"] for job in jobs} == {
        "process.fulfillment",
        "process.tier-config",
        "process.usage-file",
        "process.usage",
    }
    results: dict[str, list[str]] = {}
    for job in jobs:
        name = job["uuid"].rpartition(".")[0]
        assert job["args"] == f"('{name}',)"
        # A listing's name has its period behind it.
        request_id = name.partition("@")[0]
        results.setdefault(request_id, []).append(job["result"].strip("'"))
    for request_id, entry in stack.report()["requests"].items():
        if entry["scenario"] == "invalid":
            continue
        decided = [text for text in results[request_id] if "nothing to do" not in text]
        assert decided == [f"{entry['product']}: {_told(entry)}"]


def jobs_in_flower(stack: Stack) -> list[dict[str, Any]]:
    tasks: dict[str, dict[str, Any]] = stack.flower("tasks?limit=5000")
    # An event may arrive before the one that names its task.
    return [task for task in tasks.values() if str(task["name"]).startswith("process.")]


def _told(entry: dict[str, Any]) -> str:
    """What Flower shows for a request that ended so."""
    if entry["kind"] == "usage":
        return "reported"
    words = {"approve": "approved", "inquire": "inquired", "fail": "failed", "submit": "submitted"}
    return words[entry["accepted"][0]["action"]]
