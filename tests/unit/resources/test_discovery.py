"""Which classes of the user's modules are registered, and what is refused at the start."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connect_worker.config import Config, use_config
from connect_worker.domain.states import Limit, RequestKind
from connect_worker.engine.runtime import Processor, Registry
from connect_worker.exceptions import ConnectionFailed, RegistrationError
from connect_worker.resources.discovery import find_automations
from connect_worker.resources.processor import AutomationProcessor, load_registry

CONFIG = Config.local("http://127.0.0.1:1/public/v1", "SU-1:test")

IMPORTS = """
from connect_worker.resources import (
    FulfillmentAutomation, TierConfigAutomation, UsageAutomation, UsageFileAutomation
)
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules into the working directory; forget the imported ones afterwards."""
    modules, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)

    def make(name: str, *lines: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(IMPORTS + "\n".join(lines) + "\n")
        return file

    yield make
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path


def automation(name: str, base: str = "FulfillmentAutomation", *body: str) -> str:
    """The source of an automation."""
    return "\n    ".join(
        [f"class {name}({base}):", *body, "def process_request(self, request): return None", ""]
    )


def load(*names: str) -> Registry[Processor]:
    return load_registry(names, CONFIG)


def names_of(registry: Registry[Processor]) -> list[str]:
    return [entry.name for entry in registry.registrations]


def made_by(registry: Registry[Processor], kind: RequestKind = RequestKind.FULFILLMENT) -> object:
    """The automation that handles a kind."""
    processor = registry.find(kind, "")
    assert isinstance(processor, AutomationProcessor)
    return processor.automation


# ---- found


def test_a_module_is_found_by_its_dotted_name(write: Write) -> None:
    write("vendor_a/__init__.py")
    write("vendor_a/orders.py", automation("Purchases"))
    registry = load("vendor_a.orders")
    assert names_of(registry) == ["vendor_a.orders.Purchases"]
    assert registry.find(RequestKind.FULFILLMENT, "PRD-1")


@pytest.mark.parametrize("path", ["./processors.py", "processors.py"])
def test_a_module_is_found_by_its_path(write: Write, path: str) -> None:
    file = write("processors.py", automation("Purchases"))
    assert names_of(load(path)) == [f"Purchases in {file}"]
    assert names_of(load(str(file))) == [f"Purchases in {file}"]


def test_a_path_named_twice_is_one_module(write: Write) -> None:
    file = write("processors.py", automation("Purchases"))
    assert len(names_of(load("processors.py", str(file)))) == 1


def test_files_of_the_same_name_are_different_modules(write: Write) -> None:
    item = write("a/processors.py", automation("Purchases"))
    two = write("b/processors.py", automation("Resellers", "TierConfigAutomation"))
    assert names_of(load(str(item), str(two))) == [f"Purchases in {item}", f"Resellers in {two}"]


def test_a_file_can_import_its_neighbours(write: Write) -> None:
    write("elsewhere/prices_of_mine.py", "PRICE = 5")
    file = write("elsewhere/processors.py", "import prices_of_mine", automation("Purchases"))
    assert len(names_of(load(str(file)))) == 1


def test_a_file_hides_no_other_module(write: Write) -> None:
    file = write("json.py", automation("Purchases"))
    load(str(file))
    assert hasattr(sys.modules["json"], "loads")


def test_all_four_kinds_are_found_in_their_order(write: Write) -> None:
    write(
        "all_kinds.py",
        automation("D", "UsageFileAutomation"),
        automation("A"),
        automation("C", "UsageAutomation"),
        automation("B", "TierConfigAutomation"),
    )
    registry = load("all_kinds")
    assert [name[-1] for name in names_of(registry)] == list("DACB")
    assert {kind: len(names) for kind, names in registry.coverage.items()} == dict.fromkeys(
        RequestKind, 1
    )


def test_an_imported_automation_counts_where_it_is_imported(write: Write) -> None:
    write("library_of_mine.py", automation("Purchases"))
    write("main_of_mine.py", "from library_of_mine import Purchases")
    assert names_of(load("main_of_mine")) == ["library_of_mine.Purchases"]
    assert names_of(load("main_of_mine", "library_of_mine")) == ["library_of_mine.Purchases"]


def test_only_the_last_of_a_line_of_subclasses_counts(write: Write) -> None:
    write(
        "family.py",
        automation("Base"),
        "class Purchases(Base): products = ['PRD-1']",
        "class Changes(Base): products = ['PRD-2']",
    )
    assert names_of(load("family")) == ["family.Purchases", "family.Changes"]


def test_a_base_in_another_module_is_only_a_base_too(write: Write) -> None:
    write("base_of_mine.py", automation("Base"))
    write("leaf_of_mine.py", "import base_of_mine", "class Leaf(base_of_mine.Base): pass")
    assert names_of(load("base_of_mine", "leaf_of_mine")) == ["leaf_of_mine.Leaf"]


def test_private_names_and_classes_without_a_method_do_not_count(write: Write) -> None:
    write(
        "odds.py",
        automation("_Hidden", "TierConfigAutomation"),
        "class Empty(FulfillmentAutomation): pass",
        "class Other: process_request = None",
        "instance = Empty",
        automation("Purchases"),
    )
    assert find_automations(["odds"]) == [sys.modules["odds"].Purchases]
    assert names_of(load("odds")) == ["odds.Purchases"]


@pytest.mark.parametrize("products", ["'PRD-1'", "['PRD-1']", "('PRD-1',)", "{'PRD-1'}"])
def test_products_may_be_one_or_several(write: Write, products: str) -> None:
    write("shop.py", automation("Purchases", "FulfillmentAutomation", f"products = {products}"))
    registry = load("shop")
    assert registry.find(RequestKind.FULFILLMENT, "PRD-1")
    assert registry.find(RequestKind.FULFILLMENT, "PRD-2") is None
    assert registry.products == ["PRD-1"]


# ---- made


@pytest.mark.parametrize(
    "constructor",
    [
        "pass",
        "def __init__(self, config=None): super().__init__(config)",
        "def __init__(self, config): super().__init__(config)",
        "def __init__(self): super().__init__()",
        "def __init__(self, *args, **kwargs): super().__init__(*args, **kwargs)",
        "def __init__(self, speed=3): super().__init__()",
    ],
)
def test_an_automation_gets_the_account_whatever_its_constructor_is(
    write: Write, constructor: str
) -> None:
    write("made.py", automation("Purchases", "FulfillmentAutomation", constructor))
    made = made_by(load("made"))
    assert made.config is CONFIG  # type: ignore[attr-defined]  # an Automation


def test_an_automation_is_made_when_it_is_first_used_and_once(write: Write) -> None:
    write(
        "counted.py",
        "made = []",
        automation(
            "Purchases",
            "FulfillmentAutomation",
            "def __init__(self, config): made.append(config); super().__init__(config)",
        ),
    )
    registry = load("counted")
    assert sys.modules["counted"].made == []
    assert made_by(registry) is made_by(registry)
    assert sys.modules["counted"].made == [CONFIG]


def test_the_account_is_in_force_while_an_automation_is_made(write: Write) -> None:
    body = "def __init__(self): super().__init__(); self.seen = Config.get_instance()"
    write(
        "asking.py",
        "from connect_worker.config import Config",
        automation("Purchases", "FulfillmentAutomation", body),
    )
    other = Config.local("http://127.0.0.1:1/other", "SU-2:test")
    with use_config(other):
        made = made_by(load("asking"))
    assert made.seen is CONFIG  # type: ignore[attr-defined]  # an Automation of the test's


# ---- refused


def refused(*names: str) -> str:
    with pytest.raises(RegistrationError) as raised:
        load(*names)
    return str(raised.value)


def test_without_a_name_it_is_shown_what_to_set() -> None:
    assert "CONNECT_PROCESSORS is not set" in refused()


def test_a_module_that_is_not_there_is_named(write: Write) -> None:
    assert "no_such.module can't be imported: ModuleNotFoundError" in refused("no_such.module")
    assert "the file no_such.py does not exist" in refused("no_such.py")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("from connect_worker.resources import Nothing", "ImportError"),
    ],
)
@pytest.mark.parametrize("name", ["breaks_{}", "./breaks_{}.py"])
def test_a_module_that_breaks_is_refused_with_the_reason(
    write: Write, line: str, said: str, name: str
) -> None:
    stem = str(abs(hash(line)))
    write(f"breaks_{stem}.py", line)
    text = refused(name.format(stem))
    assert name.format(stem) in text
    assert said in text
    assert not any(stem in module for module in sys.modules), "a second try reads it again"


def test_a_person_can_interrupt_the_import(write: Write) -> None:
    write("slow.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load("slow")


def test_modules_without_an_automation_are_refused(write: Write) -> None:
    write("nothing.py", "x = 1")
    assert "no automation in nothing: define a subclass" in refused("nothing")


def test_two_automations_for_all_products_are_refused(write: Write) -> None:
    write("first.py", automation("Purchases"))
    write("second.py", automation("Purchases"))
    text = refused("first", "second")
    assert "first.Purchases and second.Purchases both claim" in text
    assert "all products" in text


def test_two_automations_for_one_product_are_refused_and_their_files_named(write: Write) -> None:
    for folder in ("a", "b"):
        write(
            f"{folder}/shop.py",
            automation("Purchases", "FulfillmentAutomation", "products = ['PRD-1']"),
        )
    text = refused("a/shop.py", "b/shop.py")
    assert all(str(Path(folder, "shop.py")) in text for folder in ("a", "b"))
    assert "product PRD-1" in text


def test_a_constructor_that_wants_more_is_refused_at_the_start(write: Write) -> None:
    body = "def __init__(self, config, database): super().__init__(config)"
    write("greedy.py", automation("Purchases", "FulfillmentAutomation", body))
    text = refused("greedy")
    assert "greedy.Purchases can't be made" in text
    assert "database" in text


# ---- limits


def test_an_automations_limit_is_registered_under_its_name(write: Write) -> None:
    write("weak.py", automation("Weak", "FulfillmentAutomation", "max_concurrency = 2"))
    assert load("weak").limits(RequestKind.FULFILLMENT) == {"": Limit("weak.Weak", 2)}


def test_without_a_word_about_it_there_is_no_limit(write: Write) -> None:
    write("strong.py", automation("Strong"))
    assert load("strong").limits(RequestKind.FULFILLMENT) == {}


@pytest.mark.parametrize("most", ["0", "-1", "2.5", "True", "False", "'2'", "[]"])
def test_a_limit_that_makes_no_sense_is_refused(write: Write, most: str) -> None:
    write("odd.py", automation("Odd", "FulfillmentAutomation", f"max_concurrency = {most}"))
    with pytest.raises(RegistrationError) as raised:
        load("odd")
    assert "odd.Odd" in str(raised.value)
    assert f"max_concurrency = {most}" in str(raised.value)


def test_a_word_about_errors_that_makes_no_sense_is_refused_at_the_start(write: Write) -> None:
    write("late.py", automation("Late", "UsageAutomation", "when_exhausted = 'fail'"))
    with pytest.raises(RegistrationError, match=r"late\.Late has when_exhausted = 'fail'"):
        load("late")


def test_a_method_that_the_sdk_called_to_post_is_warned_of(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    approve = "def approve(self, pk, data): return super().approve(pk, data)"
    plain = automation("Plain", "TierConfigAutomation")
    write("hooked.py", automation("Hooked", "FulfillmentAutomation", approve), plain)
    load("hooked")
    said = [text for text in caplog.messages if "automation.method_ignored" in text]
    assert len(said) == 1
    assert "hooked.Hooked" in said[0]
    assert "method=approve" in said[0]


def test_a_module_that_processes_when_it_is_imported_is_not_let(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing listens at `CONFIG`: a call there would be an error."""
    lines = [automation("A"), "A().process()"]
    with use_config(CONFIG):
        registry = load(str(write("bare.py", *lines)))
    assert [name.split(" in ")[0] for name in names_of(registry)] == ["A"]
    assert "automation.process_ignored" in caplog.text
    assert "__main__" in caplog.text


