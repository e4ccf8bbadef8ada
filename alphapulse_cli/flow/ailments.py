"""Sentences for books that ail in a way that asking again cannot heal at once; each is told once."""

from alphapulse_cli.wire.delta import BookReason, BookState

_SENTENCES = {
    (BookState.SYNCING, BookReason.OFF_GRID): "a level that no grid holds ({what}); resyncing",
    (BookState.HALTED, BookReason.OFF_GRID): (
        "HALTED: its snapshot too has a level that no grid holds ({what}). It is tried again in {pause}, and ever more rarely; a snapshot"
        " without it heals it. If it stays so the exchange must mend it: tell them"
    ),
    (BookState.HALTED, BookReason.NO_ROOM): (
        "HALTED: shared memory has no room for it. It is tried again in {pause}, and ever more rarely. Make room: `alphapulse segments`"
        " shows who takes it; or collect elsewhere: --shm-dir"
    ),
    (BookState.SYNCING, BookReason.UNVERIFIED): (
        "UNVERIFIED and not LIVE: five snapshots in a row were refuted by their own checksum. It is tried again each {pause}. To have it"
        " LIVE all the same, said to be unverified: --checksum warn"
    ),
    (BookState.LIVE, BookReason.UNVERIFIED): (
        "LIVE but UNVERIFIED, as --checksum warn asks: five snapshots in a row were refuted by their own checksum. It is tried again"
        " each {pause}"
    ),
}


def sentence(state: BookState, reason: BookReason, what: str, pause_s: int) -> str:
    """The sentence for a state and its reason: `what` was wrong, and it is tried again in `pause_s`."""
    pause = f"{pause_s} s" if pause_s <= 60 else f"{pause_s // 60} min"
    return _SENTENCES[state, reason].format(what=what, pause=pause)
