"""Lays one JSON document over another."""

from typing import Any

Json = dict[str, Any]

#: The fields of a parameter that a PUT may change; the rest belongs to the product.
CHANGEABLE = ("value", "value_error", "structured_value", "structured_error")


def merge(base: Json, over: Json) -> Json:
    """A new document: objects are merged field by field, parameters by id, the rest is replaced."""
    merged = dict(base)
    for name, value in over.items():
        present = merged.get(name)
        if isinstance(value, dict) and isinstance(present, dict):
            merged[name] = merge(present, value)
        elif name == "params" and isinstance(value, list) and isinstance(present, list):
            changes = {p["id"]: p for p in value if isinstance(p, dict) and "id" in p}
            known = {p["id"] for p in present}
            merged[name] = [merge(p, changes.get(p["id"], {})) for p in present] + [
                p for key, p in changes.items() if key not in known
            ]
        else:
            merged[name] = value
    return merged


def change_params(params: list[Json], changes: dict[str, Json]) -> list[Json]:
    """The parameters with the put values over the seeded ones."""
    return [{**param, **changes.get(param["id"], {})} for param in params]
