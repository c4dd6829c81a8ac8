"""Usage: one report per listing and month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connect_worker.models import Contract, Product, UsageFile, UsageListing, UsageRecord
from connect_worker.resources import Directory, UsageAutomation

#: The example reports no more assets than this.
MOST_ASSETS = 25


class MonthlyUsage(UsageAutomation):
    """Reports last month's usage of each listing."""

    period = "month"

    def process_request(self, request: UsageListing) -> str:
        """Report one listing."""
        end = datetime.strptime(self.reporting_period, "%Y-%m").replace(tzinfo=UTC)
        start = (end - timedelta(days=1)).replace(day=1)
        usage_file = UsageFile(
            name=f"Usage of {start:%B %Y}",
            description=f"{request.product.id} under {request.contract.id}",
            product=Product(id=request.product.id),
            contract=Contract(id=request.contract.id),
        )
        records = self.records(request, start, end)
        if not records:
            return "nothing was used"
        submitted = self.submit_usage(usage_file, records)
        return f"reported as {submitted.id}"

    def records(self, request: UsageListing, start: datetime, end: datetime) -> list[UsageRecord]:
        """Return one record per asset and item; a real vendor would read its own metering here."""
        assets = Directory(self.config).list_assets({"product.id": request.product.id})
        return [
            UsageRecord(
                record_id=f"{asset.id}-{item.mpn}-{start:%Y-%m}",
                item_search_criteria="item.mpn",
                item_search_value=item.mpn,
                quantity=max(0, item.quantity),
                start_time_utc=f"{start:%Y-%m-%d %H:%M:%S}",
                end_time_utc=f"{end:%Y-%m-%d %H:%M:%S}",
                asset_search_criteria="asset.id",
                asset_search_value=asset.id,
            )
            for asset in assets[:MOST_ASSETS]
            for item in asset.items
        ]
