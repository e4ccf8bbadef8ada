"""`alphapulse serve`: books, trades and statistics for everything that is not on this host's shared memory."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import ExitCode, StorageError, UsageError

if TYPE_CHECKING:
    from alphapulse_cli.apps.serve.serve import Serving
    from alphapulse_cli.apps.serve.state import ServeState

LEAST_QUEUE_BYTES = 64 << 10
LOOPBACK = ("127.0.0.1", "::1", "localhost")

app = options.command_app()


def _heartbeat(text: str) -> float:
    """Seconds of --heartbeat. UsageError for other texts."""
    try:
        return options.parse_duration(text)
    except UsageError as error:
        raise UsageError(f"--heartbeat: {error}", error.hint) from None


@app.command()
def serve(
    exchanges: options.Exchanges = None,
    symbols: options.Symbols = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            autocompletion=options.complete_words("127.0.0.1", "0.0.0.0", "::1", "::"),  # noqa: S104 - the user's choice
            help="Address to listen on; 0.0.0.0 is every network of this machine.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="PORT", help="Port of the WebSocket side; 0 takes a free one.")
    ] = 8765,
    http_port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="PORT", help="Port of the REST side; 0 takes a free one.")
    ] = 8080,
    token_file: Annotated[
        str | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            show_default=False,
            help="File with the token that clients must give; or set ALPHAPULSE_SERVE_TOKEN. Default: no token is needed.",
        ),
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--origin",
            metavar="ORIGIN",
            autocompletion=options.complete_words("https://", "http://localhost:3000", several=True),
            show_default=False,
            help="Site whose pages may read, as https://desk.example. Repeat it, or separate with commas. Default: pages of this host.",
        ),
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(
            "--history",
            metavar="DIR",
            show_default=False,
            help="Folder of captures, for books and deltas of the past on the REST side.",
        ),
    ] = None,
    metrics_bind: Annotated[
        str | None,
        typer.Option(
            "--metrics-bind",
            metavar="HOST:PORT",
            autocompletion=options.complete_words("127.0.0.1:9101", "0.0.0.0:9101"),
            show_default=False,
            help="Address on which /metrics alone is answered without a token.",
        ),
    ] = None,
    heartbeat: Annotated[
        float,
        typer.Option(metavar="TIME", parser=_heartbeat, show_default="15s", help="Time between heartbeats to WebSocket clients."),
    ] = "15s",  # type: ignore[assignment]  # the parser takes text
    clients: Annotated[int, typer.Option(min=1, metavar="N", help="Most WebSocket clients.")] = 1000,
    clients_per_address: Annotated[int, typer.Option(min=1, metavar="N", help="Most WebSocket clients of one address.")] = 100,
    queue: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            autocompletion=options.complete_words("256KiB", "1MiB", "4MiB", "16MiB"),
            help="Most bytes that may wait for one WebSocket client before it is closed.",
        ),
    ] = "1MiB",
    compress: Annotated[
        bool,
        typer.Option(
            "--compress",
            help="Compress messages for WebSocket clients that ask for it (permessage-deflate): a third of the bytes, for CPU.",
        ),
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="FILE",
            show_default=False,
            help="File of the opportunities that `arb watch` keeps; default: the user's.",
        ),
    ] = None,
    duration: options.Duration = None,
    wait_for: options.WaitFor = False,
    wait: options.Wait = None,
    shm_dir: options.ShmDir = None,
    as_json: options.Json = False,
    supervised: options.Supervised = False,
) -> None:
    """Serve deltas over WebSocket, and books, trades, statistics and metrics over REST.

    It is a reader like any other: nothing that a client does slows a collector. Prints its addresses; /docs on the REST side explains
    and tries every endpoint. Ctrl-C or SIGTERM ends it: WebSocket clients are told 1012, and requests are answered to their end.

    A client subscribes with {"op":"subscribe","channel":"deltas","exchange":"kraken","symbol":"BTC-USD"}: docs/reference/websocket.md.
    Without a token everybody who can reach the address may read. Needs the extra `serve`: pip install 'alphapulse[serve]'.

    Example: alphapulse serve --port 8765; then: curl http://127.0.0.1:8080/api/v1/exchanges
    """
    from functools import partial

    from alphapulse_cli.apps.serve.state import ServePlan
    from alphapulse_cli.cli import running
    from alphapulse_cli.readers.selection import Wanted, settled
    from alphapulse_cli.shm.directory import open_directory

    settings = options.settings()
    plan = ServePlan(
        _host(host),
        port,
        http_port,
        _token(token_file, settings.get("serve_token")),
        heartbeat,
        _limits(clients, clients_per_address, queue),
        tuple(_origins(origins)),
        history or "",
        _bind(metrics_bind),
        compress=compress,
    )
    wanted = Wanted.of(exchanges, symbols)
    make_serving = _needed()
    if plan.host not in LOOPBACK and not plan.token:
        stderr.warning(f"everybody who can reach {plan.host} may read: there is no token")
    with open_directory(settings.choose("shm_dir", shm_dir) or None, create=wait_for) as directory:
        if not wait_for:
            wanted = settled(directory, wanted)
        made = make_serving(plan, directory, wanted, how=settings.choose("wait", wait), needed=not wait_for, store=_kept_at(store))
        say = _tell_parent if supervised else partial(_say_addresses, as_json=as_json)
        raise typer.Exit(running.run(_until_over(made, duration, say), supervised=supervised))


def _needed() -> "Callable[..., Serving]":
    """The server with its REST side. UsageError where the extra is absent."""
    from functools import partial

    from alphapulse_cli.apps.serve.serve import Serving, require_extra

    require_extra()
    from alphapulse_cli.apps.serve.rest import make_app

    return partial(Serving, make_app=make_app)


async def _until_over(serving: "Serving", duration: float | None, say: "Callable[[ServeState], None]") -> ExitCode:
    import asyncio

    try:
        await serving.start()
        say(serving.state)
        try:
            async with asyncio.timeout(duration):
                await serving.run()
        except TimeoutError:
            pass
    finally:
        await serving.stop()
    return ExitCode.DONE


def addresses(state: "ServeState") -> dict[str, Any]:
    """Row of the addresses that are served."""
    host = f"[{state.plan.host}]" if ":" in state.plan.host else state.plan.host
    row = {"websocket_url": f"ws://{host}:{state.port}/", "rest_url": f"http://{host}:{state.http_port}"}
    if state.metrics_port:
        bound = state.plan.metrics_bind.rpartition(":")[0]
        row["metrics_url"] = f"http://{bound}:{state.metrics_port}/metrics"
    return row


def _tell_parent(state: "ServeState") -> None:
    from alphapulse_cli.apps.collect.supervise import COLLECTING

    print(COLLECTING.decode(), flush=True)
    row = addresses(state)
    stderr.note(f"{row['websocket_url']} and {row['rest_url']}/docs")


def _say_addresses(state: "ServeState", *, as_json: bool) -> None:
    row = addresses(state)
    headings = {"websocket_url": "WebSocket", "rest_url": "REST", "metrics_url": "metrics"}
    form = render.chosen_format(None, as_json)
    render.emit_rows([row, None], [render.Column(name, headings[name]) for name in row], form)
    if form == "table":
        stderr.note(f"try {row['rest_url']}/docs in a browser")


def _host(text: str) -> str:
    if not text or not text.isprintable() or set(text) & set(" /[]@") or (":" in text and text.count(":") < 2):
        raise UsageError(f"--host: not an address: {text[:60]!r}", "write --host 127.0.0.1, or --host 0.0.0.0 for all networks")
    return text


def _bind(text: str | None) -> str:
    from alphapulse_cli.apps.serve.ports import host_and_port

    try:
        host, _ = host_and_port(text) if text else ("127.0.0.1", 0)
        _host(host)
    except (ValueError, UsageError):
        raise UsageError(f"--metrics-bind: not an address: {str(text)[:60]!r}", "write --metrics-bind 127.0.0.1:9101") from None
    return text or ""


def _origins(values: list[str] | None) -> list[str]:
    from urllib.parse import urlsplit

    found = options.split_lists(values or ())
    for one in found:
        parts = urlsplit(one)
        if parts.scheme not in ("http", "https") or not parts.hostname or one != f"{parts.scheme}://{parts.netloc}" or "*" in one:
            raise UsageError(f"--origin: not an origin: {one[:60]!r}", "write --origin https://desk.example, without a path")
    return found


def _limits(clients: int, clients_per_address: int, queue: str) -> Any:
    from alphapulse_cli.apps.serve.state import Limits
    from alphapulse_cli.edges import quantities

    try:
        queue_bytes = quantities.byte_count(queue)
    except ValueError as error:
        raise UsageError(f"--queue: {error}", "write --queue 1MiB") from None
    if queue_bytes < LEAST_QUEUE_BYTES:
        raise UsageError(f"--queue: less than 64KiB: {queue[:20]!r}", "write --queue 1MiB")
    return Limits(clients=clients, clients_per_address=clients_per_address, queue_bytes=queue_bytes)


def _token(file: str | None, configured: str) -> str:
    """Token of --token-file, else the configured one; "" for none. UsageError for a file without a token."""
    from alphapulse_cli.edges.config import value_types
    from alphapulse_cli.edges.paths import expanded

    if file is None:
        return configured
    path = expanded(file)
    try:
        with path.open("rb") as opened:
            text = opened.read(2 * value_types.MOST_TOKEN).decode("utf-8", "replace").strip()
        if path.stat().st_mode & 0o077:
            stderr.warning(f"{path} can be read by others: chmod 600 {path}")
    except OSError as error:
        raise StorageError(
            f"--token-file: {path} cannot be read: {error.strerror}", "name a file that holds the token alone"
        ) from None
    hint = "make one: openssl rand -hex 32 > token; chmod 600 token"
    if not text:
        raise UsageError(f"--token-file: {path} is empty", hint)
    try:
        return value_types.token(text)
    except ValueError as error:
        raise UsageError(f"--token-file: {path}: {error}", hint) from None


def _kept_at(store: str | None) -> Any:
    from alphapulse_cli.edges.opportunities.store import default_path
    from alphapulse_cli.edges.paths import expanded

    return expanded(store) if store else default_path()
