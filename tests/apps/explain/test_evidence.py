"""Evidence for gaps: of captures in which a test has broken something, and knows what, where and when."""

import zlib

import orjson
import pytest
from support.captured_river import CapturedRiver
from support.captures import write_with_checkpoints
from support.flow_parts import listed

from alphapulse_cli.apps.explain import gather as gathering
from alphapulse_cli.apps.explain import search
from alphapulse_cli.apps.explain.evidence import Incident, Kind, Place
from alphapulse_cli.apps.explain.gather import Wanted, gather
from alphapulse_cli.apps.explain.words import lasting
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.apps.verify.incidents import incidents_of as incidents_of_certificate
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.errors import NoSegment, UsageError
from alphapulse_cli.wire.delta import BookState, RecordKind

MS, SECOND = 1_000_000, 1_000_000_000
USUAL = Wanted()
SEQUENCED = ("binance-us", "okx", "coinbase", "bybit", "bitfinex")
CHECKSUMMED = ("kraken", "bitfinex")


def no_damage(path, what):
    raise AssertionError(f"{path}: {what}")


def recording_of(river, folder):
    [one] = recordings(river.save(folder))
    return one


def incidents_of(recording, symbols=()):
    return search.incidents(recording, symbols, None, recording.last_ns, no_damage)


def evidence_of(river, folder, wanted=USUAL, number=0):
    recording = recording_of(river, folder)
    return gather(recording, incidents_of(recording)[number], "a test", wanted, no_damage)


def of(evidence, place):
    return [frame for frame in evidence.frames if frame.place is place]


@pytest.fixture
def river(directory):
    def make(exchange, symbols=("BTC-USD",), **options):
        return CapturedRiver(directory, exchange, [listed(exchange, symbol) for symbol in symbols], **options).begin()

    return make


def with_a_loss(river, moves_before):
    """The row of the first frame behind the lost one."""
    river.move(moves_before)
    river.lose()
    before = len(river.received())
    river.move(12)
    river.calm()
    return river.received()[before]


def culprit_is(evidence, row, river, wanted):
    """The hard property: the culprit is that very frame, with its neighbours as they came."""
    [culprit] = of(evidence, Place.CULPRIT)
    frames = river.received()
    at = frames.index(row)
    told = frames[max(at - wanted.before, 0) : at + 1 + wanted.after]
    shown = [frame for frame in evidence.frames if frame.direction == "received"][: len(told)]
    return (
        (culprit.time_ns, culprit.text, culprit.length) == (row.time_ns, row.payload.decode(), len(row.payload))
        and [frame.time_ns for frame in shown] == [each.time_ns for each in told]
        and all(each.payload.decode().startswith(frame.text) for frame, each in zip(shown, told, strict=True))
        and [frame.place for frame in shown].index(Place.CULPRIT) == min(wanted.before, at)
    )


