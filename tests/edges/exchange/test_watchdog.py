"""Silence, second by second: what proves the transport, what proves the feed, and what a stopped collector may not conclude."""

import pytest

from alphapulse_cli import exchanges
from alphapulse_cli.edges.exchange.watchdog import SilenceVerdict, Timing, Watchdog
from alphapulse_cli.exchanges.protocol import Silence

SECOND = 1_000_000_000
TICK = SECOND // 10
PROMISED = Silence(3.0, 5.0)


def play(silence, *, frames=lambda tenth: False, pongs=lambda tenth: False, tenths=80):
    """[(seconds, verdict)] of every verdict but NOTHING; a ping is answered at the first tenth that `pongs`, if any."""
    watchdog, pinged, seen = Watchdog(Timing(), silence, 0), False, []
    for tenth in range(1, tenths + 1):
        if pinged and pongs(tenth):
            watchdog.ponged(tenth * TICK)
            pinged = False
        verdict = watchdog.look(tenth * TICK, heard=frames(tenth))
        pinged |= verdict is SilenceVerdict.PING
        if verdict is not SilenceVerdict.NOTHING:
            seen.append((tenth / 10, verdict))
        if verdict is SilenceVerdict.DEAD:
            break
    return seen


@pytest.mark.parametrize("silence", [None, PROMISED])
def test_nothing_at_all(silence):
    """With a promise and without: 2 s, 3 s, 5 s."""
    assert play(silence) == [(2.0, SilenceVerdict.PING), (3.0, SilenceVerdict.SILENT), (5.0, SilenceVerdict.DEAD)]


def test_pongs_alone_prove_no_feed_that_promised_heartbeats():
    """A snapshot at 0.1 s, a heartbeat at 1.1 s, and no more."""
    seen = play(PROMISED, frames=lambda tenth: tenth in (1, 11), pongs=lambda _: True)
    assert [each for each in seen if each[1] is not SilenceVerdict.PING] == [(4.1, SilenceVerdict.MUTE), (6.1, SilenceVerdict.DEAD)]


@pytest.mark.parametrize("last", [None, 1, 4, 5])
def test_a_connection_that_never_kept_the_promise_is_given_more_time_not_all_of_it(last):
    """Nothing, or acknowledgements and a snapshot within half a second, and then pongs alone."""
    seen = play(PROMISED, frames=lambda tenth: last is not None and tenth in (1, last), pongs=lambda _: True, tenths=200)
    begin_s = 0.0 if last is None else last / 10
    assert [each for each in seen if each[1] is not SilenceVerdict.PING] == [
        (6.0 + begin_s, SilenceVerdict.MUTE),
        (9.0 + begin_s, SilenceVerdict.DEAD),
    ]


def test_half_a_second_after_the_first_frame_it_is_kept():
    proven = 1 + round(Timing().proven_after_s * 10)
    seen = play(PROMISED, frames=lambda tenth: tenth in (1, proven), pongs=lambda _: True, tenths=200)
    assert [each for each in seen if each[1] is not SilenceVerdict.PING] == [(3.6, SilenceVerdict.MUTE), (5.6, SilenceVerdict.DEAD)]


def test_pongs_are_enough_where_nothing_was_promised():
    """A ping each 2 s, for as long as they are answered."""
    seen = play(None, pongs=lambda _: True, tenths=300)
    assert {verdict for _, verdict in seen} == {SilenceVerdict.PING}
    assert len(seen) >= 10


def test_frames_are_enough():
    assert play(PROMISED, frames=lambda tenth: tenth % 19 == 0, tenths=300) == []


def test_a_frame_in_time_ends_it():
    seen = play(PROMISED, frames=lambda tenth: tenth == 35, tenths=60)
    assert seen == [
        (2.0, SilenceVerdict.PING),
        (3.0, SilenceVerdict.SILENT),
        (3.5, SilenceVerdict.HEARD),
        (5.5, SilenceVerdict.PING),
    ]


