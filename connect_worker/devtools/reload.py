"""Looks at the running demo from outside: at the ledger, and at the sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import requests

from connect_worker.devtools.stack import RunningStack
from connect_worker.devtools.verdict import Tally, Verdict, judge, still_open
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.redis import RedisLedger
from connect_worker.operations.status import count_by_kind
from connect_worker.settings.model import Settings

# Which Python files have changed since the last look.

#: Folders in which nobody works; hidden ones aside.
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


class Changes:
    """Looks at the files' times: a few hundred of them take a millisecond or two.

    Args:
        folders: Where to look, everything below included.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self._known = self._look()

    def new(self) -> list[Path]:
        """Return the files that were written, made or removed since the last call."""
        now = self._look()
        changed = {path for path, _ in self._known.items() ^ now.items()}
        self._known = now
        return sorted(changed)

    def _look(self) -> dict[Path, int]:
        found = {}
        for top in self._folders:
            for folder, names, files in os.walk(top):
                names[:] = [n for n in names if n not in _SKIPPED and not n.startswith(".")]
                for name in files:
                    # An editor's own copies begin with a dot.
                    if name.endswith(".py") and not name.startswith("."):
                        path = Path(folder, name)
                        try:
                            found[path] = path.stat().st_mtime_ns
                        except OSError:
                            # Gone while we looked.
                            continue
        return found


TIMEOUT_SECONDS = 10.0


class Watch:
    """Reads how far the demo is; changes nothing."""

    def __init__(self, stage: RunningStack) -> None:
        account = Settings(api_url=stage.ready.api_url, api_key=stage.ready.api_key).account
        self._ledger = RedisLedger.from_url(stage.redis_url, account=account)
        self._address = f"{stage.ready.url}/sandbox/report"
        self._session = requests.Session()
        # A proxy of the environment does not lead to this machine.
        self._session.trust_env = False

    def look(self) -> Tally | None:
        """Return how far it is; None when one of the two does not answer right now."""
        try:
            rows = count_by_kind(self._ledger)
            summary = self._get({"summary": "1"})
        except (LedgerUnavailable, requests.RequestException):
            return None
        waiting = {RequestKind(kind): count for kind, count in still_open(summary).items()}
        listings = summary["totals"][RequestKind.USAGE]["count"]
        # A report, or the lack of one, is not told by a listing's status: the ledger knows.
        waiting[RequestKind.USAGE] = max(0, listings - rows[RequestKind.USAGE].ended)
        return Tally(rows, waiting)

    def verdict(self) -> Verdict:
        """Return what the sandbox says of each request.

        Raises:
            ClickException: The sandbox or the ledger does not answer.
        """
        try:
            return judge(self._get({}), parked=self._parked())
        except (LedgerUnavailable, requests.RequestException) as error:
            raise click.ClickException(f"What happened can't be found out: {error}") from error

    def _parked(self) -> dict[str, str]:
        return {
            ref.id: entry.error
            for kind in RequestKind
            for ref in self._ledger.parked(kind)
            if (entry := self._ledger.get_record(ref)) is not None
        }

    def _get(self, parameters: dict[str, str]) -> Any:
        answer = self._session.get(self._address, params=parameters, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return answer.json()