class TestTheCulprit:
    @pytest.mark.parametrize("moves", [1, 4, 9])
    @pytest.mark.parametrize("exchange", [*SEQUENCED, "kraken"])
    def test_it_is_exactly_the_frame_behind_the_lost_one(self, river, tmp_path, exchange, moves):
        wanted = Wanted(before=3, after=2)
        one = river(exchange)
        row = with_a_loss(one, moves)
        evidence = evidence_of(one, tmp_path / "captures", wanted)
        assert evidence.incident.kind is (Kind.CHECKSUM if exchange == "kraken" else Kind.SEQUENCE)
        assert culprit_is(evidence, row, one, wanted)
        assert (evidence.fault_ns, evidence.noticed_ns) == (row.time_ns, row.time_ns)

    @pytest.mark.parametrize("mutant", ["the row before", "the row after", "no frames before", "one frame too few"])
    def test_a_wrong_one_does_not_pass(self, river, tmp_path, monkeypatch, mutant):
        """Each of these stories is nearly right."""
        wanted = Wanted(before=3, after=2)
        one = river("binance-us")
        row = with_a_loss(one, 5)
        begin, after_row = gathering._Story._begin, gathering._Story.after_row
        frames = one.received()
        at = frames.index(row)

        def wrong_begin(self, _row, time_ns):
            begin(self, frames[at + (-1 if mutant == "the row before" else 1)], time_ns)

        def forgetful(self, row, witness):
            after_row(self, row, witness)
            if mutant == "no frames before":
                self._frames.clear()
            elif not self.is_begun and len(self._frames) == wanted.before:
                self._frames.popleft()

        if mutant.startswith("the row"):
            monkeypatch.setattr(gathering._Story, "_begin", wrong_begin)
        else:
            monkeypatch.setattr(gathering._Story, "after_row", forgetful)
        assert not culprit_is(evidence_of(one, tmp_path / "captures", wanted), row, one, wanted)

    def test_numbers_are_those_of_the_frame_and_the_book(self, river, tmp_path):
        one = river("binance-us")
        row = with_a_loss(one, 4)
        evidence = evidence_of(one, tmp_path / "captures")
        told = orjson.loads(row.payload)["data"]
        assert evidence.expected.came == {"U": told["U"], "u": told["u"]}
        assert evidence.expected.stood_at is not None
        assert evidence.expected.stood_at < evidence.expected.follows == told["U"] - 1, "there is a hole"
        assert f"stood at number {evidence.expected.stood_at}" in evidence.verdict
        assert f"U {told['U']}" in evidence.verdict

    @pytest.mark.parametrize("exchange", SEQUENCED)
    def test_every_frame_says_what_it_follows(self, river, tmp_path, exchange):
        """Of the frames before the culprit each follows the last; the culprit alone does not follow the book."""
        one = river(exchange)
        with_a_loss(one, 9)
        evidence = evidence_of(one, tmp_path / "captures", Wanted(before=4))
        ends = {"binance-us": "u", "okx": "seqId", "coinbase": "sequence_num", "bybit": "u", "bitfinex": "sequence"}
        before = of(evidence, Place.BEFORE)
        stood = [frame.numbers[ends[exchange]] for frame in before]
        assert [frame.follows for frame in before[1:]] == stood[:-1]
        assert stood[-1] == evidence.expected.stood_at != evidence.expected.follows

    @pytest.mark.parametrize(
        ("exchange", "names"),
        [
            ("binance-us", {"U", "u"}),
            ("okx", {"prevSeqId", "seqId"}),
            ("coinbase", {"sequence_num"}),
            ("bybit", {"u", "seq"}),
            ("bitfinex", {"channel", "sequence"}),
            ("kraken", {"checksum"}),
        ],
    )
    def test_each_exchange_names_its_numbers(self, river, tmp_path, exchange, names):
        one = river(exchange)
        with_a_loss(one, 4)
        [culprit] = of(evidence_of(one, tmp_path / "captures"), Place.CULPRIT)
        assert set(culprit.numbers) == names
        assert list(culprit.natives) == [one.instruments[0].native]

    def test_the_last_message_in_the_book_is_shown_however_far_back(self, river, tmp_path):
        """A busy neighbour on the connection: the frames before the culprit are all of it."""
        one = river("okx", symbols=("BTC-USD", "ETH-USD"))
        one.move(5)
        last = one.received()[-1]
        one.move(30, "ETH-USD")
        one.lose()
        one.move(5)
        one.calm()
        evidence = evidence_of(one, tmp_path / "captures")
        [shown] = of(evidence, Place.LAST)
        assert (shown.time_ns, shown.text) == (last.time_ns, last.payload.decode())
        assert shown.numbers["seqId"] == evidence.expected.stood_at
        assert {native for frame in of(evidence, Place.BEFORE) for native in frame.natives} == {"ETH-USD"}

    def test_a_plug_in_without_labels_is_served(self, river, tmp_path, monkeypatch):
        from alphapulse_cli.exchanges.binance.decoder import Decoder

        one = river("binance-us")
        row = with_a_loss(one, 4)
        monkeypatch.delattr(Decoder, "label")
        evidence = evidence_of(one, tmp_path / "captures", Wanted(before=3, after=2))
        assert culprit_is(evidence, row, one, Wanted(before=3, after=2))
        assert evidence.expected.came == {}
        assert "does not follow" in evidence.verdict


