"""Quantities in texts of a configuration: durations, numbers of bytes, shares. Each is a ValueError for another text."""

import re

SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
LONGEST_S = 366 * 86_400.0
BYTES = {"B": 1} | {
    f"{prefix}{unit}": base**power
    for unit, base in (("B", 1000), ("iB", 1024))
    for power, prefix in enumerate("kMGT" if unit == "B" else "KMGT", 1)
}
MOST_BYTES = 1 << 60


def duration_s(text: str) -> float:
    """Seconds of "10", "10s", "500ms", "2m", "1h" or "1h30m". ValueError for zero and for more than 366 days, too."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|)", text, re.ASCII) if len(text) <= 20 else []
    seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < seconds <= LONGEST_S:
        raise ValueError(f"not a duration: {text[:40]!r}")
    return seconds


def byte_count(text: str) -> int:
    """Bytes of "256MiB", "1.5GB" or "4096B". ValueError for zero, for less than a byte and for 2**60 and more, too."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([kKMGT]?i?B)", text, re.ASCII)
    unit = BYTES.get(found[2], 0) if found else 0
    count = int(float(found[1]) * unit) if found else 0
    if not 0 < count < MOST_BYTES:
        raise ValueError(f"not a number of bytes: {text[:40]!r}")
    return count


def share(text: str) -> float:
    """Fraction of "5%". ValueError for less than 0 % and for 100 % and more, too."""
    found = re.fullmatch(r"([0-9]{1,2}(?:\.[0-9]{1,6})?)%", text, re.ASCII)
    if found is None:
        raise ValueError(f"not a share: {text[:40]!r}")
    return float(found[1]) / 100
