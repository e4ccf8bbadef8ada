"""Exactness by the million: books against a dict, groups against what went into them, decimal text against `decimal`.

`count` is that of level updates; as many changes go through groups, and a tenth as many texts through the parser. Each of the three judges is
written a second time, in the plainest way, and shares no code with what it judges.
"""

import random
from decimal import Decimal

from strategies_book import book_hash, to_levels

from alphapulse_cli.book.book import Book
from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.market.ticks import FinerThanGrid, Malformed, number_to_ticks, to_ticks
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.batch import Batch

MOST_LOTS = (1 << 62) - 1
HASH_EVERY = 512
SNAPSHOTS = 0.05  # of the messages


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
    book, batch, model, failed = Book(2, 8), Batch("BTC-USD", "kraken", 2, 8), {}, []
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
            records = batch.finish(delta.Kind.DELTA, version, version, version - 1)
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
        len(made) <= 40
        and all(part and part.isascii() and part.isdigit() for part in parts)
        and (not mark or (unsigned.isascii() and unsigned.isdigit() and len(unsigned) <= 2 and int(unsigned) <= 30))
    )


def parser(dice, count):
    """Random text through both ways in, against `decimal`; what failed."""
    failed = []
    for _ in range(count):
        made, decimals = text(dice), dice.randint(0, 18)
        if is_plain(made):
            sign, digits, exponent = Decimal(made).as_tuple()
            value = int("".join(map(str, digits)))
            shift = exponent + decimals
            expected = value * 10**shift if shift >= 0 else value // 10**-shift
            if shift < 0 and value % 10**-shift:
                expected = FinerThanGrid
            assert not sign
        else:
            expected = Malformed
        for function in (to_ticks, number_to_ticks):
            try:
                found = function(made, decimals)
            except (Malformed, FinerThanGrid) as error:
                found = type(error)
            if found != expected:
                failed.append(f"{function.__name__}({made!r}, {decimals}) is {found}, not {expected}")
    return failed


def campaign(place, count, seed, say):
    """(what was counted, what failed); nothing is written anywhere."""
    dice = random.Random(seed)
    updates, changes, failed = books(dice, count)
    say(f"books: {updates:,} updates, {changes:,} changes through groups and replicas, {len(failed)} differences")
    texts = max(count // 10, 1000)
    wrong = parser(dice, texts)
    say(f"parser: {texts:,} texts, two ways each, {len(wrong)} differences")
    counted = {"updates of a book": updates, "changes encoded and decoded": changes, "texts parsed twice": texts}
    return counted, failed + wrong
