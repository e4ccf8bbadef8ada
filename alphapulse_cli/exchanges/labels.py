"""Labels of frames: what a frame says of itself, for people who look for the reason of a gap."""

from collections.abc import Iterable, Mapping
from typing import Any

from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD, TEXT_KEPT, Decoder, FrameLabel, Labelled

MOST_NATIVES = 20  # named of one frame


def label_of(decoder: Decoder, frame: bytes) -> FrameLabel:
    """Label of a frame; an empty one where its decoder has none to give, or cannot read it."""
    if not isinstance(decoder, Labelled):
        return FrameLabel()
    try:
        found = decoder.label(frame)
    except NOT_UNDERSTOOD:
        return FrameLabel()
    natives = [str(native)[:TEXT_KEPT] for native in found.natives[:MOST_NATIVES]]
    numbers = {name: value for name, value in found.numbers.items() if type(value) is int}
    return FrameLabel(tuple(natives), numbers, found.follows)


def made_of(
    natives: Iterable[Any], members: Mapping[str, Any], names: Iterable[str], *, prev: str = "", first: str = ""
) -> FrameLabel:
    """Label of these instruments, with those of the members that are among `names` and are numbers.

    `prev` names the member that is the number before it, `first` the one whose predecessor is.
    """
    told = {name: members[name] for name in names if type(members.get(name)) is int}
    follows = told.get(prev) if prev else told[first] - 1 if first in told else None
    return FrameLabel(tuple(dict.fromkeys(native for native in natives if isinstance(native, str))), told, follows)
