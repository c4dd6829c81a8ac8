"""What a page shows as printed is what is printed."""

from __future__ import annotations

import io
import json
import logging
from datetime import datetime

from connect_worker.logger import LogEvent, bind_log
from connect_worker.observability.logging import prepare_handler
from tests.support.page_blocks import blocks


def test_the_log_line_of_the_security_page_is_a_settled_jobs() -> None:
    [block] = [item for item in blocks("docs/security.md") if item.language == "json"]
    shown = json.loads(block.text)
    handler = logging.StreamHandler(io.StringIO())
    prepare_handler(handler, "json")
    event = LogEvent(shown["event"], outcome=shown["outcome"])
    record = logging.LogRecord(shown["logger"], logging.INFO, __file__, 1, event, (), None)
    record.created = datetime.fromisoformat(shown["time"]).timestamp()
    bound = {name: shown[name] for name in ("request", "product", "cycle", "attempt")}
    with bind_log(**bound):
        handler.handle(record)
    assert handler.stream.getvalue() == block.text
