"""``/vendor/tenants``: the vendor's provisioning system."""

from connect_worker.sandbox.http import Call, Reply, Route


def create_tenant(call: Call) -> Reply:
    """Make a tenant: 201; the same ``Idempotency-Key`` again: 200 and the same tenant."""
    tenant, is_new = call.world.vendor.create(call.document(), call.idempotency_key)
    return Reply(status=201 if is_new else 200, content=tenant.body())


def list_tenants(call: Call) -> Reply:
    """Every tenant, oldest first."""
    return Reply(content=[tenant.body() for tenant in call.world.vendor.tenants()])


def get_tenant(call: Call) -> Reply:
    """One tenant."""
    return Reply(content=call.world.vendor.get(call.args["id"]).body())


ROUTES = [
    Route("POST", "tenants", create_tenant),
    Route("GET", "tenants", list_tenants),
    Route("GET", "tenants/{id}", get_tenant),
]
