"""Threads end the wait of a worker's event loop."""

from __future__ import annotations

import select
import threading
from collections.abc import Generator, Iterator

import pytest
from kombu.asynchronous import Hub

from tasks.celery_support.consumer import Waker

Loop = Generator[None, None, None]


def is_woken(waker: Waker, seconds: float = 0) -> bool:
    return bool(select.select([waker._far], [], [], seconds)[0])


@pytest.fixture
def waker() -> Iterator[Waker]:
    waker = Waker()
    yield waker
    waker.close()


@pytest.fixture
def loop(waker: Waker) -> Iterator[Loop]:
    hub = Hub()
    waker.watch(hub)
    loop = hub.create_loop()
    yield loop
    loop.close()
    hub.close()


def test_a_thread_ends_the_wait_and_the_loop_waits_again_afterwards(
    waker: Waker, loop: Loop
) -> None:
    for _ in range(2):
        assert not is_woken(waker)
        threading.Thread(target=waker.wake).start()
        assert is_woken(waker, seconds=10)
        while is_woken(waker):
            next(loop)


def test_any_number_of_wakes_is_one(waker: Waker, loop: Loop) -> None:
    for _ in range(100_000):
        waker.wake()
    while is_woken(waker):
        next(loop)
