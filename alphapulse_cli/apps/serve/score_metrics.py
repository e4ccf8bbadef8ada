"""Metrics of the feeds' scorecards: valid time, healing, halts, and what came over each connection.

They are cumulative over restarts of the collector, as its scores are (`shm/scores.py`), and begin again with the machine's boot. Shares and
windows are for Prometheus: `rate(alphapulse_valid_seconds_total[1h]) / rate(alphapulse_observed_seconds_total[1h])`.
"""

from collections.abc import Collection

from alphapulse_cli.apps.serve.exposition import BOOK, SET, Metric, Page, Row, counter, gauge
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.scores import Counts, RowCopy, RowKind, Score, read_scores

CONNECTION = (*SET, "connection")
QUANTILES = (0.5, 0.99)
OBSERVED = counter("observed_seconds", BOOK, "Time for which a collector kept the book, whatever its state")
VALID = counter("valid_seconds", BOOK, "Of it, the time in which the book was LIVE to its readers")
BREAKS = counter("breaks", BOOK, "Times that the LIVE book became anything else; its retirement does not count")
HALTS = counter("halts", BOOK, "Times that the trading status became another than TRADING")
RESTRICTED = counter("restricted_seconds", BOOK, "Time for which the trading status was not TRADING")
HEALINGS = counter("healings", SET, "Times that a book which had been LIVE became LIVE again")
HEALING = gauge("healing_seconds", (*SET, "quantile"), "Durations of these healings, from the end of LIVE to the next LIVE")
RECEIVED = counter("connection_received_bytes", CONNECTION, "Bytes of frames received over the connection")
MESSAGES = counter("connection_received_messages", CONNECTION, "Frames received over the connection")
RECONNECTS = counter("connection_reconnects", CONNECTION, "Connections made in place of one that ended")
OPEN = counter("connection_open_seconds", CONNECTION, "Time for which the connection was open")
ASKED_FOR = counter("connection_wanted_seconds", CONNECTION, "Time for which the connection was wanted")

OF_SYMBOL = (
    (OBSERVED, Score.OBSERVED_NS),
    (VALID, Score.VALID_NS),
    (BREAKS, Score.BREAKS),
    (HALTS, Score.HALTS),
    (RESTRICTED, Score.RESTRICTED_NS),
)
OF_CONNECTION = (
    (RECEIVED, Score.BYTES),
    (MESSAGES, Score.MESSAGES),
    (RECONNECTS, Score.RECONNECTS),
    (OPEN, Score.OPEN_NS),
    (ASKED_FOR, Score.OBSERVED_NS),
)
SYMBOL_ROW, CONNECTION_ROW = (Row(*((one,) for one, _ in metrics)) for metrics in (OF_SYMBOL, OF_CONNECTION))
SCORE_METRICS: tuple[Metric, ...] = (*(one for one, _ in OF_SYMBOL), HEALINGS, HEALING, *(one for one, _ in OF_CONNECTION))


def add_scores(page: Page, directory: Directory, set_name: str, symbols: Collection[str] | None) -> None:
    """Add the scores of a set, of these symbols or of all; nothing where it has none."""
    scores = read_scores(directory, set_name)
    if scores is None:
        return
    labels = (scores.exchange, set_name)
    found: list[Counts] = []
    newest = {
        (row.kind, row.name): row for row in sorted(scores.rows, key=lambda row: row.seen_ns)
    }  # two samples of one series are an error
    for row in newest.values():
        if row.kind == RowKind.SYMBOL and (symbols is None or row.name in symbols):
            _add(page, SYMBOL_ROW, OF_SYMBOL, (*labels, row.name), row)
            if row.get(Score.BREAKS):  # without one there was nothing to heal
                found.append(row.healings())
        elif row.kind == RowKind.CONNECTION:
            _add(page, CONNECTION_ROW, OF_CONNECTION, (*labels, str(row.connection)), row)
    healings = Counts.of_all(found)
    page.add(HEALINGS, labels, healings.count)
    for fraction in QUANTILES:
        healed_ms = healings.quantile(fraction)
        if healed_ms is not None:
            page.add(HEALING, (*labels, str(fraction)), healed_ms / 1e3)


def _add(page: Page, row: Row, scored: tuple[tuple[Metric, Score], ...], labels: tuple[str, ...], copy: RowCopy) -> None:
    page.add_row(row, labels, [copy.get(score) / 1e9 if score.unit == "ns" else copy.get(score) for _, score in scored])
