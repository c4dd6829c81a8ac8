"""`connect` as a second name of `connect_worker`: the same modules and classes under both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .interpreter import evaluate, python
from .test_sdk_names import NAMES


def test_each_public_module_and_class_is_the_same_object(tmp_path: Path) -> None:
    code = """
    import importlib, json, pkgutil
    from connect_worker import compat, models, resources
    compat.install()
    names = ["", ".config", ".exceptions", ".logger", ".models", ".resources", ".rql"]
    names += [f".models.{m.name}" for m in pkgutil.iter_modules(models.__path__)]
    names += [f".resources.{m.name}" for m in pkgutil.iter_modules(resources.__path__)]
    compared, wrong = 0, []
    for name in names:
        if "._" in name:
            continue
        theirs = importlib.import_module("connect" + name)
        ours = importlib.import_module("connect_worker" + name)
        things = {**vars(ours), "": ours}
        compared += len(things)
        wrong += [name] if theirs is not ours else []
        wrong += [ours.__name__] if ours.__spec__.name != "connect_worker" + name else []
    print(json.dumps([compared > 1000, wrong]))
    """
    assert evaluate(code, cwd=tmp_path) == [True, []]


def test_every_form_of_import_leads_there(tmp_path: Path) -> None:
    code = """
    import json
    import connect_worker.compat
    connect_worker.compat.install()
    import connect
    forms = [connect.resources.Directory.__module__]
    import connect.models as m, connect.models.fulfillment, connect.models.contact_info
    from connect import models
    from connect.models import Fulfillment, contact_info, fulfillment
    from connect.models.tier_config_request import TierConfigRequest
    import connect_worker.models
    forms += [m is models is connect_worker.models, connect is connect_worker]
    forms += [fulfillment is connect.models.fulfillment, Fulfillment is fulfillment.Fulfillment]
    forms += [connect.models.contact_info is contact_info is models.contact]
    from connect.logger import logger
    from connect.logger.logger import logger as same
    forms += [logger is same is connect.logger.logger, logger.name]
    print(json.dumps(forms))
    """
    expected = ["connect_worker.resources.directory", *[True] * 6, "connect_worker"]
    assert evaluate(code, cwd=tmp_path) == expected


def test_names_of_the_first_releases_are_known_and_reported_as_old(tmp_path: Path) -> None:
    code = """
    import json, warnings
    from connect_worker import compat, exceptions
    compat.install()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        from connect.models.exception import FulfillmentFail, FulfillmentInquire, Skip
        from connect.models import FailRequest, SubmitUsageFile
    new = [exceptions.FailRequest, exceptions.InquireRequest, exceptions.SkipRequest]
    same = [FulfillmentFail, FulfillmentInquire, Skip] == new
    same = same and [FailRequest, SubmitUsageFile] == [new[0], exceptions.SubmitUsageFile]
    try:
        from connect.models import Nonsense
    except ImportError as error:
        said = {str(one.message) for one in said}
        print(json.dumps([same, "Nonsense" in str(error), sorted(said)]))
    """
    same, refused, said = evaluate(code, cwd=tmp_path)
    assert (same, refused) == (True, True)
    assert "FulfillmentFail is connect_worker.exceptions.FailRequest now" in said
    assert len(said) == 5


def test_errors_are_caught_and_models_known_by_both_names(tmp_path: Path) -> None:
    code = """
    import json
    from connect_worker import compat
    compat.install()
    import connect.exceptions, connect.models
    from connect_worker import exceptions, models
    caught = []
    try:
        raise exceptions.FailRequest("ours")
    except connect.exceptions.FailRequest as error:
        caught.append(str(error))
    try:
        raise connect.exceptions.SubmitUsageFile("theirs")
    except exceptions.UsageFileAction as error:
        caught.append(str(error))
    caught.append(isinstance(models.Param(id="a"), connect.models.Param))
    print(json.dumps(caught))
    """
    assert evaluate(code, cwd=tmp_path) == ["ours", "theirs", True]


def test_what_is_pickled_under_the_alias_is_read_without_it(tmp_path: Path) -> None:
    write = """
    import pickle
    from connect_worker import compat
    compat.install()
    from connect.exceptions import InquireRequest
    from connect.models.contact_info import ContactInfo
    from connect.models.param import Param
    things = [Param(id="email", value="a@b.example"), ContactInfo, InquireRequest("which?")]
    open("pickled", "wb").write(pickle.dumps(things))
    print(1)
    """
    read = """
    import json, pickle, sys
    param, kind, error = pickle.loads(open("pickled", "rb").read())
    print(json.dumps([param.json, kind.__name__, str(error), "connect" in sys.modules]))
    """
    evaluate(write, cwd=tmp_path)
    expected = [{"id": "email", "value": "a@b.example"}, "ContactInfo", "which?", False]
    assert evaluate(read, cwd=tmp_path) == expected


def test_importing_it_changes_nothing(tmp_path: Path) -> None:
    code = """
    import json, sys
    finders = list(sys.meta_path)
    import connect_worker.compat
    names = ("connect_worker.models", "connect_worker.resources", "connect")
    loaded = [name for name in names if name in sys.modules]
    print(json.dumps([loaded, sys.meta_path == finders]))
    """
    assert evaluate(code, cwd=tmp_path) == [[], True]


def test_a_reload_and_a_look_at_the_source_find_the_file(tmp_path: Path) -> None:
    code = """
    import importlib, inspect, json
    from connect_worker import compat
    compat.install()
    import connect.models.item
    before = connect.models.item
    after = importlib.reload(before)
    print(json.dumps([after is before, after.__spec__.name, "class Item" in
                      inspect.getsource(connect.models.item.Item)]))
    """
    assert evaluate(code, cwd=tmp_path) == [True, "connect_worker.models", True]


@pytest.mark.parametrize(
    "name",
    [
        "connect.sandbox",
        "connect.models._document",
        "connect.client",
    ],
)
def test_what_has_no_counterpart_is_not_found_and_says_so(name: str, tmp_path: Path) -> None:
    code = f"""
    import importlib, json, sys
    from connect_worker import compat
    compat.install()
    try:
        importlib.import_module({name!r})
    except ModuleNotFoundError as error:
        print(json.dumps([error.name, str(error), {name!r} in sys.modules]))
    """
    missing, text, is_loaded = evaluate(code, cwd=tmp_path)
    assert missing == name
    assert "'connect' is connect_worker here, which has no counterpart of it" in text
    assert not is_loaded


def test_the_names_of_before_release_16_are_there(tmp_path: Path) -> None:
    code = """
    import json, warnings
    from connect_worker import compat
    compat.install()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from connect import FulfillmentAutomation, TierConfigAutomation
    from connect.resources import FulfillmentAutomation as now, TierConfigAutomation as other
    same = [FulfillmentAutomation is now, TierConfigAutomation is other]
    print(json.dumps([*same, [str(warning.message) for warning in caught]]))
    """
    # No warning: `connect_worker`, and so `connect`, has these names again.
    assert evaluate(code, cwd=tmp_path) == [True, True, []]


def test_installing_twice_and_uninstalling_twice_do_what_once_does(tmp_path: Path) -> None:
    code = """
    import json, sys
    from connect_worker import compat
    finders = list(sys.meta_path)
    compat.install(); compat.install()
    import connect.models.contact_info, connect.resource, connect.resources.usage_automation
    seen = [len(sys.meta_path) - len(finders), compat.is_installed()]
    import connect_worker.models, connect_worker.resources
    compat.uninstall(); compat.uninstall()
    seen += [sys.meta_path == finders, compat.is_installed()]
    seen += [[name for name in sys.modules if name.partition(".")[0] == "connect"]]
    seen += [hasattr(connect_worker, "resource"), hasattr(connect_worker.models, "contact_info")]
    seen += [hasattr(connect_worker.models, "common"), connect_worker.logger.logger.name]
    try:
        import connect
    except ModuleNotFoundError as error:
        seen.append(str(error))
    compat.install()
    import connect.models.contact_info
    seen.append(connect.models.contact_info.ContactInfo is connect_worker.models.ContactInfo)
    print(json.dumps(seen))
    """
    gone = "No module named 'connect'"
    assert evaluate(code, cwd=tmp_path) == [
        1,
        True,
        True,
        False,
        [],
        False,
        False,
        True,
        "connect_worker",
        gone,
        True,
    ]


def test_a_hundred_threads_that_import_at_once_get_the_same(tmp_path: Path) -> None:
    code = f"""
    import importlib, json, threading
    from concurrent.futures import ThreadPoolExecutor
    from connect_worker import compat
    names = {sorted(NAMES)!r}
    start = threading.Barrier(100)
    def load(number):
        start.wait()
        compat.install()
        turn = number % len(names)
        return [importlib.import_module(name) for name in names[turn:] + names[:turn]]
    with ThreadPoolExecutor(100) as pool:
        loaded = list(pool.map(load, range(100)))
    print(json.dumps([len({{id(module) for module in modules}}) for modules in loaded]))
    """
    counts = evaluate(code, cwd=tmp_path)
    assert len(set(counts)) == 1


def test_the_command_runs_a_script_as_python_would(tmp_path: Path) -> None:
    folder = tmp_path / "cron"
    folder.mkdir()
    (folder / "neighbor.py").write_text("from connect.exceptions import FailRequest\n")
    (folder / "script.py").write_text(
        "import json, sys\n"
        "from connect.logger import logger\n"
        "from neighbor import FailRequest\n"
        "logger.setLevel('INFO')\n"
        "logger.info('key %s', 'ApiKey SU-1:secret')\n"
        "print(json.dumps([__name__, sys.argv, sys.path[0], FailRequest.__module__]))\n"
        "sys.exit(7)\n"
    )
    command = ("-m", "connect_worker.compat", "cron/script.py", "--all", "x")
    status, output, errors = python(*command, cwd=tmp_path)
    assert status == 7
    expected = ["__main__", ["cron/script.py", "--all", "x"], str(folder)]
    assert json.loads(output) == [*expected, "connect_worker.exceptions"]
    assert "INFO connect_worker key ApiKey ***" in errors


def test_the_command_keeps_the_handlers_that_a_script_sets_up(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import logging, sys\n"
        "logging.basicConfig(stream=sys.stdout, format='MINE %(message)s')\n"
        "logging.getLogger('anything').warning('once')\n"
    )
    status, output, errors = python("-m", "connect_worker.compat", "script.py", cwd=tmp_path)
    assert (status, output) == (0, "MINE once\n")
    assert errors == "connect_worker.compat: 0 requests\n"


@pytest.mark.parametrize(
    ("arguments", "text"), [((), "usage: "), (("none.py",), "there is no file none.py")]
)
def test_the_command_says_what_it_needs(
    arguments: tuple[str, ...], text: str, tmp_path: Path
) -> None:
    status, output, errors = python("-m", "connect_worker.compat", *arguments, cwd=tmp_path)
    assert (status, output) == (1, "")
    assert text in errors
