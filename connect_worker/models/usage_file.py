"""Usage files: reports of what has been used."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent
from connect_worker.models.company import Company
from connect_worker.models.contract import Contract
from connect_worker.models.event import Events
from connect_worker.models.marketplace import Marketplace
from connect_worker.models.period import Period
from connect_worker.models.product import Product
from connect_worker.models.usage_record import UsageRecords, UsageStats


class UsageFile(BaseModel):
    """A usage report on its way from vendor to provider.

    Examples:
        >>> product, contract = Product(id="PRD-1"), Contract(id="CRD-1")
        >>> UsageFile(name="Usage of January", product=product, contract=contract).json
        {'name': 'Usage of January', 'product': {'id': 'PRD-1'}, 'contract': {'id': 'CRD-1'}}
    """

    #: The provider's, when it was accepted.
    acceptance_note: str = absent
    contract: Contract = absent
    #: ISO 8601, as text.
    created_at: str = absent
    #: Who created it.
    created_by: str = absent
    description: str = absent
    #: What is wrong with an invalid file.
    error_details: str = absent
    events: Events = absent
    marketplace: Marketplace = absent
    name: str = absent
    #: The vendor's own.
    note: str = absent
    #: Where the processed file is, for 30 seconds; not in lists.
    processed_file_uri: str = absent
    product: Product = absent
    provider: Company = absent
    records: UsageRecords = absent
    #: The provider's, when it was rejected.
    rejection_note: str = absent
    #: ``draft``, ``uploading``, ``uploaded``, ``processing``, ``invalid``, ``ready``, ``rejected``,
    #: ``pending``, ``accepted`` or ``closed``; Connect may send it in capitals.
    status: str = absent
    #: Where the uploaded file is, for 600 seconds; not in lists.
    upload_file_uri: str = absent
    vendor: Company = absent

    # Added by the API since the 2019 SDK.
    currency: str | None = absent
    environment: str = absent
    #: What `error_details` is called now.
    error_detail: str | None = absent
    #: The vendor's own id of it; it may come as a number.
    external_id: str | None = absent
    #: What was used when; dates without a time.
    period: Period | None = absent
    reconciliation_file_uri: str | None = absent
    #: The schema of its usage: ``qt``, ``tr``, ``cr`` or ``pr``.
    schema: str | None = absent
    stats: UsageStats | None = absent
    #: ``processing`` or ``processed``.
    sub_status: str | None = absent
    #: What `upload_file_uri` is called now.
    usage_file_uri: str = absent
