"""The conformance kit: our own exchanges pass it, and each broken decoder fails the check that is made for its fault."""

import tempfile

import pytest
from support.feeds import FEEDS

from alphapulse_cli import exchanges
from alphapulse_cli.apps import conformance
from alphapulse_cli.apps.conformance import CheckVerdict
from alphapulse_cli.exchanges import shape
from alphapulse_cli.exchanges.kraken.decoder import USUAL_UPDATE
from alphapulse_cli.exchanges.shape import Shape
from alphapulse_cli.market.events import BookEvent, GapFound, Snapshot, Trade, Update
from alphapulse_cli.market.levels import Levels

BROKEN = "kraken"  # whose decoder is broken below: snapshots, updates, trades, checksums, requests


@pytest.mark.parametrize(("name", "mode"), FEEDS)
def test_our_own_exchanges_pass(name, mode):
    found = list(conformance.check(exchanges.get(name), [mode] if mode else []))
    assert [finding for finding in found if finding.verdict is CheckVerdict.FAILED] == []
    passed = {finding.check for finding in found if finding.verdict is CheckVerdict.PASSED}
    assert passed >= {
        "facts",
        "metadata",
        "round trip",
        "first snapshot",
        "hostile bytes",
        "refused frame",
        "new connection",
        "limits",
    }


class Broken:
    """A decoder with one fault: whatever a subclass overrides."""

    def __init__(self, instruments, mode):
        self.__dict__["_real"] = exchanges.get(BROKEN).decoder(instruments, {"book", "trades"}, 0, mode)

    def __getattr__(self, name):
        return getattr(self._real, name)

    def __setattr__(self, name, value):
        setattr(self._real, name, value)

    @property
    def shape(self):
        return None  # every frame comes by `receive`

    def receive(self, frame, receive_ns):
        return self.changed(list(self._real.receive(frame, receive_ns)))

    def changed(self, events):
        return events


class Empty(Broken):
    """Understands every frame and says nothing."""

    def changed(self, events):
        return []


class Constant(Broken):
    """Says the first snapshot again and again."""

    first: Snapshot | None = None

    def changed(self, events):
        for event in events:
            if isinstance(event, Snapshot) and type(self).first is None:
                type(self).first = event
        return [type(self).first if isinstance(event, BookEvent) else event for event in events]


class Lossy(Broken):
    """Loses every seventh update."""

    count = 0

    def changed(self, events):
        type(self).count += 1
        return [event for event in events if not isinstance(event, Update) or type(self).count % 7]

    @property
    def book_checksum(self):
        return None  # else the collector would notice it, and heal the book


class SwappedSides(Broken):
    """Takes asks for bids in trades."""

    def changed(self, events):
        return [self._swapped(event) if isinstance(event, Trade) else event for event in events]

    @staticmethod
    def _swapped(event):
        from dataclasses import replace

        return replace(event, side=type(event.side)(1 - event.side))


class KeepsRemoved(Broken):
    """Takes size 0 for a size."""

    def changed(self, events):
        return [self._kept(event) if isinstance(event, Update) else event for event in events]

    @staticmethod
    def _kept(event):
        levels = [(ticks, lots or 1, is_ask) for ticks, lots, is_ask in event.levels]
        made = Levels.from_levels(event.levels.price_decimals, event.levels.size_decimals, levels)
        return Update(event.instrument, made, event.exchange_ns, None, event.depth)


class Deaf(Broken):
    """Never says that a message was lost."""

    def changed(self, events):
        events = [event for event in events if not isinstance(event, GapFound)]
        return [self._unproved(event) if isinstance(event, BookEvent) else event for event in events]

    @staticmethod
    def _unproved(event):
        return type(event)(event.instrument, event.levels, event.exchange_ns, None, event.depth)


class Brittle(Broken):
    """Lets an exception of its own out."""

    def receive(self, frame, receive_ns):
        return [] if b"mystery" in frame else super().receive(frame, receive_ns) if frame[-1:] == b"}" else {}[frame]


class Leaky(Broken):
    """Repeats the text of a hostile frame, however long."""

    def receive(self, frame, receive_ns):
        from alphapulse_cli.errors import DecodeError

        try:
            return super().receive(frame, receive_ns)
        except DecodeError as error:
            raise DecodeError(f"not understood: {frame!r}") from error


