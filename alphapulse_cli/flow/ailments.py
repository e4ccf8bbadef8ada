"""Notices about books that a new snapshot does not heal at once; each is given once."""

from alphapulse_cli.wire.delta import BookReason, BookState

_SENTENCES = {
    (BookState.SYNCING, BookReason.OFF_GRID): "a level fits no grid ({what}): resyncing",
    (BookState.HALTED, BookReason.OFF_GRID): (
        "HALTED: its snapshot too has a level that fits no grid ({what}). Next try in {pause}, then ever more rarely; a snapshot"
        " without such a level heals the book. If it persists, report it to the exchange"
    ),
    (BookState.HALTED, BookReason.NO_ROOM): (
        "HALTED: shared memory has no room for it. Next try in {pause}, then ever more rarely. Free some room (`alphapulse segments`"
        " shows what uses it), or collect into another directory: --shm-dir"
    ),
    (BookState.SYNCING, BookReason.UNVERIFIED): (
        "UNVERIFIED and not LIVE: five snapshots in a row did not match their own checksum. Next try in {pause}. To have the book"
        " LIVE, marked as unverified: --checksum warn"
    ),
    (BookState.LIVE, BookReason.UNVERIFIED): (
        "LIVE but UNVERIFIED (--checksum warn): five snapshots in a row did not match their own checksum. Next try in {pause}"
    ),
}


def sentence(state: BookState, reason: BookReason, what: str, pause_s: int) -> str:
    """Notice for a state and its reason; `what` is the faulty level as text, `pause_s` the seconds until the next try."""
    pause = f"{pause_s} s" if pause_s <= 60 else f"{pause_s // 60} min"
    return _SENTENCES[state, reason].format(what=what, pause=pause)
