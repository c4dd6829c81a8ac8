"""The command ``python -m connect_worker.sandbox``."""

import asyncio
from pathlib import Path

import click

from connect_worker.sandbox import rql, server
from connect_worker.sandbox.http import API
from connect_worker.sandbox.memory import DEFAULT_API_KEY, Options, spread_over
from connect_worker.sandbox.server import Sandbox

_COUNT = click.IntRange(min=0)


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8800,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--requests",
    "total",
    type=_COUNT,
    default=100,
    show_default=True,
    help="Number of requests to create: about 60% fulfillment, 15% tier config, "
    "15% usage files, 10% listings.",
)
@click.option(
    "--fulfillment", type=_COUNT, help="Number of fulfillment requests, instead of their share."
)
@click.option(
    "--tier-config", type=_COUNT, help="Number of tier config requests, instead of their share."
)
@click.option("--usage-files", type=_COUNT, help="Number of usage files, instead of their share.")
@click.option("--listings", type=_COUNT, help="Number of usage listings, instead of their share.")
@click.option(
    "--products",
    "product_count",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Number of products that the vendor sells.",
)
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="The same seed creates the same requests on the same day.",
)
@click.option(
    "--latency-ms",
    type=click.FloatRange(min=0),
    default=0,
    show_default=True,
    help="Delay of each response of the API and of the vendor's system.",
)
@click.option("--api-key", default=DEFAULT_API_KEY, show_default=True, help="The vendor's key.")
@click.option(
    "--provider-key", help="A second key, for creating requests as the provider.  [default: none]"
)
@click.option(
    "--answer-inquiries",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Time after which the customer answers an inquired request.  [default: never]",
)
@click.option(
    "--upload-status",
    type=click.Choice(["200", "201"]),
    default="201",
    show_default=True,
    help="Status of the response to an upload of usage records.",
)
@click.option(
    "--api",
    type=click.Choice(["37.0", "2019"]),
    default="37.0",
    show_default=True,
    help="Version of the API: that of the description, or that of the first SDK, with slashes at "
    "the end of some paths and the messages inside of conversations.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file to write when the sandbox listens: url, api_key, pid.",
)
def main(
    *,
    port: int,
    host: str,
    total: int,
    fulfillment: int | None,
    tier_config: int | None,
    usage_files: int | None,
    listings: int | None,
    product_count: int,
    seed: int,
    latency_ms: float,
    api_key: str,
    provider_key: str | None,
    answer_inquiries: float | None,
    upload_status: str,
    api: str,
    ready_file: Path | None,
) -> None:
    """Run a local Connect and a vendor's provisioning system, for demonstrations and tests.

    The sandbox keeps everything in memory. The API is at /public/v1, the vendor's system at
    /vendor/tenants. /sandbox/report shows what happened.
    """
    options = Options(
        spread=spread_over(
            total,
            fulfillment=fulfillment,
            tier_config=tier_config,
            usage_files=usage_files,
            listings=listings,
        ),
        seed=seed,
        product_count=product_count,
        api_key=api_key.removeprefix("ApiKey "),
        provider_key=provider_key.removeprefix("ApiKey ") if provider_key else None,
        latency_seconds=latency_ms / 1000,
        answer_inquiries_seconds=answer_inquiries,
        upload_status=int(upload_status),
        is_of_2019=api == "2019",
    )
    if ready_file and not ready_file.parent.is_dir():
        raise click.BadParameter(
            f"The folder {ready_file.parent} does not exist.", param_hint="--ready-file"
        )
    if ready_file:
        # The file of an earlier run has the wrong port.
        ready_file.unlink(missing_ok=True)
    try:
        rql.load_parser()
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from error
    try:
        sockets = server.bind(host, port)
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {error.strerror or error}."
        ) from error
    url = server.base_url(sockets)

    def announce(sandbox: Sandbox) -> None:
        click.echo(f"Connect sandbox ready at {url} (API under {API.rstrip('/')})")
        click.echo(f"API key: {sandbox.options.api_key}")
        if ready_file:
            server.write_ready_file(ready_file, url=url, sandbox=sandbox)

    asyncio.run(server.serve(options, sockets, on_ready=announce))


if __name__ == "__main__":
    main(prog_name="python -m connect_worker.sandbox")
