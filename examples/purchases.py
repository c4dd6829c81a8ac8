"""Purchases: creates a tenant in the vendor's system, and stores the tenant's id in Connect."""

from __future__ import annotations

from connect_worker.exceptions import FailRequest, InquireRequest, SkipRequest
from connect_worker.models import ActivationTemplateResponse, ActivationTileResponse, Fulfillment
from connect_worker.resources import FulfillmentAutomation
from examples.vendor import create_tenant

MOST_SEATS = 100_000

Response = ActivationTemplateResponse | ActivationTileResponse


class Purchases(FulfillmentAutomation):
    """Approves purchases with a tenant, asks for a missing email, fails absurd quantities."""

    def process_request(self, request: Fulfillment) -> Response:
        """Decide one fulfillment request."""
        if request.needs_migration():
            raise SkipRequest("Migrated by another service")
        if request.type != "purchase":
            return ActivationTileResponse(f"Your {request.type} is done.")
        return self.purchase(request)

    def purchase(self, request: Fulfillment) -> Response:
        """Create the tenant and store its id in Connect."""
        for item in request.asset.items:
            if item.quantity > MOST_SEATS:
                raise FailRequest(f"{item.quantity} of {item.mpn} is more than we can provide")
        email = request.asset.get_param_by_id("email")
        if email is not None and not email.value:
            email.value_error = "Please give the email address of the administrator"
            raise InquireRequest("We need an email address", params=[email])
        tenant = create_tenant(
            request_id=request.id,
            email=str(email.value) if email else "",
            # The vendor's system creates one tenant for this key, even if this worker dies.
            key=self.idempotency_key,
        )
        purchase_id = request.asset.get_param_by_id("purchase_id")
        if purchase_id is not None:
            purchase_id.value = tenant
            self.update_parameters(request.id, [purchase_id])
        self.logger.info("tenant %s created", tenant)
        return ActivationTileResponse(f"# Welcome!\n\nYour tenant is {tenant}.")
