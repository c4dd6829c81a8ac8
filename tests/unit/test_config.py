"""`Config`: where its entries come from, what is refused, and which one is in force."""

import json
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from connect_worker.config import Config, use_config

URL = "https://connect.example.org/public/v1"
KEY = "SU-111-222-333:cafebabe"
REPOSITORY = Path(__file__).parents[2]


def write(folder: Path, content: object, name: str = "config.json") -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return str(file)


def run(code: str, folder: Path) -> str:
    """Run code in a process of its own: the first `Config` of this one belongs to other tests."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n{code}"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stdout.strip()


def test_it_takes_its_entries_as_arguments() -> None:
    config = Config.local(URL, KEY, ["PRD-1", "PRD-2"])

    assert config.api_url == URL + "/"
    assert config.api_key == f"ApiKey {KEY}"
    assert config.products == ["PRD-1", "PRD-2"]


@pytest.mark.parametrize("key", [KEY, f"ApiKey {KEY}", f"apikey {KEY}", f"  ApiKey  {KEY}\n"])
def test_the_key_has_its_prefix_once(key: str) -> None:
    assert Config.local(URL, key).api_key == f"ApiKey {KEY}"


@pytest.mark.parametrize("url", [URL, URL + "/", f" {URL}// "])
def test_a_path_can_be_joined_to_the_url(url: str) -> None:
    assert Config.local(url, KEY).api_url + "requests" == f"{URL}/requests"


@pytest.mark.parametrize(
    "document",
    [
        {"apiEndpoint": URL, "apiKey": KEY, "products": "PRD-1"},
        {"apiEndpoint": URL, "apiKey": f"ApiKey {KEY}", "products": ["PRD-1"]},
        {"api_url": URL, "api_key": KEY, "products": ["PRD-1"]},
    ],
)
def test_it_reads_the_2019_sdks_file(document: dict[str, Any], tmp_path: Path) -> None:
    config = Config.local(file=write(tmp_path, document))

    assert (config.api_url, config.api_key) == (URL + "/", f"ApiKey {KEY}")
    assert config.products == ["PRD-1"]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = write(tmp_path, "\ufeff" + json.dumps({"apiEndpoint": URL, "apiKey": KEY}))

    assert Config.local(file=file).products == []


def test_an_argument_wins_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, {"apiEndpoint": URL, "apiKey": KEY, "products": "PRD-1"})
    config = Config.local(api_url="https://other.example.org", products="PRD-2", file=file)

    assert config.api_url == "https://other.example.org/"
    assert config.products == ["PRD-2"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "'api_url', 'api_key'"),
        ({"api_url": URL}, "'api_key'"),
        ({"api_key": KEY}, "'api_url'"),
        ({"api_url": URL, "api_key": "   "}, "api_key"),
        ({"api_url": URL, "api_key": "ApiKey a\nX-Other: b"}, "api_key"),
    ],
)
def test_missing_entries_are_value_errors_that_name_them(
    arguments: dict[str, str], named: str
) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        Config.local(**arguments)

    assert "X-Other" not in str(caught.value)


@pytest.mark.parametrize("missing", ["apiEndpoint", "apiKey"])
def test_an_entry_that_the_file_lacks_is_named(missing: str, tmp_path: Path) -> None:
    document = {"apiEndpoint": URL, "apiKey": KEY}
    del document[missing]

    with pytest.raises(ValueError, match=missing):
        Config.local(file=write(tmp_path, document))


@pytest.mark.parametrize("content", ["no json", "[]", '"text"', "null"])
def test_a_file_without_a_json_object_is_a_type_error(content: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"config\.json"):
        Config.local(file=write(tmp_path, content))


@pytest.mark.parametrize("products", [7, {"PRD": 1}, ["PRD-1", 7]])
def test_products_of_another_type_are_type_errors(products: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="products"):
        Config.local(URL, KEY, products)
    file = write(tmp_path, {"apiEndpoint": URL, "apiKey": KEY, "products": products})
    with pytest.raises(TypeError, match="products"):
        Config.local(file=file)


def test_a_key_that_is_no_text_is_a_type_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="api_key must be a string, not int"):
        Config.local(file=write(tmp_path, {"apiEndpoint": URL, "apiKey": 7}))


def test_a_file_that_is_not_there_is_an_os_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nowhere\.json"):
        Config.local(file=str(tmp_path / "nowhere.json"))


def test_the_key_is_never_shown() -> None:
    config = Config.local(URL, KEY, "PRD-1")

    assert "cafebabe" not in f"{config} {config!r}"
    assert URL in repr(config)


def test_its_list_of_products_is_the_callers_own() -> None:
    config = Config.local(URL, KEY, "PRD-1")
    config.products.append("PRD-2")

    assert config.products == ["PRD-1"]


def test_it_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(Config.local(URL, KEY, "PRD-1")))

    assert (again.api_url, again.api_key) == (URL + "/", f"ApiKey {KEY}")
    assert again.products == ["PRD-1"]


def test_the_first_one_made_is_the_global_one(tmp_path: Path) -> None:
    code = f"""
