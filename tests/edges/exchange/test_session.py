"""A connection's life against simulated exchanges over loopback, and against links that do as they are told where a clock matters."""

import asyncio
import inspect
import json
import re
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
from support.feeds import FEEDS, feed_id
from support.session_parts import PATIENT, QUICK, Rig, links_of
from support.sim_parts import until

from alphapulse_cli import exchanges
from alphapulse_cli.edges.exchange.session import Backoff, Session
from alphapulse_cli.edges.exchange.transport import open_link
from alphapulse_cli.errors import ExchangeError, Refused, StorageError, UsageError
from alphapulse_cli.exchanges.protocol import Rate, Silence
from alphapulse_cli.market.requests import FetchInstruments, FetchProof, FetchSnapshot, FetchTrades, Reconnect, Send, SlowDown
from alphapulse_cli.readers.status import StatusSource, state_words
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.sim.listings import LISTED
from alphapulse_cli.tui.books.words import why
from alphapulse_cli.wire.delta import BookReason, BookState

PROVABLE = [feed for feed in FEEDS if feed != ("coinbase", "exchange")]
HEARTBEAT = b'{"channel":"heartbeat"}'
SNAPSHOT = (
    b'{"channel":"book","type":"snapshot","data":[{"symbol":"ETH/BTC","bids":[],"asks":[],"checksum":0,'
    b'"timestamp":"2026-11-27T08:00:00.123456Z"}]}'
)
TRADES = (
    b'{"channel":"trade","type":"update","data":[{"symbol":"ETH/BTC","side":"buy","price":0.05,"qty":1.0,"ord_type":"limit",'
    b'"trade_id":1,"timestamp":"2026-11-27T08:00:00.123456Z"}]}'
)


def is_spoken_to(links, count):
    """Whether there are so many links, and something was sent over the last of them."""
    return len(links) == count and links[-1].sent