@pytest.mark.parametrize(
    "call", ["A().update_parameters('PR-1', [])", "A().dispatch(Fulfillment(id='PR-1'))"]
)
def test_a_module_that_changes_something_when_it_is_imported_is_refused(
    write: Write, call: str
) -> None:
    lines = [automation("A"), "from connect_worker.models import Fulfillment", call]
    with use_config(CONFIG), pytest.raises(RegistrationError, match=r"it is imported.*__main__"):
        load(str(write("rash.py", *lines)))


def test_after_the_import_the_module_is_as_any_other(write: Write) -> None:
    load(str(write("quiet.py", automation("A"))))
    (found,) = find_automations([str(Path("quiet.py"))])
    with use_config(CONFIG), pytest.raises(ConnectionFailed):
        found().process()


@pytest.mark.parametrize("name", ["process_requests", "proces_request", "processRequest"])
def test_a_method_that_is_almost_process_request_is_refused(write: Write, name: str) -> None:
    write(
        "shop.py",
        automation("Orders"),
        "class Files(UsageFileAutomation):",
        f"    def {name}(self, request): return None",
    )
    with pytest.raises(
        RegistrationError, match=f"Files in shop has no process_request, but {name}"
    ):
        load("shop")


def test_a_base_class_with_methods_of_its_own_is_no_mistake(write: Write) -> None:
    base = ["class Base(FulfillmentAutomation):", "    def request_process(self): return None"]
    write("shop.py", *base, automation("Orders", "Base"))
    assert names_of(load("shop")) == ["shop.Orders"]


