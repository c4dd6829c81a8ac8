"""Reseller setups: approves every reseller that has an account."""

from __future__ import annotations

from connect_worker.exceptions import FailRequest
from connect_worker.models import ActivationTileResponse, TierConfigRequest
from connect_worker.resources import TierConfigAutomation


class Resellers(TierConfigAutomation):
    """Approves setups and updates of resellers."""

    def process_request(self, request: TierConfigRequest) -> ActivationTileResponse:
        """Decide one tier config request."""
        account = request.configuration.account
        if not account.id:
            raise FailRequest("The setup names no account")
        return ActivationTileResponse(
            f"Reseller {account.id} may order {request.configuration.product.name}."
        )
