"""Tests of which the suite runs a bounded part and `scripts/campaigns` the whole: marked `campaign`, with two sizes."""

import os
from typing import TypeVar

IS_WHOLE = bool(os.environ.get("ALPHAPULSE_CAMPAIGNS"))  # set by scripts/campaigns
Size = TypeVar("Size")


def size(bounded: Size, whole: Size) -> Size:
    """The first in the suite, the second in a campaign."""
    return whole if IS_WHOLE else bounded
