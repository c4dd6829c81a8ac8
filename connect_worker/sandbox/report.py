"""Tells what happened: the judge of every test that uses the sandbox."""

from collections import Counter
from typing import Any

from connect_worker.sandbox.collection import Collection
from connect_worker.sandbox.simulation import exact
from connect_worker.sandbox.state import Request, World
from connect_worker.sandbox.usage import Listing

Json = dict[str, Any]


def full(world: World) -> Json:
    """The totals and one entry per request of the four kinds."""
    return {**summary(world), "requests": _entries(world), "vendor": _vendor(world, by_key=True)}


def summary(world: World) -> Json:
    """The totals only.

    ``totals`` holds per kind: ``count``, ``status`` (how many are where now), ``accepted`` (by
    action) and ``refused``; ``calls`` holds ``total``, ``by_route`` and ``by_status``.
    """
    journal, kinds = world.journal, world.collections()
    return {
        "at": exact(world.clock()),
        "totals": {kind: _totals(world, kind, held) for kind, held in kinds.items()},
        "calls": {
            "total": sum(journal.routes.values()),
            "by_route": dict(journal.routes),
            "by_status": {str(status): count for status, count in journal.statuses.items()},
        },
        "vendor": _vendor(world, by_key=False),
    }


def entry(world: World, record: Request) -> Json:
    """What happened to one request."""
    seen = world.journal.seen(record.id)
    tenants = world.vendor.of_request(record.id)
    shown: Json = {
        "id": record.id,
        "kind": record.kind,
        "type": record.type,
        "scenario": record.scenario,
        "product": record.product.id,
        "initial_status": world.initial_status[record.id],
        "status": record.status,
        "accepted": seen.accepted,
        "refused": seen.refused,
        "calls": dict(seen.calls),
        "messages": seen.messages,
        "params": seen.params,
        "events": seen.events,
        "vendor": {
            "effects": len(tenants),
            "calls": world.vendor.calls_by_request[record.id],
            "keys": [tenant.idempotency_key for tenant in tenants],
        },
    }
    if isinstance(record, Listing):
        shown["usage_files"] = [_usage_file(world, file_id) for file_id in seen.usage_files]
    return shown


def _entries(world: World) -> Json:
    return {
        record.id: entry(world, record)
        for collection in world.collections().values()
        for record in collection
    }


def _usage_file(world: World, file_id: str) -> Json:
    record = world.usage_files.get(file_id)
    return {
        "id": file_id,
        "name": record.name,
        "status": record.status,
        "uploads": record.uploads,
        "records": record.records_valid + record.records_invalid,
        "records_valid": record.records_valid,
        "records_invalid": record.records_invalid,
    }


def _totals(world: World, kind: str, collection: Collection[Request]) -> Json:
    journal = world.journal
    return {
        "count": len(collection),
        "status": dict(collection.count_by_status()),
        "accepted": {
            action: count for (of, action), count in journal.accepted.items() if of == kind
        },
        "refused": journal.refused[kind],
    }


def _vendor(world: World, *, by_key: bool) -> Json:
    vendor = world.vendor
    shown: Json = {
        "effects": len(vendor.tenants()),
        "calls": sum(vendor.calls_by_key.values()) + vendor.calls_without_key,
        "calls_without_key": vendor.calls_without_key,
    }
    if by_key:
        effects = Counter(tenant.idempotency_key for tenant in vendor.tenants())
        requests = {tenant.idempotency_key: tenant.request_id for tenant in vendor.tenants()}
        shown["by_key"] = {
            key: {"effects": effects[key], "calls": calls, "request_id": requests.get(key)}
            for key, calls in vendor.calls_by_key.items()
        }
    return shown