class TestAgainstTheSimulators:
    @pytest.mark.parametrize("feed", FEEDS, ids=feed_id)
    async def test_collects_two_books_exactly(self, directory, opener, feed):
        doge = next(row[0] for row in LISTED[feed[0]] if row[0].startswith("DOGE-"))
        async with Rig(directory, feed[0], opener=opener, mode=feed[1], symbols=("ETH-BTC", doge)) as rig:
            await rig.live()
            await rig.moves_until(lambda: rig.total(Counter.TRADES))
            await rig.sim.advance(200)
            await rig.settles()
            assert rig.warnings == []
            assert rig.sim.connection_count == 1

    @pytest.mark.parametrize("feed", PROVABLE, ids=feed_id)
    @pytest.mark.parametrize("kind", ["gap", "garbage", "reorder", "duplicate", "offgrid", "unknown", "disconnect"])
    async def test_heals(self, directory, opener, feed, kind):
        async with Rig(directory, feed[0], opener=opener, mode=feed[1]) as rig:
            await rig.live()
            rig.sim.inject(kind)
            await rig.moves_until(lambda: rig.sim.injection_counts[kind])
            await rig.moves_until(lambda: rig.keeper().version > 3)
            await rig.sim.advance(20)
            if kind == "offgrid" and rig.name != "kraken":  # a level that never was, and nothing that could prove it
                assert rig.total(Counter.OFF_GRID) == 1
                await rig.live()
                rig.sim.inject("disconnect")
                await rig.moves_until(lambda: rig.sim.connection_count == 2)
            await rig.settles()

    async def test_a_gap_of_a_feed_without_numbers_cannot_be_seen(self, directory, opener):
        """`level2_batch`: known, said in `alphapulse exchanges`, and why the other mode is the default. A new connection heals it."""
        async with Rig(directory, "coinbase", opener=opener, mode="exchange") as rig:
            await rig.live()
            rig.sim.inject("gap")
            await rig.moves_until(lambda: rig.sim.injection_counts["gap"])
            assert rig.total(Counter.GAPS) == 0
            rig.sim.inject("disconnect")
            await rig.moves_until(lambda: rig.sim.connection_count == 2)
            await rig.settles()

    async def test_a_wrong_checksum_heals_alone_on_the_same_connection(self, directory, opener):
        async with Rig(directory, "kraken", opener=opener, symbols=("ETH-BTC", "DOGE-USD")) as rig:
            await rig.settles()
            joins = rig.follower.joins
            rig.sim.inject("checksum", "ETH-BTC")
            await rig.moves_until(lambda: rig.count(Counter.CHECKSUMS_BAD, "ETH-BTC"))
            await rig.settles()
            assert rig.sim.connection_count == 1
            assert rig.count(Counter.RESYNCS, "ETH-BTC") == 1
            assert rig.count(Counter.RESYNCS, "DOGE-USD") == 0
            assert rig.follower.joins == joins, "none after the resync"

    async def test_a_flood_starves_nobody(self, directory, opener):
        """While 500 steps come at once, the watchdog's ticks go on and the books stay right."""
        async with Rig(directory, "coinbase", opener=opener, timing=replace(PATIENT, tick_s=0.001)) as rig:
            await rig.live()
            ticks: list[int] = []  # the count of frames at each
            frame_count = 0
            tick, receive = rig.ingest.tick, rig.ingest.receive

            def counted_tick(*times):
                ticks.append(frame_count)
                tick(*times)

            def counted_receive(frame, now):
                nonlocal frame_count
                frame_count += 1
                return receive(frame, now)

            rig.ingest.tick, rig.ingest.receive = counted_tick, counted_receive
            for count in range(1, 5):
                rig.sim.inject("flood")
                await rig.moves_until(lambda count=count: rig.sim.injection_counts["flood"] == count)
            await rig.settles()
            assert frame_count > 2000
            assert max(later - earlier for earlier, later in pairwise([0, *ticks])) <= 1000

    async def test_frames_of_many_megabytes_arrive(self, directory, opener):
        """BTC-USD of Coinbase: 45,800 levels in one frame."""
        async with Rig(directory, "coinbase", opener=opener, symbols=("BTC-USD",)) as rig:
            await rig.live()
            assert rig.count(Counter.BYTES) > 3 << 20
            assert rig.keeper().book.bid_count > 20_000
            await rig.settles()

    async def test_a_restarted_exchange_is_found_again(self, directory, opener):
        async with Rig(directory, "kraken", opener=opener) as rig:
            await rig.live()
            await rig.sim.__aexit__()
            await until(lambda: len(rig.opened_at) >= 4)
            assert any("connection refused" in line for line in rig.warnings)
            assert rig.states() == {"ETH-BTC": BookState.SYNCING}
            await rig.sim.__aenter__()
            await rig.settles()
            assert rig.count(Counter.RECONNECTS) == 1, "connections, not tries"

    async def test_a_snapshot_that_fails_is_asked_for_again(self, directory, opener):
        async with Rig(directory, "binance-us", opener=opener) as rig:
            get = rig.fetcher.get
            failures: list[str] = []

            async def failing(path, weight=1):
                if len(failures) < 2:
                    failures.append(path)
                    raise ExchangeError("not now")
                return await get(path, weight)

            rig.fetcher.get = failing
            await rig.settles()
            assert len(failures) == 2
            assert rig.count(Counter.FETCHES_FAILED) == 2