class TestChecksums:
    @pytest.mark.parametrize("exchange", CHECKSUMMED)
    def test_both_sides_and_the_text_that_ours_covers(self, river, tmp_path, exchange):
        one = river(exchange)
        one.move(4)
        one.pass_ms(40)
        one.change([(9_990, 9, False)], spoil=True)
        one.ask()
        one.move(8)
        one.calm()
        evidence = evidence_of(one, tmp_path / "captures")
        [culprit] = of(evidence, Place.CULPRIT)
        sides = evidence.checksum
        assert evidence.incident.kind is Kind.CHECKSUM
        assert zlib.crc32(sides.text.encode()) == sides.ours, "anybody can compute it again"
        assert sides.theirs == culprit.numbers["checksum"] != sides.ours
        has_levels = exchange == "kraken"  # Bitfinex's checksum comes in a frame of its own
        assert evidence.book_failed.version - evidence.book_before.version == has_levels

    def test_the_healed_book_has_what_the_exchange_announced(self, river, tmp_path):
        """A level was lost; nothing moved until the snapshot: it proves that the exchange was right."""
        one = river("kraken")
        with_a_loss(one, 5)
        evidence = evidence_of(one, tmp_path / "captures")
        assert evidence.checksum.healed == evidence.checksum.theirs != evidence.checksum.ours
        assert "The healed book has the announced one" in evidence.verdict
        assert evidence.checksum.matched_ns == of(evidence, Place.BEFORE)[-1].time_ns
        assert ("bid", "99.90", "", "0.0009") in [
            (change.side, change.price, change.before, change.after) for change in evidence.changes
        ]

    def test_books_without_checksums_have_none(self, river, tmp_path):
        one = river("coinbase")
        with_a_loss(one, 4)
        assert evidence_of(one, tmp_path / "captures").checksum is None


