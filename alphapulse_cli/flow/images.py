"""Book images of one set, from which a follower joins its books; `SharedImages` are those in shared memory.

symbols() ─► the books there are        image(symbol) ─► a copy of one, whole or its checkpoint        request(symbol) ─► a new
checkpoint
"""

from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from alphapulse_cli.errors import SegmentError, StorageError
from alphapulse_cli.shm.directory import Directory, parse_segment_name, segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import ImageCopy, SegmentKind
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.shm.wake import WakePage


class Image(Protocol):
    """Image of one book. Each method returns None if the image changes faster than it can be copied, or there is none."""

    def peek(self) -> ImageCopy | None:
        """Copy the words alone, without levels."""

    def copy(self, tries: int) -> ImageCopy | None:
        """Copy the whole book, in at most `tries`."""

    def copy_checkpoint(self) -> ImageCopy | None:
        """Copy the newest checkpoint."""


class BookImages(Protocol):
    """All images of one set, by symbol and by the epoch of the writer."""

    def symbols(self) -> Collection[str]:
        """Symbols that have an image now."""

    def image(self, symbol: str, epoch: int) -> Image | None:
        """Image of a book; None if there is none of that epoch."""

    def request(self, symbol: str) -> bool:
        """Ask the writer for a checkpoint; returns whether it could be reached."""


class SharedImages:
    """Images of a set in shared memory."""

    def __init__(self, directory: Directory, set_name: str) -> None:
        self._directory, self._set_name = directory, set_name
        self._epoch = 0  # of the writer whose image was last requested
        self._wake: WakePage | None = None  # that writer's

    def symbols(self) -> list[str]:
        """Symbols that have an image now."""
        parsed = (parse_segment_name(name) for name in self._directory.names())
        return [one[2] for one in parsed if one is not None and one[0] is SegmentKind.BOOK and one[1] == self._set_name]

    def image(self, symbol: str, epoch: int) -> ImageReader | None:
        """Image of a book; None if there is none of that epoch."""
        if epoch != self._epoch:
            self._epoch, self._wake = epoch, None
        with suppress(SegmentError, StorageError):
            segment = self._segment(symbol)
            if segment.epoch == epoch:
                return ImageReader(segment)
        return None

    def request(self, symbol: str) -> bool:
        """Ask the writer for a checkpoint; returns whether it could be reached."""
        with suppress(SegmentError, StorageError):
            if self._wake is None:
                self._wake = WakePage.open(self._directory, self._set_name)
            self._wake.request_checkpoint(self._segment(symbol).spec.request_slot)
            return True
        return False

    def _segment(self, symbol: str) -> Segment:
        return Segment.attach(self._directory, segment_name(SegmentKind.BOOK, self._set_name, symbol))