class TestSilence:
    async def test_ping_then_stale_then_a_new_connection(self, directory):
        opener, links = links_of()

        async with Rig(directory, "kraken", timing=QUICK, opener=opener) as rig:
            await until(lambda: links)
            rig.keeper().set_state(BookState.LIVE, BookReason.NONE, 1)
            seen = []
            rig.ingest.silent = lambda now, *_: seen.append(("silent", links[0].pings))
            await until(lambda: len(links) == 2)
            assert seen == [("silent", 1)], "pinged once before, told once"
            assert links[0].is_closed
            assert any("nothing heard for 0." in line for line in rig.warnings)

    async def test_an_answered_ping_is_a_sign_of_life(self, directory):
        opener, links = links_of(answers=True)

        async with Rig(directory, "kraken", timing=QUICK, opener=opener) as rig:
            seen: list[int] = []
            rig.ingest.silent = seen.append
            await until(lambda: links and links[0].pings >= 4)
            assert (seen, len(links)) == ([], 1)

    async def test_a_word_in_time_makes_stale_books_live_again(self, directory):
        opener, links = links_of()
        told = []

        timing = replace(QUICK, dead_after_s=30.0)
        async with Rig(directory, "kraken", timing=timing, opener=opener) as rig:
            rig.ingest.silent = lambda now, *_: told.append("silent")
            rig.ingest.heard = lambda now: told.append("heard")
            await until(lambda: told == ["silent"])
            links[0].hear(HEARTBEAT)
            await until(lambda: told == ["silent", "heard"])
            await until(lambda: told == ["silent", "heard", "silent"])

    async def test_pongs_do_not_stand_in_for_a_feed_that_promised_heartbeats(self, directory):
        """Connected, pings answered, and mute: STALE with the reason MUTE, then a new connection."""
        opener, links = links_of(answers=True)

        silence = Silence(0.3, 0.5)
        async with Rig(directory, "kraken", timing=QUICK, opener=opener, silence=silence) as rig:
            await until(lambda: links)
            links[0].hear(SNAPSHOT)
            assert rig.is_live()
            await until(lambda: not rig.is_live())
            assert (rig.keeper().state, rig.keeper().reason) == (BookState.STALE, BookReason.MUTE)
            assert links[0].pings >= 1
            await until(lambda: len(links) == 2)
            assert any("nothing heard for 0." in line for line in rig.warnings)

    async def test_a_mute_feed_that_speaks_again_is_live_again(self, directory):
        opener, links = links_of(answers=True)

        async with Rig(directory, "kraken", timing=QUICK, opener=opener, silence=Silence(0.3, 50.0)) as rig:
            await until(lambda: links)
            links[0].hear(SNAPSHOT)
            await until(lambda: rig.keeper().reason is BookReason.MUTE)
            links[0].hear(HEARTBEAT)
            await until(rig.is_live)
            assert len(links) == 1

    async def test_a_late_heartbeat_has_the_books_asked_for(self, directory):
        """A snapshot in answer and the book is LIVE; without one it is MUTE in time."""
        opener, links = links_of(answers=True)
        subscribe = b'"method":"subscribe"'

        silence = Silence(0.3, 0.5, doubt_after_s=0.15)
        async with Rig(directory, "kraken", timing=QUICK, opener=opener, silence=silence) as rig:
            await until(lambda: links)
            links[0].hear(SNAPSHOT)
            asked = sum(subscribe in frame for frame in links[0].sent)
            await until(lambda: sum(subscribe in frame for frame in links[0].sent) > asked)
            assert (rig.keeper().state, rig.keeper().reason) == (BookState.LIVE, BookReason.UNCONFIRMED)
            links[0].hear(SNAPSHOT)
            await until(lambda: rig.keeper().reason is BookReason.NONE)
            assert rig.is_live()
            await until(lambda: rig.keeper().reason is BookReason.MUTE)

    async def test_a_stall_of_the_exchange(self, directory, opener):
        """It sends nothing, but its end of the socket answers pings: where no frame was promised the connection stays, and afterwards all is there."""
        async with Rig(directory, "kraken", opener=opener, timing=QUICK) as rig:
            await rig.live()
            rig.sim.inject("stall", seconds=3600)
            await rig.moves_until(lambda: rig.sim.injection_counts["stall"])
            frames = rig.count(Counter.FRAMES)
            await asyncio.sleep(2 * QUICK.dead_after_s)
            assert (rig.count(Counter.FRAMES), rig.sim.connection_count) == (frames, 1)
            for connection in rig.sim.connections:
                connection.tick(rig.sim.now_ns + 10**15)
            await rig.settles()