def test_a_pong_turns_silent_into_mute_and_no_more():
    seen = play(PROMISED, frames=lambda tenth: tenth in (1, 6), pongs=lambda tenth: tenth == 41, tenths=50)
    assert seen == [(2.6, SilenceVerdict.PING), (3.6, SilenceVerdict.SILENT), (4.1, SilenceVerdict.MUTE)]
    seen = play(None, pongs=lambda tenth: tenth == 35, tenths=45)
    assert seen == [(2.0, SilenceVerdict.PING), (3.0, SilenceVerdict.SILENT), (3.5, SilenceVerdict.HEARD)]


def test_a_feed_may_promise_more_patience():
    seen = play(Silence(20.0, 30.0), pongs=lambda _: True, tenths=400)
    assert [each for each in seen if each[1] is not SilenceVerdict.PING] == [
        (20.0, SilenceVerdict.MUTE),
        (30.0, SilenceVerdict.DEAD),
    ]


DOUBTED = Silence(3.0, 5.0, doubt_after_s=2.0)


def doubts_of(seen):
    return [each for each in seen if each[1] is not SilenceVerdict.PING]


def test_a_late_heartbeat_is_doubted_before_it_is_missed():
    """Pongs are no answer to a doubt."""
    seen = doubts_of(play(DOUBTED, pongs=lambda _: True))
    assert seen == [(2.0, SilenceVerdict.DOUBT), (3.0, SilenceVerdict.MUTE), (5.0, SilenceVerdict.DEAD)]


def test_data_ends_a_doubt_three_times_in_a_row():
    """A feed that answers and sends nothing by itself has broken its promise: it is replaced."""
    answers = {21, 42, 63}
    seen = doubts_of(play(DOUBTED, frames=answers.__contains__, pongs=lambda _: True, tenths=200))
    assert seen == [
        (2.0, SilenceVerdict.DOUBT),
        (4.1, SilenceVerdict.DOUBT),
        (6.2, SilenceVerdict.DOUBT),
        (8.3, SilenceVerdict.DEAD),
    ]


def test_a_minute_of_kept_promises_and_it_may_be_doubted_again():
    answers = {21, 42, 63}
    for until, last in ((670, SilenceVerdict.DOUBT), (640, SilenceVerdict.DEAD)):
        frames = answers | set(range(70, until, 10))
        seen = doubts_of(play(DOUBTED, frames=frames.__contains__, pongs=lambda _: True, tenths=until + 12))
        assert [verdict for _, verdict in seen] == [SilenceVerdict.DOUBT] * 3 + [last]


def test_time_in_which_we_did_not_run_is_nobodys_silence():
    """Stopped for a minute: what came meanwhile is still to be read, and the first look does not condemn the exchange."""
    watchdog = Watchdog(Timing(), PROMISED, 0)
    assert watchdog.look(TICK, heard=True) is SilenceVerdict.NOTHING
    assert watchdog.look(60 * SECOND, heard=False) is SilenceVerdict.NOTHING
    assert watchdog.look(60 * SECOND + TICK, heard=True) is SilenceVerdict.NOTHING
    assert watchdog.silent_s == 0


def test_a_starved_collector_still_finds_a_dead_feed():
    """However late each look: half a second of it counts."""
    watchdog = Watchdog(Timing(), PROMISED, 0)
    verdicts = [watchdog.look(number * 7 * SECOND, heard=False) for number in range(1, 12)]
    assert verdicts[-1] is SilenceVerdict.DEAD


@pytest.mark.parametrize("name", list(exchanges.BUILT_IN))
def test_the_promises_of_the_exchanges(name):
    """Kraken and Coinbase send a heartbeat a second, Bitfinex one each 15 s; the others promise no frame."""
    promises = {
        "kraken": Silence(3.0, 5.0, 2.0),
        "coinbase": Silence(3.0, 5.0),  # whose snapshots are megabytes
        "bitfinex": Silence(20.0, 30.0),
    }
    assert {mode.silence for mode in exchanges.get(name).facts.modes} == {promises.get(name)}


def test_the_constants_are_the_designs():
    timing = Timing()
    assert (timing.ping_after_s, timing.stale_after_s, timing.dead_after_s, timing.at_once_s) == (2.0, 3.0, 5.0, 0.1)
