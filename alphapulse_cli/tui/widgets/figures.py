"""Durations and sizes as short text: three digits and a unit, at most seven characters, so that columns of them stay narrow."""

from alphapulse_cli.shm import clock

FIRST_EPOCH = 1_500_000_000  # smaller epochs are plain numbers, of tests or set by hand
MOST_AHEAD_S = 3_600
DURATIONS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))
SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def duration(ns: float | None) -> str:
    """Text of a duration in ns: 0 ns, 38.1 µs, 1.20 ms, 1,049 s; "-" for None.

    The unit is chosen after rounding to three digits.
    """
    if ns is None:
        return "-"
    for size, unit in DURATIONS:
        if ns >= size * 0.9995:
            return f"{_digits(ns / size) if size > 1 else f'{ns:.0f}'} {unit}"
    return f"{ns:.0f} ns"


def _digits(value: float) -> str:
    """Text of a figure with three digits: 1.20, 38.1, 412; more only before the decimal point."""
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def count(number: int) -> str:
    """Text of a count: 4,365; from a million on 12.3 M."""
    return f"{number:,}" if number < 1_000_000 else f"{_digits(number / 1e6)} M"


def size(octets: int) -> str:
    """Text of a size in bytes: 512 B, 24.1 KiB, 516 KiB, 16.0 MiB."""
    for unit_octets, unit in SIZES:
        if octets >= unit_octets:
            return f"{_digits(octets / unit_octets)} {unit}"
    return f"{octets} B"


def since(epoch: int) -> str:
    """Time since the writer with that epoch began: 12 min ago; "-" if the epoch contains no time.

    An epoch is the seconds since 1970 at the writer's start, larger where starts follow each other within a second.
    """
    seconds = clock.realtime_ns() // 1_000_000_000 - epoch
    return f"{age(max(seconds, 0))} ago" if epoch >= FIRST_EPOCH and seconds > -MOST_AHEAD_S else "-"


def age(seconds: float | None) -> str:
    """Text of an age in seconds: 0.4 s, 12 s, 3 min, 5 h; "-" for None."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
