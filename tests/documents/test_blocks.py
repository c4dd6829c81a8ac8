"""Every fenced block of the pages is checked by its language."""

from __future__ import annotations

import pytest
from click import ClickException

from connect_worker.exceptions import SettingsError
from connect_worker.sandbox.http import ApiError
from tests.documents.checks import check
from tests.support.page_blocks import BLOCKS, Block, blocks_of


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_right(block: Block) -> None:
    check(block)


#: What a check, a parser of ours or the sandbox's router says.
REFUSALS = (AssertionError, ValueError, SyntaxError, ClickException, SettingsError, ApiError)

WRONG = {
    "no language": ("", "anything"),
    "a language that nothing checks": ("cobol", "STOP RUN."),
    "a program that nothing checks": ("sh", "frobnicate --all"),
    "a shell's grammar": ("sh", "if true; then"),
    "an option of ours": ("sh", "connect-worker list --not-there"),
    "a value of ours": ("sh", "connect-worker list --state nowhere"),
    "an option of celery": ("sh", "celery -A tasks worker --not-there"),
    "an option of flower": ("sh", "celery -A tasks flower --not-there=1"),
    "an option of the sandbox": ("sh", "python -m connect_worker.sandbox --not-there &"),
    "a module": ("sh", "python -m connect_worker.not_there"),
    "a target": ("sh", "make not-there"),
    "an option behind a target": ("sh", "make bench ARGS='full --only nothing'"),
    "an endpoint": ("sh", "curl --silent http://127.0.0.1:8800/sandbox/not-there"),
    "inside a substitution": ("sh", 'eval "$(connect-worker not-there)"'),
    "a service": ("sh", "docker compose up --scale not-there=3"),
    "an option of docker": ("sh", "docker compose up --not-there"),
    "a manifest": ("sh", "cd deploy/kubernetes\nkubectl apply -f not-there.yaml"),
    "a unit": ("sh", "systemctl enable --now connect-not-there"),
    "a file to install": ("sh", "install -m 0644 deploy/not-there.service /etc"),
    "a lock": ("sh", "pip install --require-hashes -r not-there.lock"),
    "an extra": ("sh", "pip install './connect-worker[not-there]'"),
    "a variable": ("sh", "export CONNECT_NOT_THERE=1"),
    "a value of a setting": ("ini", "CONNECT_PAGE_SIZE=5000"),
    "a variable in a file": ("ini", "FLOWER_NOT_THERE=1"),
    "a service to override": ("yaml", "services: {not-there: {}}"),
    "an instruction": ("dockerfile", "FROM connect-worker\nFROBNICATE"),
    "JSON": ("json", "{"),
    "Python": ("python", "def"),
    "an output that nothing compares": ("console", "$ make demo\nhello"),
    "the order of the packages": ("layers", "ledger → tasks"),
    "a package": ("layers", "tasks → cellar"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_block_is_noticed(wrong: str) -> None:
    language, text = WRONG[wrong]
    [block] = blocks_of("page.md", f"# Page\n\n```{language}\n{text}\n```\n")
    with pytest.raises(REFUSALS):
        check(block)


def test_an_indented_block_is_one_without_a_language() -> None:
    [block] = blocks_of("page.md", "A paragraph.\n\n    indented code\n")
    assert block.language == ""
