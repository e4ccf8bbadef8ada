"""Page of `explain` on a terminal: the verdict first, then each piece of evidence, then the command that prints the same bytes.

It is written in ASCII, but for what an exchange sent, which is escaped. Each mark has a letter or a word beside its colour.
"""

import shlex
import sys
import textwrap
from collections.abc import Iterator, Sequence

from alphapulse_cli.apps.explain.evidence import TITLES, BookSeen, Evidence, FrameSeen, Place
from alphapulse_cli.apps.explain.words import lasting, numbers_text
from alphapulse_cli.cli import render
from alphapulse_cli.cli.fitting import wrapped
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.readers.moments import moment, time_of_day

HEAD, DIM, BAD, GOOD = "bold", "dim", "bold red", "green"
CULPRIT_LINES = 8  # of its text, at most
CHECKSUM_LINES = 8
SHOWN_CHANGES = 12
SAVED = "last-frames"  # folder for the last frames of a collector
INDENT = "    "
MARKS = {Place.LAST: "..", Place.BEFORE: "  ", Place.CULPRIT: "!!", Place.AFTER: "  ", Place.HEALING: "ok"}
STYLES = {Place.CULPRIT: BAD, Place.HEALING: GOOD}
Line = tuple[str, str]  # text, style


def show(one: Evidence, paths: Sequence[str]) -> None:
    """Print the page on stdout."""
    from rich.text import Text

    out = render.console(sys.stdout)
    for text, style in lines_of(one, paths, out.width):
        out.print(Text(text, style=style), soft_wrap=True)


def lines_of(one: Evidence, paths: Sequence[str], width: int) -> Iterator[Line]:
    """Iterate over the lines of the page and their styles, none wider than `width` but the command at its end."""
    for part in (_head, _verdict, _due, _checksum, _frames, _books, _asked, _readers):
        lines = list(part(one, width))
        if lines:
            for text, style in lines:
                yield from ((piece, style) for piece in _fitted(text, width))
            yield "", ""
    yield from _again(one, paths)


def _fitted(text: str, width: int) -> Iterator[str]:
    """The line as it is, or where it is too long broken between words and indented further."""
    if len(text) <= width:
        yield text
        return
    indent = " " * min(len(text) - len(text.lstrip(" !ok.")) + 2, max(width - 20, 0))
    yield from textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


def _prose(text: str, width: int, indent: str = "  ") -> Iterator[str]:
    for line in wrapped(safe(text), max(width - len(indent), 20)):
        yield indent + line.strip()


def _head(one: Evidence, width: int) -> Iterator[Line]:
    incident = one.incident
    name = f"{incident.set_name}:{incident.symbol}" if incident.symbol else incident.set_name
    for line in wrapped(safe(f"{incident.id}  {name}  {TITLES[incident.kind]}"), width):
        yield line, HEAD
    when = moment(one.fault_ns, digits=9)
    where = f"connection {incident.connection}" if incident.connection else "the whole set"
    imported = "" if one.source == "live" else f", imported from {one.source}"
    for line in wrapped(safe(f"{when}  {where}  {one.file}{imported}"), width):
        yield line, DIM
    for line in wrapped(safe(f"This is {one.asked_for}."), width):
        yield line, DIM
    others = [symbol for symbol in incident.symbols if symbol != incident.symbol]
    if others:
        for line in wrapped(safe(f"It took {len(others)} more books at the same time: {', '.join(others)}"), width):
            yield line, DIM


def _verdict(one: Evidence, width: int) -> Iterator[Line]:
    yield "Verdict", HEAD
    for line in _prose(one.verdict, width):
        yield line, ""


def _due(one: Evidence, width: int) -> Iterator[Line]:
    yield "What was due, and what came", HEAD
    expected = one.expected
    rows = [("rule", expected.rule), ("due", expected.due), ("came", expected.found)]
    rows += [("log", text) for text in one.incident.said]
    for name, text in rows:
        first, *rest = wrapped(safe(text), max(width - 8, 20))
        yield f"  {name:<5} {first}", BAD if name == "came" else ""
        for line in rest:
            yield f"        {line.strip()}", BAD if name == "came" else ""


