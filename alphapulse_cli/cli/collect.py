"""`alphapulse collect`: collectors of exchanges into shared memory."""

import typer

from alphapulse_cli.cli import collect_changes, collect_options, options

app = options.command_app(cls=collect_changes.CollectGroup, invoke_without_command=True, subcommand_metavar="[add|rm …]")
app.command("add")(collect_changes.add)
app.command("rm")(collect_changes.remove)


@app.callback()
def collect(
    context: typer.Context,
    names: options.Exchanges = None,
    symbols: options.Choices = None,
    channels: collect_options.Channels = None,
    depth: collect_options.Depth = None,
    mode: collect_options.Modes = None,
    set_name: collect_options.SetName = "",
    url: collect_options.Url = "",
    rest_url: collect_options.RestUrl = "",
    transport: collect_options.Transport = None,
    skip_unlisted: collect_options.SkipUnlisted = None,
    checksum: collect_options.Checksum = None,
    capture: collect_options.Capture = None,
    rotate: collect_options.Rotate = None,
    keep: collect_options.KeepFor = None,
    least_free: collect_options.LeastRoom = None,
    last_frames: collect_options.LastFrames = None,
    shm_dir: options.ShmDir = None,
    duration: options.Duration = None,
    as_json: options.Json = False,
    supervised: options.Supervised = False,
) -> None:
    """Collect books and trades of exchanges into shared memory, until Ctrl-C, SIGTERM or --duration.

    An exchange that is unreachable (maintenance, no network yet) is waited for, at the start and later, within --duration. A
    failure that trying again cannot mend (a blocked region, a wrong path, a certificate, an unknown symbol) ends the command with
    exit code 6.

    With several --exchange each has a supervised process, restarted if it dies. A symbol that names its exchange (kraken:BTC-USD)
    is collected there, any other from every exchange. Gaps, bad checksums and lost connections heal by themselves; they are counted
    and shown.

    Example: alphapulse collect --exchange kraken --exchange coinbase --symbols BTC-USD,ETH-USD
    """
    if context.invoked_subcommand is not None:
        collect_changes.refuse_options_before(context)
        return

    from alphapulse_cli.cli import collecting

    settings = options.settings()
    made = collect_options.make_plans(
        settings,
        names,
        symbols,
        channels,
        depth,
        mode,
        set_name=set_name,
        url=url,
        rest_url=rest_url,
        transport=transport,
        skip_unlisted=skip_unlisted,
        checksum=checksum,
        shm_dir=shm_dir,
        duration=duration,
        capture=collect_options.capture_plan(settings.choose("capture", capture), rotate, keep, least_free, settings),
        last_frames=collect_options.last_frames(last_frames, settings),
    )
    raise typer.Exit(collecting.run(made, as_json=as_json, supervised=supervised))
