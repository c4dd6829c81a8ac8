"""What the 2019 SDK's reference says its functions do: errors, deprecations, calls, filters."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from connect_worker import exceptions
from connect_worker.config import Config
from connect_worker.exceptions import FailRequest, FileCreationError, FileRetrievalError
from connect_worker.models import (
    ActivationTemplateResponse,
    Asset,
    Contract,
    Conversation,
    Fulfillment,
    Item,
    Param,
    Product,
    TierConfig,
    UsageFile,
    UsageRecord,
)
from connect_worker.resources import (
    Directory,
    FulfillmentAutomation,
    TemplateResource,
    TierConfigAutomation,
    UsageAutomation,
    UsageFileAutomation,
)
from connect_worker.rql import to_query
from tests.support.scripted_server import Call, Reply, error_document, serving

from .test_seed_surface import CLASSES

KEY = "SU-111-222-333:test"
URL = "https://connect.example.org/public/v1"
LISTED = {"Content-Range": "items 0-0/1"}


@dataclass
class Connect:
    """A server that answers what a test has put there, by method and path, and 404 to the rest."""

    answers: dict[str, Reply]
    calls: list[Call] = field(default_factory=list)
    config: Config = field(default_factory=lambda: Config.local(URL, KEY))

    def play(self, call: Call) -> Reply:
        self.calls.append(call)
        place = f"{call.method} {call.path.removeprefix('/public/v1/')}"
        return self.answers.get(place, Reply(404, error_document("no such thing")))


@contextmanager
def connect(**answers: Reply) -> Iterator[Connect]:
    stand_in = Connect(dict(answers))
    with serving(stand_in.play) as server:
        stand_in.config = Config.local(server.url, KEY)
        # The link of a template leads elsewhere; here it leads to the same server.
        stand_in.answers["GET usage/products/PRD-1/template"] = answers.get(
            "GET usage/products/PRD-1/template",
            Reply(body={"template_link": f"{server.url}/file.xlsx"}),
        )
        yield stand_in


def a_file() -> UsageFile:
    return UsageFile(name="May", product=Product(id="PRD-1"), contract=Contract(id="CRD-1"))


def a_record() -> UsageRecord:
    return UsageRecord(
        record_id="R-1",
        item_search_criteria="item.mpn",
        item_search_value="MPN-A",
        quantity=1,
        start_time_utc="2019-10-01",
        end_time_utc="2019-10-31 10:00:00",
        asset_search_criteria="parameter.param_b",
        asset_search_value="tenant2",
    )


def written(folder: Path, content: str) -> str:
    (folder / "config.json").write_text(content, encoding="utf-8")
    return str(folder / "config.json")


def with_answers(action: Callable[[Config], object], **answers: Reply) -> Callable[[Path], object]:
    """A case that acts on a Connect which answers so."""

    def case(_: Path) -> object:
        with connect(**answers) as stand_in:
            return action(stand_in.config)

    return case


def submit(config: Config) -> UsageFile:
    return UsageAutomation(config).submit_usage(a_file(), [a_record()])


def template(config: Config) -> bytes:
    return UsageAutomation(config).get_usage_template(Product(id="PRD-1"))


CREATED = Reply(201, {"id": "UF-1", "status": "draft"})
REFUSED = Reply(400, error_document("no"))

#: By what the reference documents as raised: the cases in which it is.
RAISED: dict[str, list[Callable[[Path], object]]] = {
    "Config ValueError": [
        lambda _: Config(),
        lambda _: Config(api_url=URL),
        lambda _: Config(api_key=KEY),
    ],
    "Config TypeError": [
        lambda _: Config(URL, KEY, 7),  # type: ignore[arg-type]
        lambda _: Config(URL, KEY, [7]),  # type: ignore[list-item]
        lambda folder: Config(file=written(folder, "no JSON")),
    ],
    "Config IOError": [lambda folder: Config(file=str(folder / "config.json"))],
    "BaseModel.deserialize TypeError": [
        lambda _: Item.deserialize("no JSON"),
        lambda _: Item.deserialize('{"quantity": []}'),
    ],
    "BaseModel.deserialize_json TypeError": [
        lambda _: Item.deserialize_json({"quantity": []}),
        lambda _: Item.deserialize_json([{"params": 7}]),
    ],
    "Conversation.add_message TypeError": [
        with_answers(
            lambda config: Conversation(id="CO-1").add_message("hello", config),
            **{"POST conversations/CO-1/messages": Reply(201, {"text": []})},
        )
    ],
    "UsageAutomation.submit_usage FileCreationError": [
        with_answers(submit, **{"POST usage/files": REFUSED}),
        with_answers(submit, **{"POST usage/files": Reply(201, {"name": "without an id"})}),
        with_answers(
            submit,
            **{"POST usage/files": CREATED, "POST usage/files/UF-1/upload": REFUSED},
        ),
        lambda _: submit(Config.local("http://127.0.0.1:1", KEY)),
    ],
    "UsageAutomation.get_usage_template FileRetrievalError": [
        with_answers(template),
        with_answers(template, **{"GET usage/products/PRD-1/template": Reply(body={})}),
        with_answers(template, **{"GET usage/products/PRD-1/template": REFUSED}),
    ],
}


def documented_errors() -> set[str]:
    found = set()
    for _, name, facts in CLASSES:
        functions = {**facts.get("methods", {}), **facts.get("classmethods", {})}
        found |= {f"{name} {error}" for error in facts.get("raises", ())}
        found |= {
            f"{name}.{method} {error}"
            for method, said in functions.items()
            for error in said.get("raises", ())
        }
    return found


def test_every_documented_error_has_its_cases() -> None:
    assert set(RAISED) == documented_errors()


@pytest.mark.parametrize(
    ("documented", "case"),
    [(documented, case) for documented, cases in RAISED.items() for case in cases],
)
def test_a_documented_error_is_raised(
    documented: str, case: Callable[[Path], object], tmp_path: Path
) -> None:
    name = documented.split()[1]
    error = getattr(exceptions, name, None) or {
        "ValueError": ValueError,
        "TypeError": TypeError,
        "IOError": OSError,
    }.get(name)

    assert error
    with pytest.raises(error):
        case(tmp_path)


def test_the_errors_about_files_are_no_programming_errors() -> None:
    assert not issubclass(FileCreationError, ValueError | TypeError)
    assert not issubclass(FileRetrievalError, ValueError | TypeError)


def test_the_deprecated_names_warn_and_answer_as_their_successors() -> None:
    deprecated = {name: said["deprecated"] for _, name, said in CLASSES if "deprecated" in said}
    assert deprecated == {"Message": ["message"], "FulfillmentAutomation": ["get_tier_config"]}

    with pytest.warns(DeprecationWarning, match="str"):
        assert FailRequest("no").message == str(FailRequest("no"))
    rows = Reply(body=[{"id": "TCR-1", "configuration": {"id": "TC-1", "name": "n"}}])
    with connect(**{"GET tier/config-requests": rows}) as stand_in:
        automation = FulfillmentAutomation(stand_in.config)
        with pytest.warns(DeprecationWarning, match=r"TierConfig\.get"):
            before = automation.get_tier_config("TA-1", "PRD-1")
        after = TierConfig.get("TA-1", "PRD-1", stand_in.config)

        assert before is not None
        assert after is not None
        assert before.json == after.json == {"id": "TC-1", "name": "n"}
        assert stand_in.calls[0].query == stand_in.calls[1].query


def test_what_is_not_deprecated_does_not_warn() -> None:
    with warnings.catch_warnings(), connect(**{"GET tier/config-requests": Reply(body=[])}) as it:
        warnings.simplefilter("error")

        assert TierConfig.get("TA-1", "PRD-1", it.config) is None
        assert str(FailRequest("no")) == "no"


@pytest.mark.parametrize(
    ("automation", "name"),
    [
        (kind, name)
        for kind in (FulfillmentAutomation, TierConfigAutomation)
        for module, owner, facts in CLASSES
        if module == "resources" and owner == kind.__name__
        for name in facts["methods"]["filters"]["filters"]
    ],
)
def test_a_documented_filter_reaches_connect(automation: Any, name: str) -> None:
    filters = automation(Config.local(URL, KEY)).filters(**{name: "X-1"})

    assert f"eq({name.replace('__', '.')},X-1)" in to_query(filters)


@pytest.mark.parametrize(
    ("automation", "status"),
    [
        (FulfillmentAutomation, "pending"),
        (TierConfigAutomation, "pending"),
        (UsageAutomation, "listed"),
        (UsageFileAutomation, "ready"),
    ],
)
def test_the_default_filters_ask_for_the_documented_status(automation: Any, status: str) -> None:
    config = Config.local(URL, KEY)

    assert automation(config).filters() == {"status": status}
    assert automation(config).filters("other", id="X-1") == {"status": "other", "id": "X-1"}


@pytest.mark.parametrize(
    "name",
    [
        name
        for _, owner, facts in CLASSES
        if owner == "Product"
        for name in facts["methods"]["get_product_configurations"]["filters"]
    ],
)
def test_a_documented_filter_of_configurations_reaches_connect(name: str) -> None:
    rows = Reply(body=[{"value": "v"}], headers=LISTED)
    with connect(**{"GET products/PRD-1/configurations": rows}) as stand_in:
        found = Product(id="PRD-1").get_product_configurations({name: "X-1"}, stand_in.config)

        assert [row.value for row in found] == ["v"]
        assert f"eq({name},X-1)" in unquote(stand_in.calls[0].query)


@pytest.mark.parametrize(
    ("method", "path", "model"),
    [("assets", "assets", Asset), ("tier_configs", "tier/configs", TierConfig)],
)
def test_a_directory_lists_by_filters(method: str, path: str, model: type[Asset]) -> None:
    with connect(**{f"GET {path}": Reply(body=[{"id": "X-1"}], headers=LISTED)}) as stand_in:
        listing = getattr(Directory(stand_in.config), f"list_{method}")

        for found in (listing(), listing({"status": "active"}), listing(filters={"id": "X-1"})):
            assert [(type(item), item.id) for item in found] == [(model, "X-1")]
        asked = [unquote(call.query) for call in stand_in.calls]
        assert "status" not in asked[0]
        assert "eq(status,active)" in asked[1]
        assert "eq(id,X-1)" in asked[2]


def test_a_directory_lists_all_products() -> None:
    rows = Reply(body=[{"id": "PRD-1"}], headers=LISTED)
    with connect(**{"GET products": rows}) as stand_in:
        found = Directory(stand_in.config).list_products()

        assert [(type(item), item.id) for item in found] == [(Product, "PRD-1")]


@pytest.mark.parametrize(
    ("method", "path", "model"),
    [
        ("get_asset", "assets/AS-1", Asset),
        ("get_product", "products/PRD-1", Product),
        ("get_tier_config", "tier/configs/TC-1", TierConfig),
    ],
)
def test_a_directory_gets_one_or_none(method: str, path: str, model: type[Asset]) -> None:
    pk = path.rpartition("/")[2]
    with connect(**{f"GET {path}": Reply(body={"id": pk})}) as stand_in:
        get = getattr(Directory(stand_in.config), method)

        assert (type(get(pk)), get(pk).id) == (model, pk)
        assert get("X-9") is None


def test_a_template_is_got_without_a_call_and_rendered_by_connect() -> None:
    rendered = Reply(body=b"# Welcome")
    with connect(**{"GET templates/TL-1/render": rendered}) as stand_in:
        resource = TemplateResource(stand_in.config)

        assert resource.get("TL-1") == ActivationTemplateResponse("TL-1")
        assert stand_in.calls == []
        assert resource.render("TL-1", "PR-1").tile == "# Welcome"
        assert parse_qs(stand_in.calls[0].query) == {"request_id": ["PR-1"]}


@pytest.mark.parametrize(("pk", "request_id"), [("", "PR-1"), ("TL-1", ""), ("", "")])
def test_a_template_is_not_rendered_without_both_ids(pk: str, request_id: str) -> None:
    with pytest.raises(ValueError, match="render"):
        TemplateResource(Config.local(URL, KEY)).render(pk, request_id)


@pytest.mark.parametrize(
    ("automation", "place", "body"),
    [
        (FulfillmentAutomation, "PUT requests/PR-1", {"asset": {"params": [{"id": "a"}]}}),
        (TierConfigAutomation, "PUT tier/config-requests/PR-1", {"params": [{"id": "a"}]}),
    ],
)
def test_updated_parameters_give_the_answer_as_text(automation: Any, place: str, body: Any) -> None:
    with connect(**{place: Reply(body={"id": "PR-1"})}) as stand_in:
        answer = automation(stand_in.config).update_parameters("PR-1", [Param(id="a")])

        assert isinstance(answer, str)
        assert Fulfillment.deserialize(answer).id == "PR-1"
        assert stand_in.calls[0].json == body


def test_a_created_request_comes_back_as_connect_has_it() -> None:
    with connect(**{"POST requests": Reply(201, {"id": "PR-1", "type": "purchase"})}) as stand_in:
        made = FulfillmentAutomation(stand_in.config).create_request(Fulfillment(type="purchase"))

        assert (type(made), made.id) == (Fulfillment, "PR-1")
        assert stand_in.calls[0].json == {"type": "purchase"}


def test_usage_is_submitted_and_its_template_fetched() -> None:
    answers = {
        "POST usage/files": CREATED,
        "POST usage/files/UF-1/upload": Reply(201, {"id": "UF-1", "status": "uploading"}),
        "GET file.xlsx": Reply(body=b"PK"),
    }
    with connect(**answers) as stand_in:
        submitted = submit(stand_in.config)

        assert (type(submitted), submitted.id) == (UsageFile, "UF-1")
        assert template(stand_in.config) == b"PK"
