"""Who reaches a web page: known hosts, addresses behind proxies, wrong passwords."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from connect_worker._web_access import (
    MAX_ADDRESSES,
    MAX_WRONG,
    MAX_WRONG_AT_ALL,
    MAX_WRONG_PER_ADDRESS,
    WINDOW_SECONDS,
    Throttle,
    client_address,
    is_known_host,
)
from tests.support.ledger_factories import Clock


def test_a_host_is_known_by_the_consoles_address() -> None:
    url = "https://Console.example.com:8443/"
    assert is_known_host("console.example.com", url)
    assert is_known_host("CONSOLE.example.com:8443", url)
    assert not is_known_host("console.example.com.evil.example", url)
    assert not is_known_host("user@evil.example", url)
    assert not is_known_host("", "")


def test_a_name_inside_of_the_network_is_known_where_it_may_be() -> None:
    for name in ("metrics", "metrics:9808", "metrics.prod.svc", "x.internal", "a.cluster.local"):
        assert is_known_host(name, has_internal_names=True)
        assert not is_known_host(name)
    for name in ("metrics.example.com", "local.example", "svc.", ".", ""):
        assert not is_known_host(name, has_internal_names=True), name


PROXIES = (ip_network("10.0.0.0/24"), ip_network("127.0.0.1/32"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.7", "", "10.0.0.7"),
        ("10.0.0.7", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.7", "198.51.100.1, 10.0.0.8", "198.51.100.1"),
        ("::ffff:10.0.0.7", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:db8::5", "2001:db8::5"),
        # Some proxies name the port.
        ("10.0.0.7", "198.51.100.1:4711, 10.0.0.8:80", "198.51.100.1"),
        ("10.0.0.7", "[2001:db8::5]:4711", "2001:db8::5"),
        ("10.0.0.7", "fe80::1%<b>", "fe80::1"),
        # What stands before the last stranger was written by the stranger.
        ("10.0.0.7", "127.0.0.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.7", "x, 198.51.100.1", "198.51.100.1"),
        # Nobody else is believed.
        ("198.51.100.9", "198.51.100.1", "198.51.100.9"),
        ("10.0.0.7", "unknown", "10.0.0.7"),
        ("10.0.0.7", "<b>", "10.0.0.7"),
        ("", "198.51.100.1", ""),
        ("10.0.0.7", "198.51.100.1," + "10.0.0.8," * 30_000 + "10.0.0.8", "10.0.0.8"),
    ],
)
def test_a_visitors_address_is_what_a_trusted_proxy_says(
    peer: str, forwarded: str, expected: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == expected
    assert client_address(peer, forwarded, ()) == peer


def test_wrong_passwords_count_for_a_minute() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    for _ in range(MAX_WRONG_PER_ADDRESS):
        assert throttle.wait_seconds("a") == 0
        throttle.record_wrong("a")
    assert throttle.wait_seconds("a") == WINDOW_SECONDS
    assert throttle.wait_seconds("b") == 0
    clock.step(WINDOW_SECONDS - 1)
    assert throttle.wait_seconds("a") == pytest.approx(1)
    clock.step(1)
    assert throttle.wait_seconds("a") == 0


def test_many_addresses_together_slow_down_strangers_and_lock_out_nobody() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    throttle.record_right("10.1.0.1")
    for number in range(MAX_WRONG):
        throttle.record_wrong(f"10.0.0.{number % 12}")
    assert throttle.wait_seconds("10.1.0.1") == 0
    assert throttle.wait_seconds("10.0.1.1") == 0
    throttle.record_wrong("10.0.1.1")
    # One try a minute is left to a stranger, and five to who signed in before.
    assert throttle.wait_seconds("10.0.1.1") == WINDOW_SECONDS
    for _ in range(MAX_WRONG_PER_ADDRESS):
        assert throttle.wait_seconds("10.1.0.1") == 0
        throttle.record_wrong("10.1.0.1")
    assert throttle.wait_seconds("10.1.0.1") == WINDOW_SECONDS
    clock.step(WINDOW_SECONDS)
    assert throttle.wait_seconds("10.0.1.1") == throttle.wait_seconds("10.1.0.1") == 0


def test_a_horde_of_addresses_has_a_limit_and_so_has_the_memory() -> None:
    throttle = Throttle(clock=Clock())
    throttle.record_right("10.1.0.1")
    tried = 0
    for number in range(2 * MAX_WRONG_AT_ALL):
        address = f"2001:db8:0:{number:x}::1"
        if not throttle.wait_seconds(address):
            throttle.record_wrong(address)
            tried += 1
    assert tried == MAX_WRONG_AT_ALL == len(throttle._wrong)
    assert throttle.wait_seconds("10.1.0.1") == 0
    for number in range(2 * MAX_ADDRESSES):
        throttle.record_right(f"10.2.{number >> 8}.{number & 255}")
    assert len(throttle._known) == MAX_ADDRESSES
    assert throttle.wait_seconds("10.1.0.1") == WINDOW_SECONDS


def test_an_ipv6_network_counts_as_one_address() -> None:
    throttle = Throttle(clock=Clock())
    for number in range(MAX_WRONG_PER_ADDRESS):
        throttle.record_wrong(f"2001:db8::{number:x}")
    assert throttle.wait_seconds("2001:db8::ffff") == WINDOW_SECONDS
    assert throttle.wait_seconds("2001:db8:0:1::ffff") == 0
    for address in ("", "fe80::1%eth0", "::ffff:10.0.0.1"):
        throttle.record_wrong(address)
