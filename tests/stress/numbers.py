"""Exactness by the million: books against a dict, groups against what went into them, decimal text against `decimal`.

`count` is that of level updates; as many groups are encoded and decoded, and a tenth as many texts go through the parser. Each of the three judges is
written a second time, in the plainest way, and shares no code with what it judges.
"""

import random
import struct
from decimal import Decimal
from typing import Any

from support.strategies_book import book_hash, to_levels

from alphapulse_cli.book.book import Book
from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.market.ticks import FinerThanGrid, Malformed, number_to_ticks, to_ticks
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.batch import Batch

MOST_LOTS = (1 << 62) - 1
HASH_EVERY = 512
SNAPSHOTS = 0.05  # of the messages
GROUP_SIZES = (1, 1, 1, 1, 2, 3, 11, 12, 13, 40)
PRICE_FLOORS = (1, (1 << 63) - 65)  # most near one another, some at the end of what is possible
HEADER, CHANGE = struct.Struct("<Q16s16sQQBBBBi"), struct.Struct("<qQ")


def row(dice):
    """A level as exchanges send them: most near the top, some removals, a few at the ends of what is possible."""
    ticks = dice.randint(1, 500) if dice.random() < 0.98 else dice.choice((0, 10**13, (1 << 63) - 1))
    lots = dice.choice((0, 0, 1, 10**8, dice.getrandbits(40))) if dice.random() < 0.99 else MOST_LOTS
    return ticks, lots, dice.random() < 0.5


def snapshot(dice, model, rows):
    """The book after these rows as one message has it: mostly sorted, either way, sides one after the other or mixed."""
    after = model | {(ticks, is_ask): lots for ticks, lots, is_ask in rows}
    said = [(ticks, lots, is_ask) for (ticks, is_ask), lots in after.items() if lots]
    order = dice.random()
    said.sort(key=lambda one: (one[0] if order < 0.3 else one[2], one[0]), reverse=dice.random() < 0.5)
    if order > 0.6:
        said = [one for one in said if not one[2]][::-1] + [one for one in said if one[2]]
    if order > 0.95:
        dice.shuffle(said)
    return said


def change(ticks, old, lots, is_ask):
    """As a record has it."""
    return ticks, lots | (0 if old else delta.LEVEL_IS_NEW) | (delta.IS_ASK if is_ask else 0)


def books(dice, count):
    """Random updates and snapshots to a book, its batch and a replica of it, beside a dict; (updates, what failed)."""
    book, batch = Book(2, 8), Batch("BTC-USD", "kraken", 2, 8)
    model: dict[tuple[int, bool], int] = {}
    failed: list[str] = []
    replica = Reconstructor("kraken", "BTC-USD")
    replica.load(0, 2, 8, 2, b"", b"")
    done = version = messages = changed = 0
    while done < count:
        rows = [row(dice) for _ in range(dice.choice((1, 1, 3, 12, 13, 40, 600)))]
        is_snapshot = dice.random() < SNAPSHOTS
        batch.clear()
        if is_snapshot:
            rows = rows[:40]
            book.replace(to_levels(snapshot(dice, model, rows)), batch)
        else:
            book.apply(to_levels(rows), batch)
        expected, before = [], dict(model)
        for ticks, lots, is_ask in rows:
            old = model.get((ticks, is_ask), 0)
            if old != lots:
                expected.append(change(ticks, old, lots, is_ask))
                model[ticks, is_ask] = lots
            if not lots:
                model.pop((ticks, is_ask), None)
        if is_snapshot:  # what changed there and back is no difference, and whatever order they are told in is right
            touched = {(ticks, is_ask) for ticks, _, is_ask in rows}
            net = [(ticks, before.get((ticks, is_ask), 0), model.get((ticks, is_ask), 0), is_ask) for ticks, is_ask in touched]
            expected = sorted(change(*one) for one in net if one[1] != one[2])
        done, messages = done + len(rows), messages + 1
        changed += len(expected)
        if expected:
            version += 1
            records = batch.finish(delta.RecordKind.DELTA, version, version, version - 1)
            octets = bytes(batch.records[: 256 * records])
            found = decoded(octets)
            if (sorted(found or ()) if is_snapshot else found) != expected:
                failed.append(f"group {version} is not what was told")
            replica.apply(octets, 0, records)
        if messages % HASH_EVERY == 0 or done >= count:
            failed += differences(book, replica, model, version)
    return done, changed, failed


def decoded(octets):
    """The changes of one group, by the layout alone; a broken header is a wrong answer."""
    found = []
    count = len(octets) // 256
    for record in range(count):
        at = 256 * record
        flags = (delta.FIRST if record == 0 else 0) | (delta.LAST if record == count - 1 else 0)
        if octets[at + 57] != flags:
            return None
        for change in range(octets[at + 56]):
            place = at + 64 + 16 * change
            found.append(
                (
                    int.from_bytes(octets[place : place + 8], "little", signed=True),
                    int.from_bytes(octets[place + 8 : place + 16], "little"),
                )
            )
    return found


def differences(book, replica, model, version):
    """Whether book, replica and dict are one and the same."""
    bids = sorted(((ticks, lots) for (ticks, is_ask), lots in model.items() if not is_ask), reverse=True)
    asks = sorted((ticks, lots) for (ticks, is_ask), lots in model.items() if is_ask)
    expected = book_hash((ticks, lots, is_ask) for (ticks, is_ask), lots in model.items())
    found = []
    for name, one in (("book", book), ("replica", replica.book)):
        if (one.bids(), one.asks(), one.book_hash) != (bids, asks, expected):
            found.append(f"the {name} differs from the dict at version {version}")
    if replica.is_cold:
        found.append(f"the replica is cold at version {version}: {replica.why.name}")
    return found


