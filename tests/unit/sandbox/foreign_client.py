"""Drives the sandbox with connect-sdk 22.0, in a Python environment that has nothing else.

Run as ``python foreign_client.py API_URL API_KEY``; prints what it saw as one JSON object. Its
imports are installed only in that environment, so it is left out of the type check.
"""

# mypy: ignore-errors

import json
import sys

from connect.config import Config
from connect.exceptions import FailRequest, InquireRequest, SubmitUsageFile
from connect.models import (
    ActivationTemplateResponse,
    ActivationTileResponse,
    Contract,
    Product,
    TierConfig,
    UsageFile,
    UsageRecord,
)
from connect.resources import (
    Directory,
    FulfillmentAutomation,
    TemplateResource,
    TierConfigAutomation,
    UsageAutomation,
    UsageFileAutomation,
)

SEEN = {
    "fulfillment": [],
    "tier_config": [],
    "usage_files": [],
    "listings": [],
    "templates_rendered": 0,
    "tier_configs_found": 0,
    "usage_template_bytes": 0,
}


def template_of(product_id):
    return TemplateResource(Config.get_instance()).list(product_id)[0]["id"]


class Orders(FulfillmentAutomation):
    def process_request(self, request):
        SEEN["fulfillment"].append(request.id)
        for item in request.asset.items:
            if item.quantity > 100000:
                raise FailRequest("Such quantities cannot be ordered")
        for param in request.asset.params:
            if param.name == "email" and not param.value:
                param.value_error = "Please tell us the email address"
                raise InquireRequest(params=[param])
        if request.type != "purchase":
            return ActivationTileResponse(f"# Done\n\nRequest {request.id}")
        bought = request.asset.get_param_by_id("purchase_id")
        bought.value = f"TEN-{request.id}"
        self.update_parameters(request.id, [bought])
        template_id = template_of(request.asset.product.id)
        if not SEEN["templates_rendered"]:
            tile = self.render_template(request.id, template_id).tile
            SEEN["templates_rendered"] = int(request.id in json.dumps(tile))
        return ActivationTemplateResponse(template_id)


class Resellers(TierConfigAutomation):
    def process_request(self, request):
        SEEN["tier_config"].append(request.id)
        if request.type == "update":
            raise FailRequest("Updates are made by hand")
        number = request.get_param_by_id("reseller_id")
        number.value = f"RS-{request.id}"
        self.update_parameters(request.id, [number])
        return ActivationTileResponse("# Welcome, reseller")


class Files(UsageFileAutomation):
    def process_request(self, request):
        SEEN["usage_files"].append(request.id)
        raise SubmitUsageFile()


class Reports(UsageAutomation):
    def process_request(self, request):
        SEEN["listings"].append(request.id)
        if not SEEN["usage_template_bytes"]:
            SEEN["usage_template_bytes"] = len(self.get_usage_template(request.product))
        report = UsageFile(
            name=f"Report of {request.id}",
            product=Product(id=request.product.id),
            contract=Contract(id=request.contract.id),
        )
        records = [
            UsageRecord(
                usage_record_id=f"{request.id}-{number}",
                item_search_criteria="item.mpn",
                item_search_value="SKUA",
                quantity=number,
                start_time_utc="2026-11-01 00:00:00",
                end_time_utc="2026-11-02 00:00:00",
                asset_search_criteria="parameter.purchase_id",
                asset_search_value="TEN-1",
            )
            for number in (1, 2, 3)
        ]
        self.submit_usage(report, records)
        return len(records)


def main(api_url, api_key):
    config = Config(api_url=api_url, api_key=api_key)
    config = Config(
        api_url=api_url,
        api_key=api_key,
        products=[product.id for product in Directory(config).list_products()],
    )
    resellers = Resellers(config)
    pending = resellers.list()
    resellers.process()
    for request in pending:
        account, product = request.configuration.account.id, request.configuration.product.id
        found = TierConfig.get(account, product, config)
        SEEN["tier_configs_found"] += bool(found and found.account.id == account)
    Orders(config).process()
    Files(config).process()
    Reports(config).process()
    SEEN["assets"] = len(Directory(config).list_assets())
    print(json.dumps(SEEN))


if __name__ == "__main__":
    main(*sys.argv[1:])
