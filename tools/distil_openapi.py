"""Distils the part of Connect's OpenAPI description that this project uses.

    python tools/distil_openapi.py openapi-37.0.yml tests/data/openapi_contract.json

The result holds, per operation, the names of its parameters, the schema of its request body, its
success codes and the schemas of their bodies. References are resolved and what only documents
(titles, examples, descriptions) is left out, so that tests need neither the original, which has
two megabytes, nor a YAML parser.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

#: The operations of the API that the worker or its sandbox speaks.
OPERATIONS = (
    "GET /requests",
    "POST /requests",
    "GET /requests/{id}",
    "PUT /requests/{id}",
    "POST /requests/{id}/approve",
    "POST /requests/{id}/inquire",
    "POST /requests/{id}/fail",
    "POST /requests/{id}/pend",
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

#: The words of a schema that decide whether a document is valid.
_KEPT = frozenset(
    (
        *("type", "properties", "items", "required", "enum", "nullable", "oneOf", "anyOf"),
        *("allOf", "format", "maxLength", "minLength", "maxItems", "minItems"),
        *("maximum", "minimum", "additionalProperties"),
    )
)


class Distiller:
    """Reads operations out of one parsed description."""

    def __init__(self, description: Json) -> None:
        self._description = description

    def contract(self) -> Json:
        """The distilled document.

        Raises:
            KeyError: the description lacks one of the operations.
        """
        return {
            "title": self._description["info"]["title"],
            "version": str(self._description["info"]["version"]),
            "operations": {name: self._operation(name) for name in OPERATIONS},
        }

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
        """Media type to schema, or None where there is no body."""
        content = self._resolved(node).get("content")
        if not content:
            return None
        return {media: self._schema(part.get("schema", {}), ()) for media, part in content.items()}

    def _schema(self, node: Any, seen: tuple[str, ...]) -> Any:
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if reference:
            # A type that contains itself is not followed again: anything is valid there.
            return (
                {} if reference in seen else self._schema(self._at(reference), (*seen, reference))
            )
        return {word: self._word(word, node[word], seen) for word in sorted(_KEPT & set(node))}

    def _word(self, word: str, value: Any, seen: tuple[str, ...]) -> Any:
        if word == "properties":
            return {name: self._schema(part, seen) for name, part in value.items()}
        if word in ("oneOf", "anyOf", "allOf"):
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
    """Read the description named on the command line and write what is used of it."""
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
