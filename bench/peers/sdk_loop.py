"""The SDK's own loop over all pending requests; needs an environment with connect-sdk 22.0.

`python sdk_loop.py API_URL API_KEY`
"""

# mypy: ignore-errors

import sys

from connect.config import Config
from connect.models import ActivationTileResponse
from connect.resources import FulfillmentAutomation


class Approvals(FulfillmentAutomation):
    def process_request(self, request):
        request.asset.get_param_by_id("email")
        return ActivationTileResponse(f"Welcome, {request.id}")


if __name__ == "__main__":
    Approvals(Config(api_url=sys.argv[1], api_key=sys.argv[2])).process()
