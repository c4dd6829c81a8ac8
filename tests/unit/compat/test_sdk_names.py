"""Every public name of the SDK's releases 14 to 22, where its users import it from.

`tests/data/sdk_names.json` has each module of the releases with its names, and each name with the
first and the last release that had it there; "" stands for the module itself.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from .interpreter import evaluate

NAMES: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parents[2] / "data" / "sdk_names.json").read_text(encoding="utf-8")
)

#: Names that became others, by what the object is called now.
RENAMED = {
    "Account": "TierAccount",
    "AssetRequest": "Fulfillment",
    "BaseObject": "BaseModel",
    "EventInfo": "Event",
    "File": "UsageFile",
    "FileUsageRecord": "UsageRecord",
    "FulfillmentFail": "FailRequest",
    "FulfillmentInquire": "InquireRequest",
    "Hubs": "ExtIdHub",
    "Listing": "UsageListing",
    "Records": "UsageRecords",
    "ServerErrorException": "ServerError",
    "Skip": "SkipRequest",
    "Tier": "TierAccount",
    "Tiers": "TierAccounts",
}

#: The same, where a name means something else in another module.
RENAMED_IN = {
    ("connect.models.schema", "ServerError"): "ServerErrorResponse",
    ("connect.models.server_error", "ServerError"): "ServerErrorResponse",
    ("connect.resources.fulfillment", "Fulfillment"): "FulfillmentResource",
}

#: Names that are refused, by a part of what the refusal says to do.
REFUSED = {
    "*Schema": "Fulfillment.marshmallow_schema()",
    "*Scheme": "Fulfillment.marshmallow_schema()",
    "*SchemeMixin": "Fulfillment.marshmallow_schema()",
    "AssigneeField": "deserialize_json()",
    "ExternalIdField": "deserialize_json()",
    "QuantityField": "deserialize_json()",
    "AutomationEngine": "connect_worker.FulfillmentAutomation",
    "AutomationResource": "connect_worker.FulfillmentAutomation",
    "LoggerAdapter": "bind_log()",
    "joinurl": "urllib.parse.urljoin",
    "log_request_data": "request.json",
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str]]]:
    """Of each name: what the object says that it is called, or what the refusal says."""
    code = f"""
    import importlib, json, warnings
    from connect_worker import compat
    compat.install()
    warnings.simplefilter("ignore")
    found = {{}}
    for module, names in {NAMES!r}.items():
        importlib.import_module(module)
        for name in filter(None, names):
            scope = {{}}
            try:
                exec(f"from {{module}} import {{name}} as found", scope)
                thing = scope["found"]
                said = [getattr(thing, "__name__", None) or thing.name, ""]
            except ImportError as error:
                said = ["", str(error)]
            found.setdefault(module, {{}})[name] = said
    print(json.dumps(found))
    """
    found: dict[str, dict[str, list[str]]] = evaluate(code, cwd=tmp_path_factory.mktemp("sdk"))
    return found


@pytest.mark.parametrize("module", NAMES)
def test_each_name_is_where_it_was_or_the_error_says_what_to_use(
    module: str, imported: dict[str, Any]
) -> None:
    for name in filter(None, NAMES[module]):
        said, refusal = imported[module][name]
        instead = [text for pattern, text in REFUSED.items() if fnmatchcase(name, pattern)]
        if instead:
            assert f"has no {name} of the SDK: " in refusal
            assert instead[0] in refusal
        else:
            expected = RENAMED_IN.get((module, name)) or RENAMED.get(name, name)
            assert said == {"logger": "connect_worker"}.get(name, expected)


def test_all_releases_are_there() -> None:
    spans = [span.split("-") for names in NAMES.values() for span in names.values()]
    releases = {float(release) for span in spans for release in span}

    assert {int(release) for release in releases} >= {*range(14, 21), 22}
    assert sum(len(names) for names in NAMES.values()) > 500


def test_what_a_module_of_the_sdk_imported_is_there_too(tmp_path: Path) -> None:
    code = """
    import json
    from connect_worker import compat
    compat.install()
    from connect.resources.fulfillment import TierAccountRequestResource as accounts
    from connect.resources.fulfillment import TierConfigRequestResource as configs
    from connect.resources.subscription import BillingRequestResource as bills
    from connect.resources.subscription import RecurringAssetResource as assets
    print(json.dumps([thing.resource for thing in (accounts, configs, bills, assets)]))
    """
    assert evaluate(code, cwd=tmp_path) == [
        "tier/account-requests",
        "tier/config-requests",
        "subscriptions/requests",
        "subscriptions/assets",
    ]


def test_what_no_release_had_is_refused_too(tmp_path: Path) -> None:
    code = """
    import json
    from connect_worker import compat
    compat.install()
    said = []
    for statement in ("from connect.models import Nonsense", "import connect.models.nonsense",
                      "from connect.resources.base import Nonsense"):
        try:
            exec(statement)
        except ImportError as error:
            said.append(str(error))
    print(json.dumps(said))
    """
    said = evaluate(code, cwd=tmp_path)
    assert ["onsense" in text for text in said] == [True] * 3
