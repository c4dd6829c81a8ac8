"""The tool that runs the fault suite with other versions of Celery, kombu and redis-py."""

from __future__ import annotations

import pytest

from tools.try_versions import COMBINATIONS, LOCK, parse, reason, requirements

SMALL_LOCK = """celery==5.6.3 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
celery-types==0.26.0 \\
    --hash=sha256:cc
cffi==2.1.1 ; platform_python_implementation == 'CPython' and sys_platform == 'win32' \\
    --hash=sha256:dd
kombu==5.7.0 \\
    --hash=sha256:ee
"""

CONFLICT = """INFO: pip is looking at multiple versions of celery[redis]
ERROR: Cannot install celery[redis]==5.7.0 and kombu==5.6.2
The conflict is caused by:
    The user requested kombu==5.6.2
    celery[redis] 5.7.0 depends on kombu>=5.7.0

ERROR: ResolutionImpossible: for help visit a page
"""


def test_the_versions_replace_those_of_the_lock_and_nothing_else_changes() -> None:
    assert requirements(SMALL_LOCK, parse("celery=5.7.0,kombu=5.7.1")).splitlines() == [
        "celery[redis]==5.7.0",
        "celery-types==0.26.0",
        "cffi==2.1.1 ; platform_python_implementation == 'CPython' and sys_platform == 'win32'",
        "kombu==5.7.1",
    ]


def test_a_package_that_the_lock_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="the lock has no cellery"):
        requirements(SMALL_LOCK, parse("cellery=5.7.0"))


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_each_default_combination_fits_the_lock(combination: str) -> None:
    lock = LOCK.read_text()
    chosen = requirements(lock, parse(combination)).splitlines()
    packages = [line for line in lock.splitlines() if not line.startswith(" ")]
    assert len(chosen) == len(packages)


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (CONFLICT, "The user requested kombu==5.6.2; celery[redis] 5.7.0 depends on kombu>=5.7.0"),
        ("Collecting celery\nERROR: no network\n", "ERROR: no network"),
        ("", ""),
    ],
)
def test_pips_own_reason_is_returned(output: str, why: str) -> None:
    assert reason(output) == why
