"""Every order in which a weakly ordered machine may do the protocols' loads and stores: what no run on x86-64 can show.

A thread is a list of steps. Any two of its memory accesses may change places, except where one of these rules keeps them:

    coherence        two accesses of one word stay in order
    store_release    after everything before it
    load_acquire     before everything after it
    release_fence    what is before it, before the *stores* after it
    acquire_fence    the *loads* before it, before what is after it

Dependencies keep nothing (C11's relaxed order promises nothing of them; processors are stronger). A store is seen by all at once, as on
aarch64 and x86-64. `outcomes` walks through all orders of both threads together and gives every combination of values that the
loads may have found; `ring` and `image` count those that a reader would believe and must not. Nothing here is timed or drawn at random.

    access   (what, word, value)      what: load_acquire, load_relaxed, store_release, store_relaxed; value None for loads
    fence    (what, "", None)         what: release_fence, acquire_fence
"""

from dataclasses import dataclass

LOADS = ("load_acquire", "load_relaxed")
STORES = ("store_release", "store_relaxed")


def fence(what):
    return (what, "", None)


def must_follow(before, after, between):
    """Whether the access `after` waits for the access `before` of the same thread, with those fences between them."""
    return (
        before[1] == after[1]
        or after[0] == "store_release"
        or before[0] == "load_acquire"
        or ("release_fence" in between and after[0] in STORES)
        or ("acquire_fence" in between and before[0] in LOADS)
    )


def orders(steps):
    """The thread's accesses, and for each the bit mask of those that are done before it."""
    places = [place for place, step in enumerate(steps) if step[1]]
    waits = []
    for index, place in enumerate(places):
        mask = 0
        for earlier, before in enumerate(places[:index]):
            if must_follow(steps[before], steps[place], {step[0] for step in steps[before:place]}):
                mask |= 1 << earlier
        waits.append(mask)
    return [steps[place] for place in places], waits


def outcomes(*threads):
    """All that may come of it: a set of tuples, one value for each load, thread by thread in the order of the program."""
    programs = [orders(steps) for steps in threads]
    words = sorted({access[1] for accesses, _ in programs for access in accesses})
    place_of = {word: place for place, word in enumerate(words)}
    load_places: dict[tuple[int, int], int] = {}
    for thread, (accesses, _) in enumerate(programs):
        for index, access in enumerate(accesses):
            if access[0] in LOADS:
                load_places[thread, index] = len(load_places)
    start = ((0,) * len(programs), (0,) * len(words), (0,) * len(load_places))
    seen, waiting, found = {start}, [start], set()
    while waiting:
        done, memory, loaded = waiting.pop()
        is_over = True
        for thread, (accesses, waits) in enumerate(programs):
            for index, access in enumerate(accesses):
                if done[thread] >> index & 1 or waits[index] & ~done[thread]:
                    is_over &= bool(done[thread] >> index & 1)
                    continue
                is_over = False
                place = place_of[access[1]]
                if access[0] in LOADS:
                    state = (memory, _put(loaded, load_places[thread, index], memory[place]))
                else:
                    state = (_put(memory, place, access[2]), loaded)
                following = (_put(done, thread, done[thread] | 1 << index), *state)
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
        if is_over:
            found.add(loaded)
    return found


def _put(values, place, value):
    return (*values[:place], value, *values[place + 1 :])


@dataclass(frozen=True)
class Protocol:
    """The steps of one publish or edit and of one read, in the words of `shm/memory.py`; `data` stands for the copying."""

    writer: tuple[str, ...]
    reader: tuple[str, ...]

    def without(self, side, step):
        """The same with one step left out."""
        steps = list(getattr(self, side))
        steps.remove(step)
        return self.changed(side, steps)

    def relaxed(self, side, step):
        """The same with one acquire or release order taken away."""
        word = step.partition(" ")[2]
        weak = f"{'load' if side == 'reader' else 'store'}_relaxed {word}"
        return self.changed(side, [weak if each == step else each for each in getattr(self, side)])

    def changed(self, side, steps):
        return Protocol(**{"writer": self.writer, "reader": self.reader, side: tuple(steps)})


RING = Protocol(
    writer=("store_relaxed claimed", "release_fence", "data", "store_release published"),
    reader=("load_acquire published", "data", "acquire_fence", "load_relaxed claimed"),
)
IMAGE = Protocol(
    writer=("store_relaxed odd", "release_fence", "data", "store_release even"),
    reader=("load_acquire seq", "data", "acquire_fence", "load_relaxed seq"),
)
HALVES = ("a", "b")  # each record, and the book, is two words: one alone cannot be torn


def accesses(steps, values, data):
    """The steps with their words and values: {word: value} (None for what is loaded), `data` the accesses that stand for "data"."""
    made = []
    for step in steps:
        what, _, word = step.partition(" ")
        if step == "data":
            made += data
        elif word:
            made.append((what, "seq" if word in ("odd", "even") else word, values.get(word)))
        else:
            made.append(fence(what))
    return made


def ring(protocol, groups, capacity, polls=1):
    """(outcomes, those of them in which a reader believes a record that is not what was published) of groups of so many records."""
    writer, published = [], 0
    for count in groups:
        records = range(published, published + count)
        data = [("store_relaxed", f"{half}{s % capacity}", s + 1) for s in records for half in HALVES]
        published += count
        writer += accesses(protocol.writer, {"claimed": published, "published": published}, data)
    slots = [f"{half}{slot}" for slot in range(capacity) for half in HALVES]
    reader = accesses(protocol.reader, {}, [("load_relaxed", slot, None) for slot in slots]) * polls
    names = [word for _, word, _ in orders(reader)[0]]
    found = outcomes(writer, reader)
    return len(found), sum(not _ring_is_right(list(zip(names, loaded, strict=True)), capacity, polls) for loaded in found)


def _ring_is_right(loaded, capacity, polls):
    """The reader's side of `RingReader.poll` with the values that its loads found."""
    position, each = 0, len(loaded) // polls
    for start in range(0, len(loaded), each):
        value = dict(loaded[start : start + each])
        end = value["published"]
        first = max(position, end - capacity)
        safe = max(first, value.get("claimed", 0) - capacity)
        if any(value[f"{half}{s % capacity}"] != s + 1 for s in range(safe, end) for half in HALVES):
            return False
        position = max(position, end)
    return True


def image(protocol, edits, reads=1):
    """(outcomes, those of them in which a reader believes a book that never was, or one from after the version it was shown)."""
    writer = []
    for version in range(1, edits + 1):
        data = [("store_relaxed", half, version) for half in HALVES]
        writer += accesses(protocol.writer, {"odd": 2 * version - 1, "even": 2 * version}, data)
    reader = accesses(protocol.reader, {}, [("load_relaxed", half, None) for half in HALVES]) * reads
    names = [word for _, word, _ in orders(reader)[0]]
    found = outcomes(writer, reader)
    return len(found), sum(not _image_is_right(list(zip(names, loaded, strict=True)), reads) for loaded in found)


def _image_is_right(loaded, reads):
    """The reader's side of `ImageReader.copy` with the values that its loads found."""
    each = len(loaded) // reads
    for start in range(0, len(loaded), each):
        read = loaded[start : start + each]
        seqs = [value for word, value in read if word == "seq"]
        is_believed = seqs[0] % 2 == 0 and seqs[-1] == seqs[0]
        if is_believed and any(value != seqs[0] // 2 for word, value in read if word in HALVES):
            return False
    return True