class GivesUp(Broken):
    """Never asks twice."""

    def tick(self, monotonic_ns):
        return []


class Chatty(Broken):
    """Asks for ever."""

    def pending_requests(self):
        from alphapulse_cli.market.requests import Send

        return [*self._real.pending_requests(), Send(b'{"method":"ping"}')]


FAULTS = [
    (Empty, "round trip"),
    (Empty, "first snapshot"),
    (Empty, "unknown frame"),
    (Constant, "round trip"),
    (Lossy, "round trip"),
    (SwappedSides, "round trip"),
    (KeepsRemoved, "round trip"),
    (Deaf, "lost frame"),
    (Deaf, "wrong checksum"),
    (Brittle, "hostile bytes"),
    (Leaky, "hostile bytes"),
    (GivesUp, "lost request"),
    (GivesUp, "refused for now"),
    (Chatty, "metadata"),
]


@pytest.mark.parametrize(("broken", "check"), FAULTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_decoder_fails(broken, check, monkeypatch):
    monkeypatch.setattr(conformance, "CHECKS", {check: conformance.CHECKS[check]})
    for name in ("first", "count"):
        if name in vars(broken):
            monkeypatch.setattr(broken, name, vars(broken)[name])
    real = exchanges.get(BROKEN)
    facts, found = conformance.check(_with_decoder(real, broken))
    assert facts.verdict is CheckVerdict.PASSED
    assert (found.check, found.verdict) == (check, CheckVerdict.FAILED), found.detail
    assert found.detail


def _with_decoder(exchange, broken):
    from dataclasses import replace

    return replace(exchange, decoder=lambda instruments, channels, depth, mode: broken(instruments, mode))


def test_facts_that_contradict_each_other_fail():
    from dataclasses import replace

    real = exchanges.get(BROKEN)
    wrong = replace(real, facts=replace(real.facts, subscribe_batch=0))
    assert next(iter(conformance.check(wrong))).detail == "subscribe_batch is not above 0"


class CrookedShape(Broken):
    """Takes bids for asks, but by the shape alone."""

    def __init__(self, instruments, mode):
        super().__init__(instruments, mode)
        swapped = USUAL_UPDATE.replace("bids>", "@>").replace("asks>", "bids>").replace("@>", "asks>")
        self._real.shape = Shape(swapped, depth=10)

    @property
    def shape(self):
        return self._real.shape


@pytest.mark.skipif(not shape.SOURCE_HASH, reason="interpreted, shapes read nothing")
def test_a_parser_that_differs_from_the_decoder_fails(monkeypatch):
    monkeypatch.setattr(conformance, "CHECKS", {"both parsers": conformance.CHECKS["both parsers"]})
    _, found = conformance.check(_with_decoder(exchanges.get(BROKEN), CrookedShape))
    assert found.verdict is CheckVerdict.FAILED
    assert found.detail.startswith(("the two parsers differ on the frame", "LIVE again after the opening a LIVE book is wrong"))


def test_a_decoder_that_never_leaves_a_mute_connection_fails(monkeypatch):
    from alphapulse_cli.market.requests import Reconnect

    monkeypatch.setattr(conformance, "CHECKS", {"mute connection": conformance.CHECKS["mute connection"]})
    real = exchanges.get("okx")  # it promises no heartbeats

    class Stays(Broken):
        def __init__(self, instruments, mode):
            self.__dict__["_real"] = real.decoder(instruments, {"book", "trades"}, 0, mode)

        def pending_requests(self):
            return [request for request in self._real.pending_requests() if not isinstance(request, Reconnect)]

    _, found = conformance.check(_with_decoder(real, Stays), ["books"])
    assert found.verdict is CheckVerdict.FAILED
    assert found.detail.startswith("a connection on which nothing came for 300 s was not replaced: ")
    _, found = conformance.check(real, ["books"])
    assert (found.verdict, found.detail) == (CheckVerdict.PASSED, "replaced after 14 s, healed")


def test_a_decoder_that_cannot_be_made_fails_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(conformance, "CHECKS", {"round trip": conformance.CHECKS["round trip"]})

    def cannot(instruments, mode):
        raise RuntimeError("no such depth")

    _, found = conformance.check(_with_decoder(exchanges.get(BROKEN), cannot))
    assert (found.verdict, found.detail) == (CheckVerdict.FAILED, "RuntimeError: no such depth")
    assert list(tmp_path.iterdir()) == []
