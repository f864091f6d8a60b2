"""``serve``: answer over gRPC until told to stop."""

from __future__ import annotations

from pathlib import Path

import click

from estimator.cli.options import finite

_FILE = click.Path(path_type=Path)


@click.command()
@click.option(
    "--listen", default="localhost:50051", show_default=True, metavar="HOST:PORT", help="Address; port 0: any."
)
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N", help="Processes that compute."
)
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Certificate chain, PEM.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Its private key, PEM.")
@click.option("--client-ca", type=_FILE, metavar="FILE", help="Callers must show a certificate that this one signed.")
@click.option("--token-file", type=_FILE, metavar="FILE", help="Accepted bearer tokens, one a line.")
@click.option(
    "--grace",
    type=click.FloatRange(0, 86_400),
    callback=finite,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running calls may take to end after SIGTERM.",
)
def serve(
    listen: str,
    workers: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    token_file: Path | None,
    grace: float,
) -> None:
    """Answer over gRPC: package estimator.v1, with health and reflection.

    Takes graphs and ONNX bytes, never references to code or to files of this machine. Stops on SIGTERM.
    """
    from estimator.service.server import ServerOptions
    from estimator.service.server import serve as run

    options = ServerOptions(
        listen=listen,
        workers=workers,
        tls_cert=tls_cert,
        tls_key=tls_key,
        client_ca=client_ca,
        token_file=token_file,
        grace_s=grace,
    )
    run(options, announce=lambda line: click.echo(line, err=True))
