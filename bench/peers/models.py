"""Loads a request into the models of one library, as often as its standard input asks.

`python models.py MODULE PAYLOAD`, where MODULE is `connect.models` (connect-sdk 22.0, in its own
environment) or `connect_worker.models`. Each line of the input is `load N`, `typical N`,
`all N`, `json N` or `values`. Each line of the output has the seconds per request; for `values` it
has the values that were read.
"""

# mypy: ignore-errors

import importlib
import json
import sys
import time
from datetime import datetime
from pathlib import Path


def typical(request):
    """Return the attributes that a processor reads of a purchase."""
    asset = request.asset
    customer = asset.tiers.customer
    return [
        request.id,
        request.type,
        request.status,
        asset.id,
        asset.external_id,
        asset.product.id,
        asset.connection.type,
        asset.connection.vendor.id,
        customer.id,
        customer.name,
        customer.contact_info.country,
        customer.contact_info.contact.email,
        asset.tiers.tier1.id,
        [(item.mpn, item.quantity, item.old_quantity) for item in asset.items],
        [(param.id, param.value) for param in asset.params],
    ]


def walk(model, document):
    """Read every value of the document from the model, recursively."""
    if isinstance(document, list):
        return [walk(item, part) for item, part in zip(model, document, strict=True)]
    if isinstance(document, dict) and not isinstance(model, (dict, str)):
        return {key: walk(getattr(model, key), part) for key, part in document.items()}
    return model.isoformat() if isinstance(model, datetime) else model


def main(module, path):
    fulfillment = importlib.import_module(module).Fulfillment
    document = json.loads(Path(path).read_text("utf-8"))[0]
    text = json.dumps(document)
    uses = {
        "load": lambda: fulfillment.deserialize(text),
        "typical": lambda: typical(fulfillment.deserialize(text)),
        "all": lambda: walk(fulfillment.deserialize(text), document),
        "json": lambda: json.loads(text),
    }
    for line in sys.stdin:
        use, _, times = line.strip().partition(" ")
        if use == "values":
            values = [uses["typical"](), uses["all"]()]
            print(json.dumps(values, sort_keys=True), flush=True)
            continue
        run, count = uses[use], int(times)
        started = time.perf_counter()
        for _ in range(count):
            run()
        print((time.perf_counter() - started) / count, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
