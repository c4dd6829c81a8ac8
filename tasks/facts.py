"""What each line of a task's log says of its account."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from connect_worker.logger import bind_log


def of_account(account: str) -> AbstractContextManager[None]:
    """Bind the account's name to all lines of a block, where it has one."""
    return bind_log(account=account) if account else nullcontext()
