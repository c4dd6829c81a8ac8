"""A real `connect` is never hidden, and where it is in the way the message says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from .interpreter import evaluate, python, write_real_sdk

INSTALL = """
    import json
    from connect_worker import compat
    from connect_worker.exceptions import CompatInstallError
    {before}
    try:
        compat.install()
        text = ""
    except CompatInstallError as error:
        text = str(error)
    {after}
    print(json.dumps([text, compat.is_installed(), {value}]))
"""
LOAD = """
    import json
    from connect_worker.config import Config
    from connect_worker.exceptions import RegistrationError
    from connect_worker.domain.states import RequestKind
    from connect_worker.resources.processor import load_registry
    try:
        registry = load_registry({names!r}, Config.local("https://a.example", "key"))
        result = [name for names in registry.coverage.values() for name in names]
    except RegistrationError as error:
        result = str(error)
    print(json.dumps(result))
"""
OURS = "from connect.resources import {kind}\nclass {name}({kind}):\n    {body}\n"
DECIDES = "def process_request(self, request): return None"


def install(
    *,
    before: str = "",
    after: str = "",
    value: str = "None",
    cwd: Path,
    path: tuple[Path, ...] = (),
) -> list[object]:
    code = INSTALL.format(before=before, after=after, value=value)
    result: list[object] = evaluate(code, cwd=cwd, path=path)
    return result


def load(*names: str, cwd: Path, path: tuple[Path, ...] = ()) -> object:
    return evaluate(LOAD.format(names=names), cwd=cwd, path=path)


def write(file: Path, *, kind: str = "FulfillmentAutomation", name: str = "Orders") -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(OURS.format(kind=kind, name=name, body=DECIDES))


@pytest.fixture
def sdk(tmp_path: Path) -> Path:
    """A folder of installed packages with the real SDK."""
    return write_real_sdk(tmp_path / "site-packages")


def test_the_real_sdk_is_named_with_its_place_and_the_remedy(sdk: Path, tmp_path: Path) -> None:
    text, is_installed, real = install(
        after="import connect.exceptions",
        value="connect.exceptions.__file__",
        cwd=tmp_path,
        path=(sdk,),
    )
    assert text == (
        "`connect` can't become a name of connect_worker, because there is a real one: "
        f"connect-sdk 20.3, in {sdk / 'connect'}; pip uninstall connect-sdk, or import from "
        "connect_worker (connect_worker.models and so on) instead of connect"
    )
    assert not is_installed
    assert real == str(sdk / "connect" / "exceptions.py")


def test_one_that_is_imported_already_is_not_replaced(tmp_path: Path) -> None:
    stand_in = "import sys, types; connect = sys.modules['connect'] = types.ModuleType('connect')"
    text, is_installed, kept = install(
        before=stand_in, value="sys.modules['connect'] is connect", cwd=tmp_path
    )
    assert "there is a real one: <module 'connect'>; move it away, or import from" in str(text)
    assert (is_installed, kept) == (False, True)


def test_one_that_comes_into_sight_later_is_noticed(sdk: Path, tmp_path: Path) -> None:
    late = f"compat.install(); import sys; sys.path.append({str(sdk)!r})"
    text, is_installed, _ = install(before=late, cwd=tmp_path)
    assert "connect-sdk 20.3" in str(text)
    assert is_installed


def test_a_package_that_shares_the_name_with_others_is_real(tmp_path: Path) -> None:
    # As the clients of later years do it: `connect.client`, with no `connect/__init__.py`.
    client = tmp_path / "packages" / "connect" / "client"
    client.mkdir(parents=True)
    (client / "__init__.py").write_text("name = 'client'\n")
    text, is_installed, name = install(
        after="import connect.client",
        value="connect.client.name",
        cwd=tmp_path,
        path=(tmp_path / "packages",),
    )
    assert str(client.parent) in str(text)
    assert (is_installed, name) == (False, "client")


def test_a_module_is_real_and_a_folder_without_python_is_not(tmp_path: Path) -> None:
    (tmp_path / "folder" / "connect" / "orders").mkdir(parents=True)
    (tmp_path / "folder" / "connect" / "orders" / "1.csv").write_text("id\n")
    assert install(cwd=tmp_path / "folder")[:2] == ["", True]
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "connect.py").write_text("")
    text, is_installed, _ = install(cwd=tmp_path / "file")
    assert "connect.py; move it away" in str(text)
    assert not is_installed


def test_the_command_refuses_too(sdk: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import connect\n")
    status, _, errors = python(
        "-m", "connect_worker.compat", "script.py", cwd=tmp_path, path=(sdk,)
    )
    assert status == 1
    assert errors.startswith(
        "connect_worker.compat: `connect` can't become a name of connect_worker"
    )
    assert "Traceback" not in errors


def test_the_worker_loads_modules_under_the_alias_by_itself(tmp_path: Path) -> None:
    write(tmp_path / "orders.py")
    write(tmp_path / "elsewhere" / "resellers.py", kind="TierConfigAutomation", name="Resellers")
    found = load("orders", "elsewhere/resellers.py", cwd=tmp_path)
    file = tmp_path / "elsewhere" / "resellers.py"
    assert found == ["orders.Orders", f"Resellers in {file}"]


@pytest.mark.long
def test_the_worker_says_that_automations_are_the_real_sdks(sdk: Path, tmp_path: Path) -> None:
    write(tmp_path / "orders.py")
    (tmp_path / "exported.py").write_text("from orders import Orders\n")
    for name in ("orders", "./orders.py", "exported"):
        assert load(name, cwd=tmp_path, path=(sdk,)) == (
            f"CONNECT_PROCESSORS: Orders in {name} is an automation of the `connect` of "
            f"connect-sdk 20.3, in {sdk / 'connect'}; pip uninstall connect-sdk, or import from "
            "connect_worker (connect_worker.models and so on) instead of connect"
        )


@pytest.mark.long
def test_the_worker_says_that_the_real_sdk_broke_the_import(sdk: Path, tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text("import connect.broken\n")
    (tmp_path / "lacks.py").write_text("from connect.models import Fulfillment\n")
    for name, fault in (("breaks", "AttributeError: no attr"), ("lacks", "ModuleNotFoundError: ")):
        text = str(load(name, cwd=tmp_path, path=(sdk,)))
        assert text.startswith(f"CONNECT_PROCESSORS: {name} can't be imported: {fault}")
        assert "; its `connect` is that of connect-sdk 20.3, in " in text
        assert "pip uninstall connect-sdk" in text


def test_other_faults_are_not_blamed_on_it(sdk: Path, tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text("import connect.exceptions\n1 / 0\n")
    text = load("breaks", cwd=tmp_path, path=(sdk,))
    assert (
        text == "CONNECT_PROCESSORS: breaks can't be imported: ZeroDivisionError: division by zero"
    )


def test_the_worker_runs_modules_that_import_connect_worker_beside_it(
    sdk: Path, tmp_path: Path
) -> None:
    source = OURS.format(kind="FulfillmentAutomation", name="Orders", body=DECIDES)
    (tmp_path / "orders.py").write_text(source.replace("from connect.", "from connect_worker."))
    assert load("orders", cwd=tmp_path, path=(sdk,)) == ["orders.Orders"]


def test_a_users_own_package_of_that_name_stays_theirs(tmp_path: Path) -> None:
    package = tmp_path / "connect"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "orders.py").write_text(
        "from connect_worker.resources import FulfillmentAutomation\n"
        f"class Orders(FulfillmentAutomation):\n    {DECIDES}\n"
    )
    (tmp_path / "start.py").write_text("from connect.orders import Orders\n")
    assert load("connect.orders", cwd=tmp_path) == ["connect.orders.Orders"]
    # Found beside the file, though the worker runs elsewhere.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert load(str(tmp_path / "start.py"), cwd=elsewhere) == ["connect.orders.Orders"]


def test_one_beside_a_later_module_is_not_hidden_by_the_alias(tmp_path: Path) -> None:
    write(tmp_path / "orders.py")
    write(tmp_path / "other" / "resellers.py", kind="TierConfigAutomation", name="Resellers")
    (tmp_path / "other" / "connect.py").write_text("")
    text = str(load("orders", "other/resellers.py", cwd=tmp_path))
    assert (
        "other/resellers.py can't be imported: CompatInstallError: `connect` can't become a name "
        "of connect_worker" in text
    )
    assert f"{tmp_path / 'other' / 'connect.py'}; move it away" in text
