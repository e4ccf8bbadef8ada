"""The conformance kit: our own exchanges pass it, and each broken decoder fails the check that is made for its fault."""

import tempfile
from dataclasses import replace

import pytest
from support.campaigns import size
from support.feeds import FEEDS

from alphapulse_cli import exchanges
from alphapulse_cli.apps import conformance
from alphapulse_cli.apps.conformance import CheckVerdict
from alphapulse_cli.exchanges import example, shape
from alphapulse_cli.exchanges.kraken.decoder import USUAL_UPDATE
from alphapulse_cli.exchanges.protocol import Rate
from alphapulse_cli.exchanges.shape import Shape
from alphapulse_cli.market.events import BookEvent, GapFound, Snapshot, Trade, TradesMissed, TradesRecovered, Update
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.market.requests import FetchTrades, SlowDown

BROKEN = "kraken"  # whose decoder is broken below: snapshots, updates, trades, checksums, requests


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "mode"), size(FEEDS[::2], FEEDS))
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
        "spent limit",
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


class Resentful(Broken):
    """Loses the updates of the frame after one that it refused."""

    def receive(self, frame, receive_ns):
        from alphapulse_cli.errors import DecodeError

        try:
            events = super().receive(frame, receive_ns)
        except DecodeError:
            self.__dict__["has_refused"] = True
            raise
        lost = Update if self.__dict__.pop("has_refused", False) else ()
        return [event for event in events if not isinstance(event, lost)]


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


class LosesTrades(Broken):
    """Neither counts missing trades nor fetches them."""

    def changed(self, events):
        return [event for event in events if not isinstance(event, TradesMissed | TradesRecovered)]

    def pending_requests(self):
        return [request for request in self._real.pending_requests() if not isinstance(request, FetchTrades)]


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
    (Resentful, "refused frame"),
    (Leaky, "hostile bytes"),
    (GivesUp, "lost request"),
    (GivesUp, "refused for now"),
    (Chatty, "metadata"),
    (LosesTrades, "dead trades"),
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
    return replace(exchange, decoder=lambda instruments, channels, depth, mode: broken(instruments, mode))


def only(monkeypatch, check):
    monkeypatch.setattr(conformance, "CHECKS", {check: conformance.CHECKS[check]})


@pytest.fixture
def template(monkeypatch):
    """The exchange that `exchanges new` writes."""
    monkeypatch.setitem(exchanges.BUILT_IN, "example", "alphapulse_cli.exchanges.example")
    return exchanges.get("example")


@pytest.mark.parametrize("check", ["dead trades", "spent limit", "metadata"])
def test_the_template_passes(template, check, monkeypatch):
    only(monkeypatch, check)
    found = list(conformance.check(template))
    assert [finding.verdict for finding in found] == [CheckVerdict.PASSED] * 2, found


HOURLY = Rate.within(480, 3600.0, burst=240)


def test_slowing_down_where_the_limit_is_of_an_hour_fails(monkeypatch):
    """Kraken's decoder, which slows down at the second refusal, on an exchange that counts the messages of an hour."""
    only(monkeypatch, "spent limit")
    real = exchanges.get(BROKEN)
    _, found = conformance.check(replace(real, facts=replace(real.facts, sends=HOURLY)))
    assert found.verdict is CheckVerdict.FAILED
    assert found.detail.startswith("SlowDown spends the whole burst of `sends`, which takes 3,600 s to come again")


class Wasteful(Broken):
    """Requests everything again at once for as long as anything is missing, and never slows down."""

    def tick(self, monotonic_ns):
        for native in self._real._book.silences():
            self._real._book.ask_anew(native, monotonic_ns)
        return self._real.tick(monotonic_ns)

    def pending_requests(self):
        return [request for request in self._real.pending_requests() if not isinstance(request, SlowDown)]


def test_spending_what_is_left_of_an_hour_fails(monkeypatch):
    only(monkeypatch, "spent limit")
    broken = _with_decoder(exchanges.get(BROKEN), Wasteful)
    _, found = conformance.check(replace(broken, facts=replace(broken.facts, sends=HOURLY)))
    assert found.verdict is CheckVerdict.FAILED
    assert "messages where 12 were left" in found.detail


def test_the_template_passes_with_a_query_in_its_path(template, monkeypatch):
    only(monkeypatch, "metadata")
    facts = replace(example.FACTS, instruments_path="/instruments?kind=spot")
    monkeypatch.setattr("alphapulse_cli.exchanges.example.encoder.FACTS", facts)
    assert [finding.verdict for finding in conformance.check(replace(template, facts=facts))] == [CheckVerdict.PASSED] * 2


class WholePath:
    """REST side that compares the path with its query, though they come apart."""

    def __init__(self, truth, mode):
        self.real = exchanges.get(BROKEN).rest_encoder(truth, mode)

    def respond(self, path, query, now_ns):
        if path != "/0/public/AssetPairs?info=info":
            return 404, b""
        return self.real.respond("/0/public/AssetPairs", query, now_ns)


def test_a_rest_side_that_looks_for_the_query_in_the_path_fails(monkeypatch):
    only(monkeypatch, "metadata")
    real = exchanges.get(BROKEN)
    path = "/0/public/AssetPairs?info=info"
    _, found = conformance.check(replace(real, facts=replace(real.facts, instruments_path=path), rest_encoder=WholePath))
    assert (found.verdict, found.detail) == (
        CheckVerdict.FAILED,
        f"{path} has the status 404; the REST encoder gets path and query apart",
    )


@pytest.mark.parametrize("path", ["instruments", "/instruments?", "/instruments?kind", "/instruments#all"])
def test_a_path_that_is_none_fails(path):
    real = exchanges.get(BROKEN)
    first = next(iter(conformance.check(replace(real, facts=replace(real.facts, instruments_path=path)))))
    assert first.detail == f"mode 'v2': {path!r} is no path like /instruments or /instruments?kind=spot"


def test_facts_that_contradict_each_other_fail():
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