def _checksum(one: Evidence, width: int) -> Iterator[Line]:
    sides = one.checksum
    if sides is None:
        return
    yield "The checksum on both sides", HEAD
    yield f"  theirs  {'not known' if sides.theirs is None else sides.theirs}", ""
    yield f"  ours    {sides.ours}", BAD
    if sides.text:
        yield f"  of the {len(sides.text)} characters that our book gives with this message in it:", ""
        yield from ((line, DIM) for line in _folded(sides.text, width, CHECKSUM_LINES))
    if sides.healed is not None:
        is_same = sides.healed == sides.theirs
        what = (
            "exactly what the exchange announced: its message was right, our book was wrong"
            if is_same
            else "the book moved meanwhile"
        )
        for line in _prose(f"healed  {sides.healed}, {what}", width):
            yield line, GOOD if is_same else ""
    if sides.matched_ns is not None:
        ago = lasting(max(one.noticed_ns - sides.matched_ns, 0))
        yield f"  last agreed  {time_of_day(sides.matched_ns)}, {ago} before", ""


def _folded(text: str, width: int, most: int) -> Iterator[str]:
    """Foreign text in at most so many lines, broken anywhere."""
    room = max(width - len(INDENT), 20)
    shown = safe(text)
    for number, begin in enumerate(range(0, len(shown), room)):
        is_last = number == most - 1 and begin + room < len(shown)
        piece = shown[begin : begin + room]
        yield INDENT + (piece[: room - 3] + "..." if is_last else piece)
        if is_last:
            return


def _frames(one: Evidence, width: int) -> Iterator[Line]:
    if not one.frames:
        return
    yield "The rows of the connection, times from the fault", HEAD
    has_culprit = any(frame.place is Place.CULPRIT for frame in one.frames)
    is_passed = has_culprit
    for frame in one.frames:
        if not is_passed and frame.time_ns > one.fault_ns:
            is_passed = True
            yield f"!!  {'+0':>12}  time passed, and nothing came", BAD
        if frame.place is Place.HEALING and one.left_out > 0:
            yield f"    {'':>12}  ... {one.left_out} more {'frame' if one.left_out == 1 else 'frames'}", DIM
        yield _frame_line(frame, one.fault_ns), STYLES.get(frame.place, "")
        most = CULPRIT_LINES if frame.place is Place.CULPRIT else 1
        for line in _folded(frame.text + ("..." if frame.is_cut else ""), width, most):
            yield line, "" if frame.place is Place.CULPRIT else DIM
    if not is_passed:
        yield f"!!  {'+0':>12}  time passed, and nothing came", BAD


def _frame_line(frame: FrameSeen, fault_ns: int) -> str:
    natives = f"  {' '.join(frame.natives[:3])}" if frame.natives else ""
    numbers = f"  {numbers_text(frame.numbers)}" if frame.numbers else ""
    if frame.place is Place.LAST:
        numbers += ", the last one in the book"
    kind = frame.direction if frame.direction != "session" else frame.kind
    return safe(f"{MARKS[frame.place]}  {_offset(frame.time_ns - fault_ns):>12}  {kind}, {frame.length} bytes{natives}{numbers}")


def _offset(ns: int) -> str:
    return f"{'-' if ns < 0 else '+'}{lasting(abs(ns))}" if ns else "+0"


def _books(one: Evidence, width: int) -> Iterator[Line]:
    books = [("before", one.book_before), ("with this in it", one.book_failed), ("healed", one.book_after)]
    told = [(title, book) for title, book in books if book is not None]
    if not told:
        return
    yield "The book", HEAD
    blocks = [list(_book(title, book)) for title, book in told]
    row: list[list[str]] = []
    for block in blocks:
        if row and sum(len(each[0]) + 4 for each in row) + len(block[0]) > width - 2:
            yield from _beside(row)
            row = []
        row.append(block)
    yield from _beside(row)
    yield from _changes(one, width)


def _beside(blocks: Sequence[Sequence[str]]) -> Iterator[Line]:
    for number in range(max(map(len, blocks))):
        cells = [block[number] if number < len(block) else " " * len(block[0]) for block in blocks]
        yield "  " + "    ".join(cells).rstrip(), DIM if number == 1 else ""


