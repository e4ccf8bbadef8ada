"""The remote control of a replay: orders that wait together, what each is in each state, and a real replay that is asked."""

import asyncio
import threading
import time

import pytest
from support.captures import tape_rows, write_rows

from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS
from alphapulse_cli.apps.replay.plan import ReplayPlan
from alphapulse_cli.apps.replay.replay import Replay
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.edges import control
from alphapulse_cli.edges.control import ControlServer
from alphapulse_cli.errors import NoSegment, StorageError, UsageError
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.tui.feed.remote import GONE, MOST_ORDERS, SILENT, Order, Remote, ReplayView, command, merged

SECOND = 10**9
LIMIT_S = 60


def view(state="paused", at=30, speed="1x", is_paused=None):
    is_paused = state != "playing" if is_paused is None else is_paused
    return ReplayView(state, STARTED_NS + at * SECOND, speed, STARTED_NS, STARTED_NS + 60 * SECOND, is_paused)


class TestOrders:
    @pytest.mark.parametrize(
        ("orders", "left"),
        [
            ([Order("step"), Order("step", 2)], [Order("step", 3)]),
            ([Order("shift", 10), Order("shift", -1), Order("step")], [Order("shift", 9), Order("step")]),
            ([Order("seek", 5), Order("seek", 7)], [Order("seek", 7)]),
            ([Order("pause"), Order("pause")], []),
            ([Order("pause")] * 3, [Order("pause")]),
            ([Order("speed"), Order("pause"), Order("speed", -1)], [Order("speed"), Order("pause"), Order("speed", -1)]),
            ([], []),
        ],
    )
    def test_neighbours_of_one_kind_are_one(self, orders, left):
        assert list(merged(orders)) == left

    @pytest.mark.parametrize(
        ("order", "seen", "words"),
        [
            (Order("pause"), view("playing"), ["pause"]),
            (Order("pause"), view("paused"), ["resume"]),
            (Order("pause"), view("seeking", is_paused=True), ["resume"]),
            (Order("pause"), view("seeking", is_paused=False), ["pause"]),
            (Order("step", 3), view(), ["step", "3"]),
            (Order("pass", 2 * SECOND), view(), ["step", "2000ms"]),
            (Order("seek", STARTED_NS + 7), view(), ["seek", "2026-09-21T14:13:20.000000007Z"]),
            (Order("shift", 10 * SECOND), view(), ["seek", "2026-09-21T14:14:00.000000000Z"]),
            (Order("shift", -40 * SECOND), view(), ["seek", "2026-09-21T14:13:20.000000000Z"]),
            (Order("shift", 40 * SECOND), view("over"), ["seek", "2026-09-21T14:14:20.000000000Z"]),
            (Order("shift", 10 * SECOND), view(at=60), []),
            (Order("speed"), view(speed="1x"), ["speed", "2x"]),
            (Order("speed", 3), view(speed="1x"), ["speed", "10x"]),
            (Order("speed", -1), view(speed="3x"), ["speed", "2x"]),
            (Order("speed"), view(speed="1000x"), ["speed", "max"]),
            (Order("speed"), view(speed="max"), ["speed", "max"]),
            (Order("speed", -1), view(speed="max"), ["speed", "1000x"]),
            (Order("speed", -9), view(speed="1x"), ["speed", "0.1x"]),
            (Order("speed", 0), view(), []),
        ],
    )
    def test_what_each_is_in_each_state(self, order, seen, words):
        assert command(order, seen) == words

    @pytest.mark.parametrize("what", ["pause", "step", "pass"])
    def test_at_the_end_there_is_nothing_to_play(self, what):
        with pytest.raises(UsageError, match="is over"):
            command(Order(what), view("over"))

    def test_of_a_replay_that_is_gone_nothing_can_be_had(self):
        with pytest.raises(NoSegment, match="gone"):
            command(Order("pause"), view(GONE))


class Heard:
    """What a remote control shows and says, without its thread."""

    def __init__(self, place):
        self.views: list[ReplayView | None] = []
        self.said: list[str] = []
        self.remote = Remote(str(place))
        self.remote._show, self.remote._say = self.views.append, self.said.append

    def turn(self, *orders):
        """The view after these orders."""
        for order in orders:
            self.remote.order(order)
        self.remote.turn()
        return self.views[-1] if self.views else None

    def until(self, condition):
        end = time.monotonic() + LIMIT_S
        while not condition(self.turn()):
            assert time.monotonic() < end, self.views[-1]
        return self.views[-1]