class TestConnecting:
    async def test_never_more_often_in_a_minute_than_the_facts_allow(self, directory):
        async def refuse(*_):
            raise ExchangeError("no")

        facts = {"connects": Rate(7, 1 / 60)}
        timing = replace(QUICK, first_backoff_s=0.001, longest_backoff_s=0.001)
        async with Rig(directory, "kraken", opener=refuse, facts=facts, timing=timing) as rig:
            await until(lambda: any("s to connect: limit of 8 connections a minute" in line for _, line in rig.notices))
            assert len(rig.opened_at) == 7
            pauses = [line for _, line in rig.notices if "to connect:" in line]
            assert 50 < float(pauses[0].split()[1]) <= 60

    async def test_what_the_exchange_asks_for_is_waited_out(self, directory):
        """Retry-After of a handshake: no second one before it is over, however often we would have tried."""

        async def refuse(*_):
            raise ExchangeError("it answers 429", retry_after_s=100.0)

        timing = replace(QUICK, first_backoff_s=0.001, longest_backoff_s=0.001)
        async with Rig(directory, "kraken", opener=refuse, timing=timing) as rig:
            await until(lambda: any("rate-limited by the exchange: connecting again at" in line for line in rig.warnings))
            assert len(rig.opened_at) == 1
            assert any("connecting again in 100.0 s" in line for line in rig.warnings)
            assert 90 < rig.limits.connects.pause_left_s(clock.monotonic_ns()) <= 100
            assert 90e9 < rig.count(Counter.WAIT_UNTIL_NS) - clock.realtime_ns() <= 100e9, "readers know, too"

    @pytest.mark.parametrize("status", [418, 429])
    async def test_readers_are_told_of_a_ban_and_its_end_and_that_it_is_over(self, directory, status):
        """A refused handshake over a real socket: what readers say names the wait, not the network."""
        timing = replace(QUICK, first_backoff_s=0.001, longest_backoff_s=0.001)
        async with Rig(directory, "binance-us", timing=timing) as rig:
            source = StatusSource(directory, ["binance-us"])

            def book():
                rig.outlet.beat(clock.monotonic_ns())
                return source.sample()[0].books[0]

            await until(lambda: book().state is BookState.LIVE)
            assert not book().is_waiting
            rig.sim.inject(f"handshake-{status}", seconds=2.0)
            await rig.sim.advance(1)
            await until(lambda: book().is_waiting, every_s=0.01)
            said = book()
            assert re.fullmatch(r"SYNCING disconnected, told to wait until \d\d:\d\d:\d\dZ", state_words(said))
            assert re.search(r"asked for a pause of [12] s more", why(said, has_ladder=True)[1])
            await until(lambda: book().state is BookState.LIVE, every_s=0.01)
            assert (state_words(book()), rig.count(Counter.WAIT_UNTIL_NS)) == ("LIVE", 0)

    def test_backs_off_ever_longer_and_with_jitter(self):
        backoff = Backoff(0.25, 30.0)
        pauses = [backoff.after_failure_s() for _ in range(12)]
        bounds = [min(0.25 * 2**n, 30.0) for n in range(12)]
        assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
        assert len(set(pauses)) == 12
        assert 0 < max(backoff.after_good_s() for _ in range(12)) <= 0.1
        assert backoff.after_good_s(others_too=False) == 0.0, "nobody else reconnects because of our gap"
        assert backoff.after_failure_s() <= 0.25, "failures are forgotten"

    @pytest.mark.parametrize("data", [SNAPSHOT, TRADES])
    async def test_after_a_connection_that_carried_data_the_next_is_at_once(self, directory, data):
        """Five lost in a row, of which each gave one book or trade: no pause has grown."""
        opener, links = links_of()

        async with Rig(directory, "kraken", opener=opener) as rig:
            for number in range(5):
                await until(partial(is_spoken_to, links, number + 1))
                links[-1].hear(data.replace(b'"trade_id":1', b'"trade_id":%d' % (number + 1)))
                links[-1].end("enough")
            await until(lambda: len(links) == 6)
            assert rig.session._backoff.bound_s == 0

    @pytest.mark.parametrize("frame", [HEARTBEAT, b"{", None])
    async def test_after_connections_that_carried_nothing_pauses_grow(self, directory, frame):
        """A greeting and a farewell is no feed."""
        opener, links = links_of()

        timing = replace(PATIENT, first_backoff_s=0.001, longest_backoff_s=1.0)
        async with Rig(directory, "kraken", opener=opener, timing=timing) as rig:
            for number in range(5):
                await until(partial(is_spoken_to, links, number + 1))
                if frame:
                    links[-1].hear(frame)
                links[-1].end("enough")
            await until(lambda: len(links) == 6)
            assert rig.session._backoff.bound_s == 0.016

    async def test_a_break_that_the_decoder_wanted_is_no_failure(self, directory, opener):
        """Five of them cost five connects, and no pause."""
        async with Rig(directory, "coinbase", opener=opener) as rig:
            await rig.live()
            for number in range(2, 7):
                rig.session.carry_out(Reconnect("a new one, please"))
                await rig.moves_until(lambda number=number: rig.sim.connection_count == number)
                await rig.live()
            await rig.settles()
            assert rig.session._backoff.bound_s == 0

    async def test_a_break_that_the_decoder_wanted_costs_no_pause(self, directory):
        """Not even the one that keeps many collectors apart, unless the exchange told all of them at this moment."""
        opener, links = links_of()

        async def scene(others_too):
            links.clear()
            timing = replace(PATIENT, at_once_s=1000.0, first_backoff_s=1000.0)
            async with Rig(directory, "kraken", opener=opener, timing=timing) as rig:
                await until(lambda: links and links[0].sent)
                links[0].hear(SNAPSHOT)
                rig.session.carry_out(Reconnect("a new one, please", others_too=others_too))
                await until(lambda: any("a new one, please; connecting again in" in line for line in rig.warnings))
                if not others_too:
                    await until(lambda: len(links) == 2)
                return [line.rpartition(" in ")[2] for line in rig.warnings if "connecting again" in line]

        assert await scene(others_too=False) == ["0.0 s"]
        assert await scene(others_too=True) != ["0.0 s"]

    async def test_a_farewell_that_nobody_answers_holds_up_nothing(self, directory):
        """The next connection stands while the last one is still being closed; the session's end waits for it."""
        opener, links = links_of(slow_farewell=True)

        async with Rig(directory, "kraken", opener=opener) as rig:
            await until(lambda: links and links[0].sent)
            links[0].hear(SNAPSHOT)
            rig.session.carry_out(Reconnect("a new one, please"))
            await until(lambda: len(links) == 2 and links[1].sent)
            assert links[0].is_closed
            rig.task.cancel()
            await until(lambda: links[1].is_closed)
            assert not rig.task.done()
            for link in links:
                link.gone.set()

    async def test_an_address_that_cannot_be_right_ends_it(self, directory, opener):
        async with Rig(directory, "kraken", opener=opener, url="http://127.0.0.1/") as rig:
            with pytest.raises(UsageError):
                await asyncio.wait_for(asyncio.shield(rig.task), 20)

    @pytest.mark.parametrize("before", [0, 1])
    async def test_being_refused_ends_it_unless_we_were_let_in_before(self, directory, before):
        made, links = links_of()
        tries = []

        async def opener(url, on_frame):
            tries.append(url)
            if len(tries) > before and len(tries) < 5:
                raise Refused("not from here")
            return await made(url, on_frame)

        async with Rig(directory, "kraken", opener=opener) as rig:
            if not before:
                with pytest.raises(Refused):
                    await asyncio.wait_for(asyncio.shield(rig.task), 20)
                return
            await until(lambda: links and links[0].sent)
            links[0].end("bye")
            await until(lambda: len(links) == 2)
            assert len(tries) == 5

    async def test_a_planned_end_comes_before_the_exchanges(self, directory):
        opener, links = links_of(answers=True)

        facts = {"connection_life_s": 7200.0}
        async with Rig(directory, "kraken", opener=opener, facts=facts, timing=QUICK) as rig:
            await until(lambda: links and links[0].sent)
            watch = rig.session._watch(links[0], -(10**13))
            assert await asyncio.wait_for(watch, 20) == "the exchange ends connections of this age"


