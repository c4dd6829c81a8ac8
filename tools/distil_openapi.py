"""Extracts the part of Connect's OpenAPI description that this project uses.

    python tools/distil_openapi.py openapi-37.0.yml tests/data/openapi_contract.json

For each operation the result has the names of its parameters, the schema of its request body, its
success codes and the schemas of their bodies. Of the other operations on the collections that the
project knows, it has the names. References are resolved. Titles, examples and
descriptions are omitted. So tests need neither a YAML parser nor the original of two megabytes.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

#: The operations of the API that the worker calls or the sandbox offers.
OPERATIONS = (
    "GET /requests",
    "POST /requests",
    "GET /requests/{id}",
    "PUT /requests/{id}",
    "POST /requests/{id}/approve",
    "POST /requests/{id}/inquire",
    "POST /requests/{id}/fail",
    "POST /requests/{id}/pend",
    "POST /requests/{id}/purchase",
    "POST /requests/{id}/validate",
    "GET /assets",
    "GET /assets/{id}",
    "GET /assets/{asset_id}/requests",
    "GET /tier/config-requests",
    "GET /tier/config-requests/{id}",
    "PUT /tier/config-requests/{id}",
    "POST /tier/config-requests/{id}/approve",
    "POST /tier/config-requests/{id}/inquire",
    "POST /tier/config-requests/{id}/fail",
    "POST /tier/config-requests/{id}/pend",
    "POST /tier/config-requests/{id}/validate",
    "GET /tier/configs",
    "GET /tier/configs/{id}",
    "GET /listings",
    "GET /listings/{id}",
    "GET /usage/files",
    "POST /usage/files",
    "GET /usage/files/{id}",
    "POST /usage/files/{id}/upload",
    "POST /usage/files/{id}/submit",
    "POST /usage/files/{id}/accept",
    "POST /usage/files/{id}/reject",
    "POST /usage/files/{id}/close",
    "POST /usage/files/{id}/delete",
    "GET /usage/products/{id}/template",
    "GET /conversations",
    "GET /conversations/{id}",
    "GET /conversations/{conversation_id}/messages",
    "POST /conversations/{conversation_id}/messages",
    "GET /products",
    "GET /products/{product_id}",
    "GET /products/{product_product_id}/templates",
    "GET /products/{product_product_id}/configurations",
    "GET /notifications/webhooks",
    "POST /notifications/webhooks",
    "GET /notifications/webhooks/{id}",
    "PUT /notifications/webhooks/{id}",
    "DELETE /notifications/webhooks/{id}",
    "POST /notifications/webhooks/{id}/trigger",
)

#: Collections of which the names of all operations are kept.
COLLECTIONS = (
    *("assets", "conversations", "listings", "marketplaces", "notifications", "products"),
    *("requests", "subscriptions", "tier", "usage"),
)

#: The keywords of a schema that decide whether a document is valid.
_KEYWORDS = frozenset(
    (
        *("type", "properties", "items", "required", "enum", "nullable", "oneOf", "anyOf"),
        *("allOf", "format", "maxLength", "minLength", "maxItems", "minItems"),
        *("maximum", "minimum", "additionalProperties"),
    )
)


class Distiller:
    """Extracts operations from one parsed description."""

    def __init__(self, description: Json) -> None:
        self._description = description

    def contract(self) -> Json:
        """Return the extracted document.

        Raises:
            KeyError: The description lacks one of the operations.
        """
        return {
            "title": self._description["info"]["title"],
            "version": str(self._description["info"]["version"]),
            "names": sorted(self._names()),
            "operations": {name: self._operation(name) for name in OPERATIONS},
        }

    def _names(self) -> Iterator[str]:
        for path, methods in self._description["paths"].items():
            if path.split("/")[1] in COLLECTIONS:
                yield from (f"{method.upper()} {path}" for method in methods)

    def _operation(self, name: str) -> Json:
        method, path = name.split(" ")
        operation = self._description["paths"][path][method.lower()]
        parameters = [self._resolved(p) for p in operation.get("parameters", [])]
        distilled: Json = {
            "query": sorted(p["name"] for p in parameters if p["in"] == "query"),
            "success": {
                code: self._content(response)
                for code, response in operation["responses"].items()
                if code.startswith("2")
            },
        }
        if "requestBody" in operation:
            distilled["body"] = self._content(operation["requestBody"])
        return distilled

    def _content(self, node: Json) -> Json | None:
        """Map media types to schemas; return None if there is no body."""
        content = self._resolved(node).get("content")
        if not content:
            return None
        return {media: self._schema(part.get("schema", {}), ()) for media, part in content.items()}

    def _schema(self, node: Any, seen: tuple[str, ...]) -> Any:
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if reference:
            # Do not follow a type that contains itself a second time: any value is valid there.
            return (
                {} if reference in seen else self._schema(self._at(reference), (*seen, reference))
            )
        return {
            keyword: self._value(keyword, node[keyword], seen)
            for keyword in sorted(_KEYWORDS & set(node))
        }

    def _value(self, keyword: str, value: Any, seen: tuple[str, ...]) -> Any:
        if keyword == "properties":
            return {name: self._schema(part, seen) for name, part in value.items()}
        if keyword in ("oneOf", "anyOf", "allOf"):
            return [self._schema(part, seen) for part in value]
        return self._schema(value, seen)

    def _resolved(self, node: Json) -> Json:
        return self._at(node["$ref"]) if "$ref" in node else node

    def _at(self, reference: str) -> Json:
        node: Any = self._description
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        return self._resolved(node)


def main() -> None:
    """Read the description that the command line names; write the extracted part."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("description", type=Path, help="the OpenAPI file (YAML)")
    parser.add_argument("contract", type=Path, help="where to write the JSON document")
    arguments = parser.parse_args()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with arguments.description.open(encoding="utf-8") as stream:
        description = yaml.load(stream, Loader=loader)  # noqa: S506  # a safe loader, in C if built
    text = json.dumps(Distiller(description).contract(), indent=None, separators=(",", ":"))
    arguments.contract.parent.mkdir(parents=True, exist_ok=True)
    arguments.contract.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(OPERATIONS)} operations, {len(text)} characters\n")


if __name__ == "__main__":
    main()
