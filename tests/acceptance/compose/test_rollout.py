"""The Compose file for real: several workers, two beats, one killed, all replaced one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import assert_each_resolved_once

from .project import Project, docker, running_project

pytestmark = [pytest.mark.compose]

REQUESTS, WORKERS = 600, 3


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with running_project(tmp_path, requests=REQUESTS, latency_ms=60) as project:
        yield project


def test_a_rollout_over_three_workers_and_two_beats_loses_and_doubles_nothing(
    project: Project,
) -> None:
    project.run("up", "--detach", "--scale", f"worker={WORKERS}", "--scale", "beat=2")
    project.until(lambda: 0 < project.waiting() < REQUESTS * 0.9, "some are done")

    killed, *others = project.containers("worker")
    docker("kill", "--signal", "KILL", killed)
    for container in others:
        # As an orchestrator does it: stopped, waited for, started again.
        docker("restart", "--time", "120", container)
    assert project.waiting(), "the rollout came midway"
    docker("restart", *project.containers("beat"))
    docker("restart", *project.containers("redis"))
    # Docker leaves what was killed by hand as it is.
    docker("start", killed)

    project.until(project.is_done, "all are done")
    assert len(project.containers("beat")) == 2
    workers = project.containers("worker")
    project.until(
        lambda: all(project.health(each) == "healthy" for each in workers), "all are healthy"
    )
    assert_each_resolved_once(project.report())