def test_a_misspelled_attribute_is_refused_at_the_start(write: Write) -> None:
    write("shop.py", automation("Orders", "FulfillmentAutomation", 'product = "PRD-1"'))
    with pytest.raises(RegistrationError, match=r"shop\.Orders has product = 'PRD-1'"):
        load("shop")


def test_an_automation_of_tier_account_requests_is_refused_by_name(write: Write) -> None:
    base = "from connect_worker.resources import TierAccountRequestAutomation"
    write(
        "tiers_of_mine.py",
        base,
        automation("Accounts", "TierAccountRequestAutomation"),
        automation("Purchases"),
    )
    write("purchases_of_mine.py", base, automation("Others"))

    with pytest.raises(RegistrationError, match="Accounts in tiers_of_mine is for tier account"):
        load("tiers_of_mine")
    assert names_of(load("tiers_of_mine:Purchases")) == ["tiers_of_mine.Purchases"]
    assert names_of(load("purchases_of_mine")) == ["purchases_of_mine.Others"]


def test_a_class_of_the_user_may_have_any_attribute(write: Write) -> None:
    hosts = ["class Host:", "    is_local = True", "", "class Server(Host):", "    pass", ""]
    write("orders_of_hosts.py", *hosts, automation("Orders"))
    assert names_of(load("orders_of_hosts")) == ["orders_of_hosts.Orders"]