class TestSending:
    async def test_is_no_faster_than_the_exchange_allows(self, directory):
        opener, links = links_of()

        async with Rig(directory, "kraken", opener=opener, facts={"sends": Rate(5, 20.0)}) as rig:
            await until(lambda: links and len(links[0].sent) == 3)  # instruments, book, trades
            for number in range(5):
                rig.session.carry_out(Send(b"%d" % number))
            await until(lambda: b"4" in links[0].sent)
            assert links[0].sent[-5:] == [b"0", b"1", b"2", b"3", b"4"]
            for count, at in enumerate(links[0].sent_at, start=1):  # nothing was sent before the link was opened
                assert count <= 5 + 20 * (at - rig.opened_at[0]) / 1e9

    async def test_a_resync_leaves_as_one_burst(self, directory):
        """Kraken's unsubscribe and subscribe: no second between them."""
        opener, links = links_of()

        sends = exchanges.get("kraken").facts.sends
        async with Rig(directory, "kraken", opener=opener, facts={"sends": sends}) as rig:
            await until(lambda: links and len(links[0].sent) == 3)
            links[0].hear(SNAPSHOT)
            links[0].hear(
                SNAPSHOT.replace(b"snapshot", b"update").replace(b'"checksum":0', b'"checksum":99')
            )  # 99: not the book's checksum
            await until(lambda: len(links[0].sent) == 5)
            assert [json.loads(frame)["method"] for frame in links[0].sent[3:]] == ["unsubscribe", "subscribe"]
            assert rig.limits.sends.reserve(clock.monotonic_ns()) > 0, "and that was the burst"

    async def test_more_slowly_where_the_exchange_says_too_fast(self, directory):
        opener, links = links_of()

        async with Rig(directory, "kraken", opener=opener, facts={"sends": Rate(20, 1.0)}) as rig:
            await until(lambda: links and len(links[0].sent) == 3)
            rig.session.carry_out(SlowDown("Exceeded msg rate"))
            assert 1.5 < rig.limits.sends.reserve(clock.monotonic_ns()) <= 2
            assert rig.warnings == ["sending at half the rate for a minute: Exceeded msg rate"]

    async def test_what_was_not_sent_is_forgotten_with_its_connection(self, directory):
        opener, links = links_of()

        async with Rig(directory, "kraken", opener=opener, facts={"sends": Rate(1, 0.01)}) as rig:
            await until(lambda: links and links[0].sent)
            rig.session.carry_out(Send(b"of the first"))
            rig.session.carry_out(Reconnect("test"))
            await until(lambda: len(links) == 2)
            assert rig.session._sends.qsize() <= 3
            assert any("disconnected: test" in line for line in rig.warnings)


