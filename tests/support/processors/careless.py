"""A processor that says all it knows: in its log, in its errors and in its decisions."""

from __future__ import annotations

import logging
import os
import threading
from typing import NoReturn

from connect_worker.exceptions import InquireRequest
from connect_worker.models import ActivationTileResponse, Fulfillment, Param
from connect_worker.resources import FulfillmentAutomation

NEW_PASSWORD = "canary-password-of-the-processor"
#: It commands a terminal, turns the direction of a text, and forges a line of the log.
HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e\u2028\n2026-01-01 00:00:00,000 INFO connect_worker forged"


class Careless(FulfillmentAutomation):
    """Does what the request's parameter `what` says."""

    def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        password = request.asset.get_param_by_id("password")
        assert password is not None
        self.logger.info("logging in with %s", password.value)
        self.logger.debug("the request is %s", request.json, extra={"document": request.json})
        logging.getLogger("vendor.client").warning("in the processor's library")
        self.logger.warning("they say %s [red]", HOSTILE)
        thread = threading.Thread(target=self.logger.info, args=("in a thread: %s", password.value))
        thread.start()
        thread.join()
        what = request.asset.get_param_by_id("what")
        match what.value if what else "":
            case "raise":
                values = {param.id: param.value for param in request.asset.params}
                secrets = {k: v for k, v in os.environ.items() if k.startswith("CONNECT_")}
                raise RuntimeError(f"the vendor's system refused {values}{HOSTILE} {secrets}")
            case "inquire":
                self.ask(password)
            case "inquire-changed":
                password.value = NEW_PASSWORD
                self.ask(password)
            case "quote":
                password.value_error = f"{password.value}{HOSTILE} is too weak"
                raise InquireRequest(f"We can't take {password.value}", params=[password])
        return ActivationTileResponse("# Welcome!")

    def ask(self, password: Param) -> NoReturn:
        password.value_error = "Please choose a stronger one"
        raise InquireRequest("We need another password", params=[password])