def text(dice):
    """A number as text, mostly a plain decimal, sometimes with an exponent, sometimes broken."""
    digits = str(dice.getrandbits(dice.choice((1, 8, 20, 40, 64, 80))))
    behind = "".join(dice.choice("0123456789") for _ in range(dice.choice((0, 1, 2, 8, 12, 20))))
    made = digits + (f".{behind}" if behind else "")
    if dice.random() < 0.1:
        made += f"{dice.choice('eE')}{dice.choice(('', '+', '-'))}{dice.randint(0, 35)}"
    if dice.random() < 0.1:
        at = dice.randrange(len(made) + 1)
        made = made[:at] + dice.choice(".eE+-_ x\u0663\n") + made[at + dice.randint(0, 1) :]
    return made


def is_plain(made):
    """Whether it is a number that may be taken, as the documentation says it, without a pattern."""
    mantissa, mark, exponent = made.replace("E", "e").partition("e")
    whole, point, behind = mantissa.partition(".")
    parts = [whole, *([behind] if point else [])]
    unsigned = exponent[1:] if exponent[:1] in ("+", "-") else exponent
    return (
        len(made) <= 400
        and all(part and part.isascii() and part.isdigit() for part in parts)
        and (not mark or (unsigned.isascii() and unsigned.isdigit() and len(unsigned) <= 3 and int(unsigned) <= 400))
    )


def expected_of(made, decimals):
    """Its ticks by `decimal`, or the error that it deserves."""
    if not is_plain(made):
        return Malformed
    sign, digits, exponent = Decimal(made).as_tuple()
    assert not sign
    value, shift = int("".join(map(str, digits))), exponent + decimals
    if shift >= 0:
        return value * 10**shift
    return FinerThanGrid if value % 10**-shift else value // 10**-shift


def judged(made, decimals):
    """What is wrong with the text's ticks, both ways in."""
    failed, expected = [], expected_of(made, decimals)
    for function in (to_ticks, number_to_ticks):
        try:
            found: Any = function(made, decimals)
        except (Malformed, FinerThanGrid) as error:
            found = type(error)
        if found != expected:
            failed.append(f"{function.__name__}({made!r}, {decimals}) is {found}, not {expected}")
    return failed


def parser(dice, count):
    """Random text against `decimal`; what failed."""
    return [difference for _ in range(count) for difference in judged(text(dice), dice.randint(0, 18))]


def groups(dice, count):
    """`count` random groups of up to 40 changes: each byte as the layout says, and a replica that takes them all is the dict."""
    failed: list[str] = []
    model: dict[tuple[int, bool], int] = {}
    batch, replica = Batch("BTC-USD", "kraken", 2, 8), Reconstructor("kraken", "BTC-USD")
    replica.load(0, 2, 8, 2, b"", b"")
    for version in range(1, count + 1):
        changes = {}
        for _ in range(dice.choice(GROUP_SIZES)):
            key = (dice.randrange(64) + PRICE_FLOORS[dice.randrange(64) == 0], dice.random() < 0.5)
            old, lots = model.get(key, 0), dice.choice((0, 1, 5, MOST_LOTS))
            if key not in changes and lots != old:
                changes[key] = lots | (0 if old else delta.LEVEL_IS_NEW) | (delta.IS_ASK if key[1] else 0)
                model[key] = lots
                if not lots:
                    del model[key]
        words = [(ticks, word) for (ticks, _), word in changes.items()]
        batch.clear()
        for change in words:
            batch.append(*change)
        stamp, delay, resynced = dice.getrandbits(63), dice.randint(-(1 << 31), (1 << 31) - 1), version % 3 == 0
        records = batch.finish(delta.RecordKind.DELTA, stamp, version, version - 1, delay, resynced)
        octets = bytes(batch.records[: 256 * records])
        if octets != plain_group(words, stamp, version, delay, resynced):
            failed.append(f"group {version} is not as the layout says")
        replica.apply(octets, 0, records)
        if version % (8 * HASH_EVERY) == 0 or version == count:
            failed += differences(replica.book, replica, model, version)
    return failed


def plain_group(words, stamp, version, delay, resynced):
    """The records of a group, written from the layout alone."""
    cut = [words[i : i + 12] for i in range(0, len(words), 12)] or [[]]
    made = b""
    for place, part in enumerate(cut):
        flags = (delta.FIRST if place == 0 else 0) | (delta.LAST if place == len(cut) - 1 else 0)
        flags |= delta.RESYNCED if resynced else 0
        names = b"BTC-USD".ljust(16, b"\0"), b"kraken".ljust(16, b"\0")
        made += HEADER.pack(stamp, *names, version, version - 1, len(part), flags, 2, 8, delay)
        made += b"".join(CHANGE.pack(*change) for change in part).ljust(192, b"\0")
    return made


def campaign(place, count, seed, say):
    """(what was counted, what failed); nothing is written anywhere."""
    dice = random.Random(seed)
    updates, changes, failed = books(dice, count)
    say(f"books: {updates:,} updates, {changes:,} changes through groups and replicas, {len(failed)} differences")
    strange = groups(dice, count)
    say(f"groups: {count:,} encoded, compared, decoded, {len(strange)} differences")
    texts = max(count // 10, 1000)
    wrong = parser(dice, texts)
    say(f"parser: {texts:,} texts, two ways each, {len(wrong)} differences")
    counted = {"updates of a book": updates, "groups encoded and decoded": count, "texts parsed twice": texts}
    return counted, failed + strange + wrong
