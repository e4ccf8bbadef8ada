"""Latency histogram in shared words: one process records, any process reads quantiles that are right within 3.2 %.

Log-linear: values below 64 have a bucket each, then each doubling is cut into 32. Nanoseconds up to 2^40 (18 minutes) are told
apart; longer times count in the last bucket, negative ones (an exchange's clock ahead of ours) in `below_zero`. Words:

    0 recorded   1 sum   2 largest   3 below_zero   4-7 unused   8… 1152 buckets

Quantiles come from the buckets alone: the other words may be a moment older or newer.
"""

from collections.abc import Sequence
from typing import Any

from alphapulse_cli import native
from alphapulse_cli.shm import memory

SOURCE_HASH = native.source_hash()

HEAD_WORDS, BUCKET_COUNT = 8, 1152
BELOW_ZERO = 3  # word of the values below zero
HISTOGRAM_BYTES = (HEAD_WORDS + BUCKET_COUNT) * 8
LARGEST = (1 << 40) - 1
_HEAD, _LARGEST = HEAD_WORDS, LARGEST  # C numbers in the compiled core
QUANTILES = (0.5, 0.9, 0.99, 0.999)


class Histogram:
    """Histogram in the first HISTOGRAM_BYTES of a buffer; only one process may `record` into it."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer
        self._octets = native.octets_of(buffer, HISTOGRAM_BYTES)
        self._words = native.words(buffer)

    def record(self, value: int) -> None:
        """Count one value (nanoseconds); a negative one only in `below_zero`."""
        words = self._words
        if value < 0:
            memory.store_relaxed(words, 3, words[3] + 1)
            return
        value = min(value, _LARGEST)
        at = _HEAD + bucket_of(value)
        memory.store_relaxed(words, at, words[at] + 1)
        memory.store_relaxed(words, 0, words[0] + 1)
        memory.store_relaxed(words, 1, (words[1] + value) & native.MASK64)
        largest = words[2]
        if value > largest:
            memory.store_relaxed(words, 2, value)

    def read(self) -> "Distribution":
        """Copy of what was recorded up to now."""
        words = self._words
        counts = [memory.load_relaxed(words, HEAD_WORDS + i) for i in range(BUCKET_COUNT)]
        return Distribution(counts, memory.load_relaxed(words, 1), memory.load_relaxed(words, 2), memory.load_relaxed(words, 3))


def bucket_of(value: int) -> int:
    """Index of the bucket of a value, 0 … LARGEST."""
    shift = 0
    rest = value
    if rest >= 1 << 22:
        shift, rest = shift + 16, rest >> 16
    if rest >= 1 << 14:
        shift, rest = shift + 8, rest >> 8
    if rest >= 1 << 10:
        shift, rest = shift + 4, rest >> 4
    while rest >= 64:
        shift, rest = shift + 1, rest >> 1
    return 32 * shift + rest


def bucket_end(bucket: int) -> int:
    """Largest value that the bucket holds."""
    if bucket < 64:
        return bucket
    shift = bucket // 32 - 1
    return ((bucket % 32 + 33) << shift) - 1


class Distribution:
    """Copy of a histogram at one moment: counts by bucket, and the figures that follow from them."""

    def __init__(self, counts: Sequence[int], total: int = 0, largest: int = 0, below_zero: int = 0) -> None:
        self.counts = list(counts)
        self.total = total  # sum of the values
        self.largest = largest
        self.below_zero = below_zero
        self.count = sum(self.counts)

    def quantile(self, fraction: float) -> int | None:
        """Value that `fraction` of all recorded values do not exceed; None for an empty histogram.

        It is right within 3.2 % and never above `largest`.
        """
        if self.count == 0:
            return None
        wanted = max(1, -int(-fraction * self.count // 1))
        seen = 0
        for bucket, held in enumerate(self.counts):
            seen += held
            if seen >= wanted:
                return min(bucket_end(bucket), max(self.largest, 0)) if self.largest else bucket_end(bucket)
        return self.largest

    def merged(self, other: "Distribution") -> "Distribution":
        """Sum of two distributions."""
        counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        return Distribution(counts, self.total + other.total, max(self.largest, other.largest), self.below_zero + other.below_zero)

    def since(self, earlier: "Distribution") -> "Distribution":
        """Values recorded after an earlier reading of the same histogram; `largest` stays that of all time."""
        counts = [max(mine - before, 0) for mine, before in zip(self.counts, earlier.counts, strict=True)]
        return Distribution(counts, self.total - earlier.total, self.largest, self.below_zero - earlier.below_zero)

    def summary(self) -> dict[str, int | None]:
        """Figures by name: count, p50, p90, p99, p99.9, max, below_zero. Without values the quantiles and max are None."""
        named = {f"p{fraction * 100:g}": self.quantile(fraction) for fraction in QUANTILES}
        return {"count": self.count, **named, "max": self.largest if self.count else None, "below_zero": self.below_zero}
