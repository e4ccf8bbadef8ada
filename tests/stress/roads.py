"""The shape's road against the JSON road on LIVE books of every feed: the frames of a simulator, whole and spoilt, and recordings.

Two decoders of a feed hear the same, one of them without its shape. They must say the same, ask the same and refuse the same. What was
spoilt may end a book, so both are opened anew now and then: `read` counts the frames that the fast road took, which must be many.
"""

import random

from support.two_roads import blinded, opened, plain, said

from alphapulse_cli import exchanges
from alphapulse_cli.apps.bench.frames import FEEDS, tape
from alphapulse_cli.exchanges import shape as shape_module
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.market.requests import FetchSnapshot

OPENED_ANEW = 400  # frames a life
SPOILT = 0.2
BYTES = b'0123456789.-+eE",:[]{} \\\x00\xffabu'
RECORDINGS = (("coinbase", "exchange", "COINBASE.0", "COINBASE.ws.28.0"), ("binance-us", "", "BINANCE_US.0", "BINANCE_US.ws.1.0"))


def spoilt(dice, frame):
    """The frame with one to three places changed, doubled or cut out."""
    made = bytearray(frame)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(made) + 1)
        kind = dice.randrange(4)
        if kind == 0:
            made[at : at + 1] = bytes([dice.choice(BYTES)])
        elif kind == 1:
            made[at:at] = made[at : at + dice.randint(1, 20)]
        elif kind == 2:
            del made[at : at + dice.randint(1, 20)]
        else:
            made[at:at] = bytes([dice.choice(BYTES)])
    return bytes(made)


def is_read(decoder, frame):
    """Whether the fast road takes it; asked of a decoder of its own, for reading a frame counts it."""
    return (decoder.shape or decoder._shape).read(frame) is not None


def simulated(feed, count, dice):
    """(differences, frames that the fast road took) of `count` frames of that feed."""
    made = tape(feed, OPENED_ANEW)
    failed: list[str] = []
    heard = read = 0
    while heard < count and len(failed) < 20:
        fast, slow, third = (opened(made, blind=blind) for blind in (False, True, False))
        for frame in made.updates[:OPENED_ANEW]:  # whose ids follow the opening
            heard += 1
            told = spoilt(dice, frame) if dice.random() < SPOILT else frame
            took = is_read(third, told)
            read += took
            one, other = said(fast, told), said(slow, told)
            if not took:  # else its shape has counted that frame already
                said(third, told)
            if one != other:
                failed.append(f"{feed.case}: {told!r:.300}: {one!r:.200} or {other!r:.200}")
                break
            if shape_module.SOURCE_HASH and told is frame and not took:  # what was spoilt before ended the book: open it anew
                break
    return failed, read


def recorded(name, mode, metadata, frames):
    """(differences, frames) of a recording; none where it is not there."""
    from support.recorded import recorded_answers, recorded_file, recorded_folder, recorded_frames

    if not (recorded_folder() / frames).is_file():
        return [], 0
    exchange = exchanges.get(name)
    bodies = dict(recorded_answers(metadata))
    body = next(iter(bodies.values())) if bodies else recorded_file(metadata).read_bytes()
    instruments = exchange.parse_instruments(body, mode)
    fast, slow = (exchange.decoder(instruments[:300], {BOOK}, 0, mode) for _ in range(2))
    blinded(slow)
    failed, count = [], 0
    for decoder in (fast, slow):
        decoder.connected(0)
        decoder.pending_requests()
    for at_ns, frame in recorded_frames(frames):
        count += 1
        one, other = said(fast, frame), said(slow, frame)
        if one != other:
            failed.append(f"{frames} at {at_ns}: {frame!r:.200}")
        for request in one[1]:
            if isinstance(request, FetchSnapshot):
                answers = [
                    [plain(event) for event in decoder.receive_snapshot(request.instrument, _empty_book(frame), at_ns)]
                    for decoder in (fast, slow)
                ]
                if answers[0] != answers[1]:
                    failed.append(f"{frames} at {at_ns}: snapshots differ")
    return failed, count


def _empty_book(frame):
    """A snapshot taken where this event of Binance's ends: it is LIVE from there on, whatever was in it."""
    import orjson

    return orjson.dumps({"lastUpdateId": orjson.loads(frame)["data"]["u"], "bids": [], "asks": []})


def campaign(_place, count, seed, say):
    """(what was counted, what failed)."""
    dice, taken = random.Random(seed), 0
    failed: list[str] = []
    for feed in FEEDS:
        found, read = simulated(feed, count // len(FEEDS), dice)
        failed, taken = failed + found, taken + read
        say(f"{feed.case}: the fast road took {read:,} of {count // len(FEEDS):,}")
        if shape_module.SOURCE_HASH and read < count // len(FEEDS) // 3:
            failed.append(f"{feed.case}: only {read:,} frames went by the fast road: nothing was compared")
    frames = 0
    for recording in RECORDINGS:
        try:
            found, heard = recorded(*recording)
        except Exception as error:  # noqa: BLE001 - told, not hidden
            found, heard = [f"{recording[3]}: {error!r}"], 0
        failed, frames = failed + found, frames + heard
    if not shape_module.SOURCE_HASH:
        say("interpreted, shapes read nothing: both roads are the JSON library's")
    return {"frames of simulators": count, "of them by the fast road": taken, "frames of recordings": frames}, failed