class TestKinds:
    def test_a_lost_connection(self, river, tmp_path):
        one = river("okx")
        one.move(5)
        one.pass_ms(10)
        one.disconnect("no close frame received")
        shut_ns = one.now
        one.pass_ms(1500)
        one.connect()
        one.move(5)
        one.calm()
        evidence = evidence_of(one, tmp_path / "captures")
        [culprit] = of(evidence, Place.CULPRIT)
        assert (evidence.incident.kind, evidence.fault_ns) == (Kind.DISCONNECT, shut_ns)
        assert (culprit.direction, culprit.kind) == ("session", "shut")
        assert "no close frame received" in evidence.verdict
        assert [asked.what for asked in evidence.asked][:2] == ["opened", "sent"]
        assert evidence.heal_ns > 1500 * MS

    def test_a_silent_feed(self, river, tmp_path):
        one = river("coinbase")
        one.move(5)
        last_ns = one.received()[-1].time_ns
        one.pass_ms(3000)
        one.mark("silent")
        marked_ns = one.now
        one.pass_ms(1000)
        one.mark("heard")
        one.move(5)
        one.calm()
        evidence = evidence_of(one, tmp_path / "captures")
        assert (evidence.incident.kind, evidence.noticed_ns, evidence.heal_ns) == (Kind.SILENT, marked_ns, SECOND)
        assert [state.state for state in evidence.readers.states] == ["STALE", "LIVE"]
        assert lasting(marked_ns - last_ns) in evidence.verdict

    @pytest.mark.parametrize("exchange", ["kraken", "coinbase", "okx"])
    def test_a_message_that_cannot_be_read(self, river, tmp_path, exchange):
        one = river(exchange)
        one.move(5)
        one.hear(b'{"garb\x1b[2Jage": [1')
        one.ask()
        one.move(5)
        one.calm()
        evidence = evidence_of(one, tmp_path / "captures")
        [culprit] = of(evidence, Place.CULPRIT)
        assert evidence.incident.kind is Kind.UNREADABLE
        assert culprit.text == '{"garb\x1b[2Jage": [1'
        assert evidence.healed_ns is not None

    def test_one_that_costs_no_book(self, river, tmp_path):
        one = river("kraken")
        one.move(5)
        one.hear(b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD"}]}')
        one.move(5)
        evidence = evidence_of(one, tmp_path / "captures")
        assert (evidence.incident.kind, evidence.incident.symbol, evidence.readers.states) == (Kind.UNREADABLE, "", [])
        assert of(evidence, Place.CULPRIT)[0].text.startswith('{"channel":"trade"')
        assert "cost no book" in evidence.verdict
        assert (evidence.incident.connection, len(of(evidence, Place.BEFORE))) == (1, 5)

    def test_rows_that_the_capture_lacks(self, river, tmp_path):
        one = river("binance-us", symbols=("BTC-USD", "ETH-USD"))
        one.move(5)
        one.move(5, "ETH-USD")
        one.lose()
        one.lose_rows(7)
        one.move(10)
        one.move(10, "ETH-USD")
        one.calm()
        evidence = evidence_of(one, tmp_path / "captures")
        assert (evidence.incident.kind, set(evidence.incident.symbols)) == (Kind.LOST, {"BTC-USD", "ETH-USD"})
        assert "7 rows" in evidence.verdict
        assert "the exchange is not at fault" in evidence.verdict.casefold()

    def test_a_crossed_book_and_the_frame_that_crossed_it(self, river, tmp_path):
        one = river("coinbase", mode="exchange")
        one.move(5)
        one.calm(1)
        one.pass_ms(40)
        one.truth.change("BTC-USD", [(11_000, 0, True)])  # nobody is told that the best ask has gone
        one.encoder.update("BTC-USD", [(11_000, 0, True)], one.now)
        one.change([(11_001, 4, False)])
        crossed = one.received()[-1]
        one.calm(5)
        one.move(5)
        one.calm()
        evidence = evidence_of(one, tmp_path / "captures")
        [culprit] = of(evidence, Place.CULPRIT)
        assert evidence.incident.kind is Kind.CROSSED
        assert (culprit.time_ns, culprit.text) == (crossed.time_ns, crossed.payload.decode())
        assert evidence.noticed_ns - evidence.fault_ns >= 3 * SECOND
        assert "the best bid 110.01 above the best ask 110.00" in evidence.verdict

    def test_a_book_that_nobody_vouches_for(self, river, tmp_path):
        """The stream of ETH-USD is dead while BTC-USD is busy, and the question for it has no answer."""
        one = river("kraken", symbols=("BTC-USD", "ETH-USD"))
        one.move(3, "ETH-USD")
        last = one.received()[-1]
        for _ in range(60):
            one.pass_ms(1000)
            one.move(1)
        one.move(3, "ETH-USD")
        one.pass_ms(1000)
        one.move(3)
        evidence = evidence_of(one, tmp_path / "captures")
        assert (evidence.incident.kind, evidence.incident.symbol) == (Kind.MUTE, "ETH-USD")
        assert [state.state for state in evidence.readers.states] == ["STALE", "LIVE"]
        assert of(evidence, Place.CULPRIT) == []
        assert of(evidence, Place.LAST)[0].time_ns == last.time_ns
        assert evidence.noticed_ns - last.time_ns > 10 * SECOND

    def test_a_dead_stream_that_the_answer_shows(self, river, tmp_path):
        one = river("kraken", symbols=("BTC-USD", "ETH-USD"))
        one.move(3, "ETH-USD")
        one.lose("ETH-USD")
        for _ in range(40):
            one.tick(1)
            one.pass_ms(600)  # a replay looks at silences each half second
            one.ask()
            one.move(1)
        evidence = evidence_of(one, tmp_path / "captures")
        [culprit] = of(evidence, Place.CULPRIT)
        assert (evidence.incident.kind, evidence.incident.symbol) == (Kind.QUIET, "ETH-USD")
        assert '"type":"snapshot"' in culprit.text
        assert (evidence.heal_ns, evidence.book_after.bids[0]) == (0, ("99.90", "0.0009"))
        assert evidence.changes[0].price == "99.90"
        assert "healed by the same message" in evidence.verdict

    @pytest.mark.parametrize("exchange", ["kraken", "okx"])
    def test_a_level_that_fits_no_grid(self, river, tmp_path, exchange):
        one = river(exchange)
        one.move(5)
        one.pass_ms(40)
        frames = one.change([(9_123, 5, False)], lose=True)
        one.hear(*(frame.replace(b"91.23", b"9" * 30) for frame in frames))
        one.ask()
        one.move(5)
        one.calm()
        evidence = evidence_of(one, tmp_path / "captures")
        [culprit] = of(evidence, Place.CULPRIT)
        assert evidence.incident.kind in (Kind.OFF_GRID, Kind.UNREADABLE)
        assert "9" * 30 in culprit.text

    def test_numbers_that_go_back(self, river, tmp_path):
        one = river("coinbase")
        one.move(5)
        one.encoder.restart_sequence()
        one.move(8)
        one.calm()
        evidence = evidence_of(one, tmp_path / "captures")
        assert evidence.incident.kind is Kind.SEQUENCE_RESET
        assert "went back" in evidence.verdict


class TestHealing:
    def test_what_was_asked_and_when_it_healed(self, river, tmp_path):
        one = river("binance-us")
        row = with_a_loss(one, 5)
        [answer] = [each for each in one.rows if each.kind == b"rest" and each.time_ns > row.time_ns]
        evidence = evidence_of(one, tmp_path / "captures")
        [asked] = evidence.asked
        assert (asked.what, asked.status, asked.time_ns) == ("answer", 200, answer.time_ns)
        assert "snapshot BTCUSD" in asked.text
        assert evidence.healed_ns == answer.time_ns
        [healing] = of(evidence, Place.HEALING)
        assert (healing.direction, healing.time_ns) == ("rest", answer.time_ns)
        assert evidence.book_after.state == "LIVE"

    def test_the_states_that_readers_saw(self, river, tmp_path):
        one = river("okx")
        with_a_loss(one, 5)
        evidence = evidence_of(one, tmp_path / "captures")
        syncing, live = evidence.readers.states
        assert (syncing.state, syncing.reason, syncing.lasted_ns) == ("SYNCING", "SEQUENCE_GAP", evidence.heal_ns)
        assert (live.state, live.lasted_ns) == ("LIVE", None)
        assert evidence.readers.live_records == 0
        assert evidence.readers.records["STATUS"] == 1

    def test_a_record_that_calls_the_book_live_meanwhile_is_counted(self, river):
        """The mutant of the collector: a CHECK between the fault and the healing says LIVE."""
        incident = Incident(Kind.SEQUENCE, "okx", "okx", 1, 5, "BTC-USD")
        syncing, live = int(BookState.SYNCING), int(BookState.LIVE)
        for state, counted in ((syncing, 0), (live, 1)):
            story = gathering._Story(incident, Wanted())
            told = [(RecordKind.DELTA, live), (RecordKind.STATUS, syncing), (RecordKind.CHECK, state)]
            story._take(told)
            story._healed_ns = 9
            story._take([(RecordKind.RESET, live), (RecordKind.STATUS, live)])
            assert (story._live_records, story._records) == (counted, {"STATUS": 1, "CHECK": 1, "RESET": 1})

    def test_a_book_that_does_not_heal(self, river, tmp_path):
        one = river("binance-us")
        one.move(5)
        one.lose()
        one.pass_ms(40)
        one.change([(9_990, 8, False)])
        evidence = evidence_of(one, tmp_path / "captures")
        assert (evidence.healed_ns, evidence.heal_ns, evidence.book_after) == (None, None, None)
        assert "not healed before the capture ends" in evidence.verdict

    def test_a_long_outage_is_told_to_its_end(self, river, tmp_path):
        """Longer than the rows are looked at one by one."""
        one = river("okx")
        one.move(5)
        one.disconnect()
        one.pass_ms(3600 * 1000)
        one.connect()
        one.move(5)
        evidence = evidence_of(one, tmp_path / "captures")
        assert evidence.heal_ns > 3600 * SECOND
        assert "1 h 0 min" in evidence.verdict


class TestTheSearch:
    def two(self, river):
        """A recording with a loss of BTC and one of ETH later."""
        one = river("binance-us", symbols=("BTC-USD", "ETH-USD"))
        rows = []
        for symbol in ("BTC-USD", "ETH-USD"):
            one.move(4, symbol)
            one.lose(symbol)
            at = len(one.received())
            one.move(9, symbol)
            rows.append(one.received()[at])
            one.calm()
        return one, rows

    def test_the_last_one_up_to_a_time(self, river, tmp_path):
        one, (first, second) = self.two(river)
        recording = recording_of(one, tmp_path / "captures")

        def at(time_ns, *symbols):
            found, incident, how = search.asked([recording], str(time_ns), symbols, no_damage)
            assert found is recording
            return incident.symbol, incident.time_ns, how

        assert at(second.time_ns)[:2] == ("ETH-USD", second.time_ns)
        assert at(second.time_ns - 1)[:2] == ("BTC-USD", first.time_ns)
        assert at(recording.last_ns, "BTC-USD")[:2] == ("BTC-USD", first.time_ns)
        assert "at or before" in at(second.time_ns - 1)[2]
        assert lasting(5) in at(first.time_ns + 5)[2]

    def test_far_back(self, river, tmp_path, monkeypatch):
        """Further than the first look."""
        one, (first, _) = self.two(river)
        recording = recording_of(one, tmp_path / "captures")
        monkeypatch.setattr(search, "NEAR_NS", 10 * MS)
        _, incident, _ = search.asked([recording], search.LAST, ("BTC-USD",), no_damage)
        assert incident.time_ns == first.time_ns

    def test_ids_are_stable_and_may_be_shortened(self, river, tmp_path):
        one, _ = self.two(river)
        recording = recording_of(one, tmp_path / "captures")
        [first, second] = incidents_of(recording)
        assert first.id != second.id
        assert len(first.id) == 8
        for text in (first.id, first.id.upper(), first.id[:7]):
            if search.ID.fullmatch(text):
                assert search.asked([recording], text, (), no_damage)[1] == first

    @pytest.mark.parametrize("exchange", ["kraken", "binance-us", "okx", "coinbase"])
    def test_checkpoints_change_nothing(self, river, tmp_path, exchange):
        """With one behind every few rows, the look begins in the middle of the connection."""
        one = river(exchange)
        row = with_a_loss(one, 40)
        plain = recording_of(one, tmp_path / "plain")
        write_with_checkpoints(tmp_path / "held", plain.heads[0], one.rows, 4, block_rows=4)
        [held] = recordings(capture_files([tmp_path / "held"]))
        with CaptureFile(held.files[0]) as file:
            assert sum(entry.flags & HOLDS_CHECKPOINTS for entry in file.entries()) > 5
        rows = []
        for recording in (plain, held):
            found, incident, how = search.asked([recording], str(row.time_ns), (), no_damage)
            told = gather(found, incident, how, USUAL, no_damage).row()
            rows.append({name: value for name, value in told.items() if name not in ("file", "since_ns")})
        assert rows[0]["time_ns"] == row.time_ns
        assert rows[0] == rows[1]

    def test_nothing_up_to_then(self, river, tmp_path):
        one, (first, _) = self.two(river)
        recording = recording_of(one, tmp_path / "captures")
        with pytest.raises(NoSegment, match="nothing went wrong"):
            search.asked([recording], str(first.time_ns - 1), (), no_damage)
        with pytest.raises(NoSegment, match="no gap 'ABCDEFGH'"):
            search.asked([recording], "ABCDEFGH", (), no_damage)

    @pytest.mark.parametrize("what", ["2026-09-21T14:13:21", "yesterday", "2020-01-01T00:00:00Z", "1", "", "\x1b[2J"])
    def test_what_is_no_time_of_it(self, river, tmp_path, what):
        one = river("okx")
        one.move(2)
        recording = recording_of(one, tmp_path / "captures")
        with pytest.raises(UsageError) as caught:
            search.asked([recording], what, (), no_damage)
        assert caught.value.hint

    @pytest.mark.parametrize("exchange", [*SEQUENCED, "kraken"])
    def test_each_gap_of_a_certificate_is_explained_by_its_id(self, river, tmp_path, exchange):
        """`verify` and `explain` give one incident one name; also a second gap before the first has healed."""
        one = river(exchange, symbols=("BTC-USD", "ETH-USD"))
        one.move(3, "ETH-USD")
        with_a_loss(one, 5)
        one.move(3)
        one.hear(b'{"garbage": [1')
        one.pass_ms(1)
        one.lose_rows()
        one.ask()
        one.move(6)
        one.disconnect()
        one.pass_ms(1500)
        one.connect()
        one.move(6)
        one.calm()
        recording = recording_of(one, tmp_path / "captures")
        certified = incidents_of_certificate(recording, no_damage)
        assert len(certified) >= 4
        mine = incidents_of(recording)
        assert {incident.id for incident in mine} <= {incident.id for incident in certified}
        assert len(mine) >= 3
        for each in certified:
            _, incident, _ = search.asked([recording], each.id, (), no_damage)
            evidence = gather(recording, incident, "a test", USUAL, no_damage)
            assert (incident.id, incident.kind.value, incident.time_ns) == (each.id, each.kind, each.time_ns)
            assert evidence.healed_ns == each.healed_ns
            assert evidence.noticed_ns == each.time_ns

    def test_the_time_between_two_runs(self, river, tmp_path, directory):
        from alphapulse_cli.edges.capture.head import Head

        one = river("okx")
        one.move(5)
        one.disconnect("the end")
        one.save(tmp_path / "captures")
        ended_ns = one.now
        one.rows.clear()
        one.pass_ms(60_000)
        one.connect()
        one.move(5)
        one.save(tmp_path / "captures")
        [recording] = recordings(capture_files([tmp_path / "captures"]))
        assert isinstance(recording.heads[0], Head)
        [incident] = incidents_of(recording)
        assert (incident.kind, incident.time_ns) == (Kind.RESTART, ended_ns)
        assert [each.id for each in incidents_of_certificate(recording, no_damage)] == [incident.id]
        evidence = gather(recording, incident, "a test", USUAL, no_damage)
        assert evidence.healed_ns is not None
        assert "run ended" in evidence.verdict

    def test_the_end_of_a_run_is_no_gap(self, river, tmp_path):
        one = river("okx")
        one.move(5)
        one.disconnect("the end")
        assert incidents_of(recording_of(one, tmp_path / "captures")) == []