class TestErrands:
    """What a fetch or a ping ends in is never lost."""

    async def test_a_mistake_in_one_is_not_silent(self, directory):
        opener, links = links_of()

        async with Rig(directory, "kraken", opener=opener) as rig:
            await until(lambda: links)

            async def get(path, weight):
                raise ZeroDivisionError

            rig.fetcher.get = get
            rig.session.carry_out(FetchInstruments(["/x"]))
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(asyncio.shield(rig.task), 20)

    async def test_what_a_frame_does_to_ingest_reaches_whoever_runs_the_session(self, directory, opener):
        async with Rig(directory, "kraken", opener=opener) as rig:
            await rig.live()

            def full(*_):
                raise StorageError("no room at all")

            rig.ingest.receive = full
            await rig.moves_until(rig.task.done)
            with pytest.raises(StorageError):
                await asyncio.wait_for(asyncio.shield(rig.task), 20)

    async def test_they_end_with_their_connection(self, directory):
        opener, links = links_of()

        async with Rig(directory, "binance-us", opener=opener) as rig:
            await until(lambda: links)

            async def get(path, weight):
                await asyncio.Event().wait()

            rig.fetcher.get = get
            rig.session.carry_out(FetchSnapshot(rig.instruments[0], "/x"))
            await until(lambda: rig.session._errands)
            links[0].end("bye")
            await until(lambda: len(links) == 2)
            assert not rig.session._errands

    async def test_what_waits_behind_a_limit_is_not_asked_for_twice(self, directory):
        """A quiet book is checked again and again; behind a Retry-After each check would spend of the limit that a snapshot needs."""
        opener, links = links_of()

        async with Rig(directory, "binance-us", opener=opener) as rig:
            await until(lambda: links)
            asked, go_on = [], asyncio.Event()

            async def get(path, weight):
                asked.append(path)
                await go_on.wait()
                return b"{}"

            rig.fetcher.get = get
            (one,) = rig.instruments
            wanted = [kind for path in "ab" for kind in (FetchProof(one, path), FetchTrades(one, path))] + [FetchInstruments(["c"])]
            for request in 3 * wanted:
                rig.session.carry_out(request)
            await until(lambda: len(asked) >= 5)
            await asyncio.sleep(0)
            assert sorted(asked) == ["a", "a", "b", "b", "c"]
            go_on.set()
            await until(lambda: not rig.session._errands)
            rig.session.carry_out(wanted[0])
            await until(lambda: len(asked) == 6)


def test_the_usual_opener_is_the_real_one():
    assert inspect.signature(Session).parameters["opener"].default is open_link
