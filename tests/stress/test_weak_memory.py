"""The protocols hold on a weakly ordered machine, in every order it may choose; and each single weakening of them does not."""

import re
from pathlib import Path

import pytest
from stress.weak_memory import IMAGE, RING, fence, image, outcomes, ring

SHM = Path(__file__).resolve().parents[2] / "alphapulse_cli" / "shm"
CALL = re.compile(r"(?:memory|self)\.(\w+_(?:relaxed|acquire|release|fence)|_copy|_best)\((?:[^,()]+, ([\w.]+))?")
RINGS = {
    "one by one": ((1, 1, 1), 1, 1),
    "two polls": ((1, 1), 1, 2),
    "groups": ((2, 1), 2, 1),
    "a group that laps": ((1, 2), 2, 1),
}

RING_WEAKENINGS = {
    "no claim store": RING.without("writer", "store_relaxed claimed"),
    "no release fence": RING.without("writer", "release_fence"),
    "published without release": RING.relaxed("writer", "store_release published"),
    "publish before payload": RING.changed("writer", ("store_relaxed claimed", "release_fence", "store_release published", "data")),
    "claim after payload": RING.changed("writer", ("data", "store_relaxed claimed", "release_fence", "store_release published")),
    "published without acquire": RING.relaxed("reader", "load_acquire published"),
    "no acquire fence": RING.without("reader", "acquire_fence"),
    "no re-check": RING.without("reader", "load_relaxed claimed"),
    "claim read before the copy": RING.changed(
        "reader", ("load_acquire published", "load_relaxed claimed", "acquire_fence", "data")
    ),
}
IMAGE_WEAKENINGS = {
    "seq never odd": IMAGE.without("writer", "store_relaxed odd"),
    "no release fence": IMAGE.without("writer", "release_fence"),
    "even without release": IMAGE.relaxed("writer", "store_release even"),
    "even before the levels": IMAGE.changed("writer", ("store_relaxed odd", "release_fence", "store_release even", "data")),
    "seq without acquire": IMAGE.relaxed("reader", "load_acquire seq"),
    "no acquire fence": IMAGE.without("reader", "acquire_fence"),
    "no re-check": IMAGE.without("reader", "load_relaxed seq"),
}


class TestTheModel:
    """Its judgement of the classic small cases is the known one."""

    def test_a_message_without_order_may_be_missed(self):
        writer = [("store_relaxed", "x", 1), ("store_relaxed", "flag", 1)]
        reader = [("load_relaxed", "flag", None), ("load_relaxed", "x", None)]
        assert outcomes(writer, reader) == {(0, 0), (0, 1), (1, 0), (1, 1)}

    @pytest.mark.parametrize("by", ["orders", "fences"])
    def test_a_message_with_release_and_acquire_is_not(self, by):
        if by == "orders":
            writer = [("store_relaxed", "x", 1), ("store_release", "flag", 1)]
            reader = [("load_acquire", "flag", None), ("load_relaxed", "x", None)]
        else:
            writer = [("store_relaxed", "x", 1), fence("release_fence"), ("store_relaxed", "flag", 1)]
            reader = [("load_relaxed", "flag", None), fence("acquire_fence"), ("load_relaxed", "x", None)]
        assert outcomes(writer, reader) == {(0, 0), (0, 1), (1, 1)}

    def test_release_and_acquire_do_not_keep_a_store_before_a_load(self):
        """Store buffering: both may find nothing. That is why a wake-up may be lost."""
        first = [("store_release", "x", 1), ("load_acquire", "y", None)]
        second = [("store_release", "y", 1), ("load_acquire", "x", None)]
        assert (0, 0) in outcomes(first, second)

    def test_one_word_never_goes_back(self):
        writer = [("store_relaxed", "x", 1), ("store_relaxed", "x", 2)]
        reader = [("load_relaxed", "x", None), ("load_relaxed", "x", None)]
        assert all(first <= second for first, second in outcomes(writer, reader))


class TestTheRing:
    @pytest.mark.parametrize("shape", RINGS)
    def test_no_order_shows_a_record_that_was_not_published(self, shape):
        seen, bad = ring(RING, *RINGS[shape])
        assert bad == 0
        assert seen > 10

    @pytest.mark.parametrize("weakening", RING_WEAKENINGS)
    def test_each_step_and_each_order_is_needed(self, weakening):
        _, bad = ring(RING_WEAKENINGS[weakening], *RINGS["one by one"])
        assert bad > 0


class TestTheImage:
    @pytest.mark.parametrize(("edits", "reads"), [(3, 1), (2, 2)])
    def test_no_order_shows_a_book_that_never_was(self, edits, reads):
        seen, bad = image(IMAGE, edits, reads)
        assert bad == 0
        assert seen > 10

    @pytest.mark.parametrize("weakening", IMAGE_WEAKENINGS)
    def test_each_step_and_each_order_is_needed(self, weakening):
        _, bad = image(IMAGE_WEAKENINGS[weakening], 3)
        assert bad > 0


class TestTheSourcesAreWhatIsModelled:
    """The same steps in the same order as in the product's own text."""

    def steps(self, name, *functions):
        text = (SHM / name).read_text()
        found = []
        for function in functions:
            body = re.findall(rf"    def {function}\(.*?(?=\n    def |\nclass |\Z)", text, re.DOTALL)[-1]
            for call, word in CALL.findall(body):
                found.append("data" if call in ("_copy", "_best") else f"{call} {word}".strip())
        return found

    def test_ring_reader(self):
        assert self.steps("ring.py", "published", "poll") == [
            "load_acquire self._published_at",
            "load_acquire self._sealed_at",
            "data",
            "acquire_fence",
            "load_relaxed self._claimed",
        ]

    def test_ring_writer(self):
        """What follows: whether the file is still there, and the wake-up, of which one may be lost."""
        assert self.steps("ring.py", "publish") == [
            "store_relaxed self._claimed",
            "release_fence",
            "store_release self._published_at",
            "load_relaxed self._sealed_at",
            "load_relaxed self._state_at",
            "load_relaxed self._request",
        ]

    def test_image(self):
        assert self.steps("image.py", "begin") == ["store_relaxed self._live", "release_fence"]
        assert self.steps("image.py", "commit")[-1] == "store_release at"
        assert self.steps("image.py", "_try") == [
            "load_acquire at",
            "load_relaxed at",
            "data",
            "data",
            "load_relaxed at",  # the trading status: data under the same lock
            "acquire_fence",
            "load_relaxed at",
        ]