@pytest.fixture
def replaying(tmp_path, shm_dir):
    """A replay of kraken and coinbase, paused at its beginning, in a thread of its own; its directory, and its end."""
    for name in ("kraken", "coinbase"):
        head, rows, _ = tape_rows(next(feed for feed in FEEDS if feed.case == name), 200)
        write_rows(tmp_path, head, rows)
    plan = ReplayPlan(sorted(tmp_path.glob("*.cap.zst")), shm_dir=str(shm_dir), paused=True)
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def run():
        with open_directory(shm_dir) as directory:
            await Replay(plan, recordings(plan.places), directory, lambda *_: None, ready.set, hold=True).run()

    task = loop.create_task(run())
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])), daemon=True)
    thread.start()
    assert ready.wait(LIMIT_S)

    def end():
        loop.call_soon_threadsafe(task.cancel)
        thread.join(LIMIT_S)

    yield shm_dir, end
    end()
    loop.close()


class TestAReplay:
    def test_it_is_seen_and_obeys_and_when_it_has_gone_that_is_seen_too(self, replaying):
        place, end = replaying
        heard = Heard(place)
        seen = heard.until(lambda seen: seen.surveyed == 100)  # nothing changes any more by itself
        assert (seen.state, seen.now_ns, seen.speed) == ("paused", seen.first_ns, "1x")
        heard.turn(Order("speed", 2), Order("shift", 5 * SECOND), Order("shift", SECOND))
        seen = heard.until(lambda seen: seen.state == "paused" and seen.now_ns == seen.first_ns + 6 * SECOND)
        assert seen.speed == "5x"
        heard.turn(Order("pass", SECOND))
        heard.until(lambda seen: seen.now_ns == seen.first_ns + 7 * SECOND)
        assert heard.turn(Order("pause")).state == "playing"
        heard.until(lambda seen: seen.state == "over")
        heard.turn(Order("seek", seen.last_ns + SECOND), Order("step"))
        refused, over = heard.said
        assert "is not in the recording: it is from 2026-09-21T14:13:20" in refused
        assert over.startswith("the recording is over: seek back")
        heard.remote.mark(seen.first_ns + SECOND)
        [(first, last)] = heard.turn().opportunities
        assert first <= seen.first_ns + SECOND <= last
        count = len(heard.views)
        assert heard.turn() is heard.views[count - 1]  # nothing new, nothing shown
        end()
        assert heard.turn().state == GONE
        heard.turn(Order("pause"))
        assert heard.said[-1] == "the replay is gone: alphapulse replay FILE"

    def test_none_is_there(self, shm_dir, tmp_path):
        for place in (shm_dir, tmp_path / "none"):
            heard = Heard(place)
            assert heard.turn(Order("pause")) is None
            assert (heard.views, heard.said) == ([], [])

    def test_a_collector_whose_set_is_named_replay_is_none(self, shm_dir):
        async def ask():
            async def handle(action, words):
                raise AssertionError(action)

            with open_directory(shm_dir) as directory:
                async with ControlServer(directory, "replay", handle):
                    return await asyncio.to_thread(Heard(shm_dir).turn)

        assert asyncio.run(ask()) is None

    def test_one_that_does_not_answer_is_silent_and_keeps_its_place(self, replaying, monkeypatch):
        heard = Heard(replaying[0])
        before = heard.until(lambda seen: seen.surveyed == 100)

        def refuse(*_, **__):
            raise StorageError("no answer")

        with monkeypatch.context() as patched:
            patched.setattr(control, "ask", refuse)
            silent = heard.turn(Order("pause"))
        assert (silent.state, silent.now_ns) == (SILENT, before.now_ns)
        assert heard.said == ["the replay does not answer"]
        assert heard.turn() == before

    def test_who_orders_never_waits_and_no_more_is_kept_than_has_room(self, shm_dir, monkeypatch):
        asked, answer = threading.Event(), threading.Event()

        def hang(*_, **__):
            asked.set()
            answer.wait(LIMIT_S)
            raise NoSegment("none")

        monkeypatch.setattr(control, "ask", hang)
        remote = Remote(str(shm_dir))
        remote.start(lambda _: None, lambda _: None)
        assert asked.wait(LIMIT_S)
        for number in range(MOST_ORDERS + 10):
            remote.order(Order("seek", number))
        assert len(remote._orders) == MOST_ORDERS
        answer.set()
        remote.stop()
