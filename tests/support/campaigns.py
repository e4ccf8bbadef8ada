"""Tests of which the suite runs a bounded part and `scripts/campaigns` the whole: marked `campaign`, with two sizes."""

import itertools
import os
from collections.abc import Sequence
from typing import Any, TypeVar

IS_WHOLE = bool(os.environ.get("ALPHAPULSE_CAMPAIGNS"))  # set by scripts/campaigns
Size = TypeVar("Size")


def size(bounded: Size, whole: Size) -> Size:
    """The first in the suite, the second in a campaign."""
    return whole if IS_WHOLE else bounded


def crossed(*values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Each value with each of the others in a campaign; in the suite each value at least once, beside others in turn."""
    count = max(map(len, values))
    return size([tuple(each[at % len(each)] for each in values) for at in range(count)], list(itertools.product(*values)))
