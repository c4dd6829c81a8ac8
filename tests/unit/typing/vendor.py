"""A vendor's module: all that a vendor subclasses, calls, returns and raises.

Type checkers see it as a user's own code, in their strictest mode (test_typing.py); what they infer
of each expression is said by `assert_type`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, assert_type

from celery.schedules import crontab

from connect_worker.config import Config
from connect_worker.exceptions import (
    AcceptUsageFile,
    FailRequest,
    InquireRequest,
    RejectUsageFile,
    RetryRequest,
    SkipRequest,
    SubmitUsageFile,
)
from connect_worker.models import (
    ActivationTemplateResponse,
    ActivationTileResponse,
    Asset,
    Contract,
    Conversation,
    Fulfillment,
    Item,
    Param,
    Product,
    TierAccount,
    TierConfig,
    TierConfigRequest,
    UsageFile,
    UsageListing,
    UsageRecord,
)
from connect_worker.resources import (
    Directory,
    FulfillmentAutomation,
    TemplateResource,
    TierConfigAutomation,
    UsageAutomation,
    UsageFileAutomation,
)
from connect_worker.rql import Query
from connect_worker.testing import (
    Call,
    DryRun,
    Fail,
    Outcome,
    State,
    purchase,
    recorded,
    run,
    tier_setup,
    usage_file,
    usage_listing,
)

Response = ActivationTemplateResponse | ActivationTileResponse


class Purchases(FulfillmentAutomation):
    """Each attribute of a request has its type."""

    products = ["PRD-111-222-333"]  # noqa: RUF012 - as vendors write it
    max_concurrency = 2

    def process_request(self, request: Fulfillment) -> Response:
        """Decide one request."""
        assert_type(request.id, str)
        assert_type(request.status, str)
        assert_type(request.created, datetime)
        assert_type(request.asset, Asset)
        assert_type(request.asset.product, Product)
        assert_type(request.asset.product.name, str)
        assert_type(request.asset.tiers.tier1, TierAccount)
        assert_type(request.asset.items, list[Item])
        assert_type(request.asset.params, list[Param])
        assert_type(request.new_items, list[Item])
        assert_type(request.needs_migration(), bool)
        assert_type(request.get_conversation(self.config), Conversation | None)
        assert_type(self.idempotency_key, str)
        assert_type(self.attempt, int)
        assert_type(self.config, Config)
        if request.type == "cancel":
            raise SkipRequest("Not by us")
        email = request.asset.get_param_by_id("email")
        assert_type(email, Param | None)
        if email is not None and not email.value:
            email.value_error = "Please give an email address"
            raise InquireRequest("An email, please", params=[email])
        for item in request.asset.items:
            if not item.mpn:
                raise FailRequest("No item")
        self.update_parameters(request.id, [Param(id="purchase_id", value="T-1")])
        self.logger.info("done")
        if request.type == "change":
            return ActivationTemplateResponse("TL-111-222-333")
        if request.type == "resume":
            return TemplateResource(self.config).render("TL-111-222-333", request.id)
        return ActivationTileResponse("Welcome!")


class Provisioning(FulfillmentAutomation):
    """Several effects, hours of waiting, limits, and rules for what goes wrong."""

    queue = "slow"
    priority = 3
    time_limit = 120
    give_up_after = 4 * 3600
    retry_on = (ConnectionError,)
    give_up_on = (LookupError, ValueError)
    when_exhausted = FailRequest("We could not set it up")

    def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        """Decide one request."""
        tenant: str = self.step("tenant", self.create, request.asset.id, seats=3)
        ready: bool = self.step("ready", lambda: bool(tenant))
        if not ready:
            raise RetryRequest("The tenant is being set up", delay=60, give_up_after=3600)
        return ActivationTileResponse(tenant)

    def create(self, asset_id: str, *, seats: int) -> str:
        """Create a tenant."""
        assert_type(self.step_key, str)
        return f"{asset_id} with {seats}"


class Resellers(TierConfigAutomation):
    """The same for resellers."""

    def process_request(self, request: TierConfigRequest) -> ActivationTileResponse:
        """Decide one request."""
        assert_type(request.configuration, TierConfig)
        assert_type(request.configuration.account, TierAccount)
        assert_type(request.get_param_by_id("reseller_id"), Param | None)
        known = TierConfig.get("TA-1", "PRD-1", self.config)
        assert_type(known, TierConfig | None)
        return ActivationTileResponse(f"Welcome, {request.configuration.account.name}!")


class Reports(UsageAutomation):
    """Usage is reported with models, too."""

    period = "month"
    schedule = crontab(day_of_month=2, hour=3, minute=0)

    def process_request(self, request: UsageListing) -> str:
        """Report one listing."""
        file = UsageFile(
            name=f"Usage of {self.reporting_period}",
            product=Product(id=request.product.id),
            contract=Contract(id=request.contract.id),
        )
        assets = Directory(self.config).list_assets(Query().equal("product.id", request.product.id))
        assert_type(assets, list[Asset])
        records = [UsageRecord(record_id=asset.id, quantity=1) for asset in assets]
        submitted = self.submit_usage(file, records)
        assert_type(submitted, UsageFile)
        return submitted.id


class Reviews(UsageFileAutomation):
    """Files are decided by what is raised."""

    def process_request(self, request: UsageFile) -> None:
        """Decide one file."""
        if request.status == "pending":
            raise AcceptUsageFile("Fine") if request.name else RejectUsageFile("No name")
        raise SubmitUsageFile()


def main() -> None:
    """Run an automation as the 2019 SDK did."""
    config = Config.local("https://api.example/public/v1", "ApiKey SU-1:key", ["PRD-1"])
    purchases = Purchases(config)
    assert_type(purchases.list(), list[Fulfillment])
    purchases.process()


def tests() -> None:
    """Test it."""
    request = purchase(params={"email": "", "plan": {"value": "basic"}}, items={"SKUA": 1})
    assert_type(request, Fulfillment)
    assert_type(tier_setup(id="TCR-1"), TierConfigRequest)
    assert_type(usage_file(invalid=1), UsageFile)
    assert_type(usage_listing(override={"vendor": None}), UsageListing)
    done = run(Purchases, request, at=datetime.now(UTC))
    assert_type(done, DryRun)
    assert_type(done.outcome, Outcome | None)
    assert_type(done.state, State)
    assert_type(done.calls, tuple[Call, ...])
    assert_type(done.messages, list[str])
    assert_type(run(Purchases, recorded("order.json")), DryRun)
    match done.outcome:
        case Fail(reason):
            assert_type(reason, str)
        case _:
            pass
    assert_type(run(Provisioning, request, steps={"tenant": "T-1"}).steps["tenant"], Any)
    document: dict[str, Any] = request.json
    assert document["id"]