import pickle
from connect_worker.config import Config
pickle.loads(pickle.dumps(Config.local("https://local.example.org", {KEY!r})))
first = Config("https://first.example.org", {KEY!r})
Config("https://second.example.org", {KEY!r})
print(Config.get_instance() is first)
"""
    assert run(code, tmp_path) == "True"


def test_without_one_it_is_made_of_the_file_in_the_working_directory(tmp_path: Path) -> None:
    write(tmp_path, {"apiEndpoint": URL, "apiKey": KEY})
    code = """
from connect_worker.config import Config
one = Config.get_instance()
print(one.api_url, one is Config.get_instance())
"""
    assert run(code, tmp_path) == f"{URL}/ True"


def test_without_one_and_without_the_file_an_os_error_names_the_file(tmp_path: Path) -> None:
    code = """
from connect_worker.config import Config
try:
    Config.get_instance()
except OSError as error:
    print(error.filename)
"""
    assert run(code, tmp_path) == str(tmp_path / "config.json")


def test_threads_that_race_for_the_first_one_agree(tmp_path: Path) -> None:
    code = f"""
import threading
from concurrent.futures import ThreadPoolExecutor
from connect_worker.config import Config
start = threading.Barrier(16)
def make(number):
    start.wait()
    Config(f"https://{{number}}.example.org", {KEY!r})
    return Config.get_instance()
with ThreadPoolExecutor(16) as pool:
    print(len(set(pool.map(make, range(16)))))
"""
    assert run(code, tmp_path) == "1"


def test_use_config_puts_another_one_in_force_for_the_block() -> None:
    outer, inner = Config.local(URL, KEY), Config.local("https://inner.example.org", KEY)

    with use_config(outer):
        with use_config(inner) as given:
            assert Config.get_instance() is given is inner
        assert Config.get_instance() is outer
        with pytest.raises(KeyError), use_config(inner):
            raise KeyError
        assert Config.get_instance() is outer


def test_use_config_holds_for_its_own_thread_only() -> None:
    configs = [Config.local(f"https://{number}.example.org", KEY) for number in range(4)]
    everybody_is_in = threading.Barrier(len(configs))

    def work(config: Config) -> bool:
        with use_config(config):
            everybody_is_in.wait(timeout=10)
            return Config.get_instance() is config

    with ThreadPoolExecutor(len(configs)) as pool:
        assert all(pool.map(work, configs))


# ---- a subclass of the vendor's under a worker

VENDORS = f"""
from connect_worker.config import Config, use_config

class My(Config):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.backend = "https://backend.example"

    @property
    def misc(self):
        return {{"region": "eu"}}

    @property
    def broken(self):
        return self.no_such_name

mine = My({URL!r}, {KEY!r}, ["PRD-1"])
worker = Config.local({URL!r}, {KEY!r}, ["PRD-2"])
other = Config.local({URL!r}, "SU-9:other")
"""


def test_the_vendors_instance_stands_for_its_account(tmp_path: Path) -> None:
    code = f"""{VENDORS}
with use_config(worker):
    assert Config.get_instance() is mine, "of the same URL and key"
    assert My.get_instance().misc["region"] == "eu"
    assert Config.get_instance().products == ["PRD-2"], "the settings name the products"
with use_config(other):
    assert Config.get_instance() is other
second = My({URL!r}, {KEY!r}, ["PRD-3"])
with use_config(second):
    assert Config.get_instance() is second, "an instance of the vendor's that is in force"
assert Config.get_instance() is mine
print("done")
"""
    assert run(code, tmp_path) == "done"


def test_a_property_of_another_accounts_instance_is_explained(tmp_path: Path) -> None:
    code = f"""{VENDORS}
for name in ("misc", "backend", "neither"):
    with use_config(other):
        try:
            getattr(Config.get_instance(), name)
        except AttributeError as error:
            print(error)
"""
    misc, backend, neither = run(code, tmp_path).splitlines()
    for text, name in ((misc, "misc"), (backend, "backend")):
        assert text == (
            f"'Config' object has no attribute '{name}'. The My of {URL}/ has one, but is not for "
            f"the account in force, {URL}/: make one for each account, with the URL and the key of "
            "its settings"
        )
    assert neither == "'Config' object has no attribute 'neither'"


def test_a_property_that_fails_says_why(tmp_path: Path) -> None:
    code = f"""{VENDORS}
try:
    mine.broken
except AttributeError as error:
    print(error)
plain = Config.local({URL!r}, {KEY!r})
plain.misc = 5
print(plain.misc)
"""
    why, misc = run(code, tmp_path).splitlines()
    assert why == "'My' object has no attribute 'no_such_name'"
    assert misc == "5"
