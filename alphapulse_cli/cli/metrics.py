"""`alphapulse metrics`: the metrics of all sets, once, as Prometheus reads them."""

import sys

from alphapulse_cli.cli import options

app = options.command_app()


@app.command()
def metrics(
    exchanges: options.Exchanges = None,
    symbols: options.Symbols = None,
    shm_dir: options.ShmDir = None,
) -> None:
    """Print the metrics of all sets once, as Prometheus reads them (text format 0.0.4).

    They are read from shared memory, as every reader does, and no collector is asked: counters, latency histograms, states of books
    and markets, rings and the lag of their readers, CPU and memory of the collectors, arbitrage watches. `alphapulse serve` gives the
    same on /metrics, with its own clients. docs/reference/metrics.md says what each one means.

    Example: alphapulse metrics | grep book_state; alphapulse metrics > /var/lib/node_exporter/alphapulse.prom
    """
    from alphapulse_cli.apps.serve.metrics import Exporter
    from alphapulse_cli.readers.selection import Wanted, settled
    from alphapulse_cli.shm.directory import open_directory
    from alphapulse_cli.shm.layout import SegmentKind

    with open_directory(options.settings().choose("shm_dir", shm_dir) or None) as directory:
        wanted = settled(directory, Wanted.of(exchanges, symbols), SegmentKind.COUNTERS)
        sys.stdout.write(Exporter(directory, wanted).text())