def _book(title: str, book: BookSeen) -> Iterator[str]:
    """Lines of a book, all of one width."""
    head = f"{title}: v{book.version}, {book.bid_count} + {book.ask_count} levels"
    table = [("size", "bid", "ask", "size")]
    for number in range(max(len(book.bids), len(book.asks))):
        bid = book.bids[number] if number < len(book.bids) else ("", "")
        ask = book.asks[number] if number < len(book.asks) else ("", "")
        table.append((bid[1], bid[0], ask[0], ask[1]))
    widths = [max(len(row[at]) for row in table) for at in range(4)]
    width = max(len(head), sum(widths) + 6)
    yield head.ljust(width)
    for bid_size, bid_price, ask_price, ask_size in table:
        yield f"{bid_size:>{widths[0]}}  {bid_price:>{widths[1]}}  {ask_price:<{widths[2]}}  {ask_size:>{widths[3]}}".ljust(width)


def _changes(one: Evidence, width: int) -> Iterator[Line]:
    if one.book_after is None:
        return
    if not one.changed_count:
        yield "  The healed book has the same levels.", ""
        return
    what = "level differs" if one.changed_count == 1 else "levels differ"
    text = f"{one.changed_count} {what} between the book as it stood and the healed one (what moved meanwhile included):"
    for line in _prose(text, width):
        yield line, ""
    for change in one.changes[:SHOWN_CHANGES]:
        mark, style = ("+", GOOD) if not change.before else ("-", BAD) if not change.after else ("~", "")
        yield f"{INDENT}{mark} {change.side}  {change.price}  {change.before or 'none'} -> {change.after or 'none'}", style
    if one.changed_count > SHOWN_CHANGES:
        yield f"{INDENT}... {one.changed_count - SHOWN_CHANGES} more; --json has up to 200", DIM


def _asked(one: Evidence, width: int) -> Iterator[Line]:
    yield "What was asked until it healed", HEAD
    if not one.asked:
        none = "nothing" if one.source == "live" else f"not known: a recording of {one.source} may not hold what was sent"
        yield f"  {none}", ""
    for each in one.asked:
        status = "" if each.status is None else f" {each.status}"
        begin = f"    {_offset(each.time_ns - one.fault_ns):>12}  {each.what}{status}  "
        text = safe(each.text)
        room = max(width - len(begin), 20)
        yield begin + (text if len(text) <= room else text[: room - 3] + "..."), ""


def _readers(one: Evidence, width: int) -> Iterator[Line]:
    if not one.incident.symbol:
        return
    yield "What readers saw", HEAD
    before = one.book_before.state if one.book_before is not None else "-"
    yield f"  {before:<8}  until {time_of_day(one.noticed_ns)}", ""
    for state in one.readers.states:
        reason = "" if state.reason == "NONE" else " " + state.reason.lower().replace("_", " ")
        lasted = f"for {lasting(state.lasted_ns)}" if state.lasted_ns is not None else f"from {time_of_day(state.time_ns)} on"
        yield f"  {state.state:<8}  {lasted}{reason}", GOOD if state.state == "LIVE" else BAD
    counts = ", ".join(f"{count} {kind}" for kind, count in one.readers.records.items())
    told = f"records in the ring meanwhile: {counts or 'none'}; of them {one.readers.live_records} call the book LIVE"
    for line in _prose(told, width):
        yield line, ""


def _again(one: Evidence, paths: Sequence[str]) -> Iterator[Line]:
    times = [frame.time_ns for frame in one.frames] or [one.fault_ns]
    yield "The same bytes, as they were captured", HEAD
    saved = "" if paths else f"alphapulse capture last {SAVED} && "  # they are kept nowhere yet
    names = " ".join(shlex.quote(safe(path)) for path in paths) or SAVED
    connection = (
        f" --connection {one.incident.connection}"
        if one.incident.connection and all(frame.kind != "lost" for frame in one.frames)
        else ""
    )
    yield (
        (
            f"  {saved}alphapulse capture cat {names} --rows{connection}"
            f" --from {moment(min(times), digits=9)} --to {moment(max(times) + 1, digits=9)}"
        ),
        "",
    )
