from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.webhook_stack import WebhookStack, running_webhook_stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[WebhookStack]:
    with running_webhook_stack(tmp_path) as stack:
        yield stack
