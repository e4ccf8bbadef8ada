"""`decode`: time from an exchange's frame, as bytes, to events with exact integers, against orjson.loads of the same frame."""

from collections.abc import Callable, Iterator, Sequence

from alphapulse_cli.apps.bench.capture import captured
from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS, Tape, open_decoder, tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.measure import frame_by_frame
from alphapulse_cli.apps.bench.report import Result
from alphapulse_cli.errors import IntegrityError
from alphapulse_cli.exchanges.protocol import Decoder
from alphapulse_cli.market.events import Event, Update

LOADS = "orjson.loads of the same frame"


def tapes(ground: Ground, scenario: str) -> Iterator[tuple[str, Tape]]:
    """Iterate over (name of the line, tape) of each simulated feed, and of the recording if there is one."""
    recorded = list(captured(ground, scenario, ground.several(1_000, 15_000)))  # one that cannot be read ends it before it measures
    for feed in FEEDS:
        ground.progress(f"{scenario}: {feed.case}")
        yield feed.case, tape(feed, ground.several(1_000, 15_000))
    yield from recorded


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    import orjson

    for case, made in tapes(ground, "decode"):
        decoder = open_decoder(made)
        last: list[Sequence[Event]] = []
        samples = frame_by_frame(_receive(decoder, last), orjson.loads, made.updates)
        if not any(isinstance(event, Update) for event in last[-1]):
            raise IntegrityError(f"decode, {case}: the last frame gave no Update")
        size = sorted(map(len, made.updates))[len(made.updates) // 2]
        yield samples.result("decode", case, LOADS, f"Book and ring; frames of {size} bytes in the median, one book update each.")


def _receive(decoder: Decoder, last: list[Sequence[Event]]) -> Callable[[bytes], None]:
    """Make a function that decodes as `Ingest.receive` does: by the decoder's shape first, if it has one."""
    receive = decoder.receive
    read = decoder.shape.read if decoder.shape is not None else lambda _: None
    last.append(())

    def work(frame: bytes) -> None:
        usual = read(frame)
        last[-1] = receive(frame, STARTED_NS) if usual is None else (usual,)

    return work
