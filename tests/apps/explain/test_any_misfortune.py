"""Any misfortunes, one upon the other: each gap of the certificate is explained as it was, and no other is found."""

import random

import pytest
from support.campaigns import size
from support.captured_river import CapturedRiver
from support.feeds import FEEDS, feed_id
from support.flow_parts import listed

from alphapulse_cli.apps.explain import search
from alphapulse_cli.apps.explain.evidence import Kind, Place
from alphapulse_cli.apps.explain.gather import Wanted, gather
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.apps.verify.incidents import incidents_of
from alphapulse_cli.shm.directory import open_directory

SYMBOLS = ("BTC-USD", "ETH-USD")
MISFORTUNES = ("lose", "spoil", "garbage", "disconnect", "lost rows", "silence", "reset", "none")
STANDING_STILL = (Kind.SILENT, Kind.MUTE)  # of which a certificate has seconds, no incidents


def no_damage(path, what):
    raise AssertionError(f"{path}: {what}")


def befalls(river, chance):
    """One misfortune, then the market moves on."""
    symbol = chance.choice(SYMBOLS)
    match chance.choice(MISFORTUNES):
        case "lose":
            river.lose(symbol)
        case "spoil":
            river.pass_ms(40)
            river.change([(9_000 - chance.randrange(20), 1 + chance.randrange(90), False)], symbol, spoil=True)
        case "garbage":
            river.hear(b'{"garbage": [1')
        case "disconnect":
            river.disconnect()
            river.pass_ms(chance.choice((300, 1500, 9000)))
            river.connect()
        case "lost rows":
            river.lose_rows()
        case "silence":
            river.mark("silent")
            river.ingest.silent(river.now)
            river.pass_ms(2500)
            river.mark("heard")
            river.ingest.heard(river.now)
        case "reset" if hasattr(river.encoder, "restart_sequence"):
            river.encoder.restart_sequence()
    river.ask()
    river.move(chance.randrange(6), symbol)
    if chance.random() < 0.5:
        river.calm(chance.randrange(4))


def story(directory, feed, seed, folder):
    chance = random.Random(f"{feed}{seed}")
    exchange, mode = feed
    river = CapturedRiver(directory, exchange, [listed(exchange, symbol) for symbol in SYMBOLS], mode=mode).begin()
    for symbol in SYMBOLS:
        river.move(3, symbol)
    for _ in range(8):
        befalls(river, chance)
    river.calm()
    [recording] = recordings(river.save(folder))
    return recording


@pytest.mark.campaign
@pytest.mark.parametrize("feed", FEEDS, ids=feed_id)
@pytest.mark.parametrize("seed", range(size(2, 60)))
def test_each_gap_is_explained_as_it_was(tmp_path, feed, seed):
    with open_directory(tmp_path / "segments", create=True) as directory:
        recording = story(directory, feed, seed, tmp_path / "captures")
    certified = {one.id: one for one in incidents_of(recording, no_damage)}
    mine = search.incidents(recording, (), None, recording.last_ns, no_damage)
    assert {one.id for one in mine if one.symbol and one.kind not in STANDING_STILL} <= set(certified)
    named = {one.id for one in mine}
    others = [search.named([recording], (), name, no_damage)[1] for name in certified if name not in named]
    for incident in (*mine, *others):
        evidence = gather(recording, incident, "a test", Wanted(), no_damage)
        assert evidence.noticed_ns == incident.time_ns
        assert evidence.readers.live_records == 0
        if incident.id in certified:
            assert evidence.healed_ns == certified[incident.id].healed_ns
        if incident.kind is not Kind.CROSSED:
            assert {frame.time_ns for frame in evidence.frames if frame.place is Place.CULPRIT} <= {incident.time_ns}
