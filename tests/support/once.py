"""Files whose tests say the same in both modes of the core, marked `once`: the interpreted run of `.ci/run` leaves them out.

They are about texts, packaging, command lines and pictures made by hand, and import no compiled module. What they reach of one through other
modules has tests of its own, in both modes.
"""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ONCE = (
    "cli/test_commands.py",
    "cli/test_config_layers.py",
    "cli/test_options.py",
    "cli/test_plain_values.py",
    "cli/test_start_up.py",
    "clients/test_client_checks.py",
    "docs/test_docs.py",
    "docs/test_findings.py",
    "docs/test_screenshots.py",
    "package/test_coverage.py",
    "package/test_manual_pages.py",
    "package/test_once.py",
    "package/test_package.py",
    "package/test_reference_pages.py",
    "package/test_release.py",
    "package/test_scripts.py",
    "tui/books/test_books.py",
    "tui/books/test_price_chart.py",
    "tui/test_alarms.py",
    "tui/test_app.py",
    "tui/test_arbitrage_screen.py",
    "tui/test_ascii_signs.py",
    "tui/test_by_line.py",
    "tui/test_line_table.py",
    "tui/test_never_frozen.py",
    "tui/test_overview.py",
    "tui/test_rings_screen.py",
    "tui/test_snapshots.py",
    "tui/test_tape.py",
    "tui/test_trend.py",
)
FILES = frozenset(TESTS / name for name in ONCE)
