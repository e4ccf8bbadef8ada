"""Two decoders of one feed that hear the same, one of them without its shape: the fast road and the JSON road, to be compared."""

from functools import cache
from typing import Any

import orjson

from alphapulse_cli.apps.bench.frames import STARTED_NS
from alphapulse_cli.errors import DecodeError
from alphapulse_cli.market.events import BookEvent


class Blind:
    """A shape that knows no frame, and all else that the real one knows."""

    def __init__(self, real):
        self.__dict__["_real"] = real

    def __getattr__(self, name):
        return getattr(self._real, name)

    def __setattr__(self, name, value):
        setattr(self._real, name, value)

    def read(self, frame):
        return None


def blinded(decoder, blind=Blind):
    """That decoder, without its fast road."""
    name = "shape" if decoder.shape is not None else "_shape"
    setattr(decoder, name, blind(getattr(decoder, name)))
    return decoder


def plain(event):
    """An event as a value that can be compared."""
    if isinstance(event, BookEvent):
        return (type(event), event.instrument, event.levels, event.levels.kept_out, event.exchange_ns, event.checksum, event.depth)
    return event


def said(decoder, frame):
    """All that a frame makes of a decoder: events or refusal, and what it asks for."""
    try:
        usual = decoder.shape.read(frame) if decoder.shape is not None else None
        events: list[Any] | str = [plain(event) for event in ([usual] if usual is not None else decoder.receive(frame, STARTED_NS))]
    except DecodeError as error:
        events = str(error)
    return events, decoder.pending_requests()


def opened(made, *, blind):
    """A decoder that has heard the opening."""
    decoder = made.receiver()
    if blind:
        blinded(decoder)
    decoder.connected(STARTED_NS)
    for heard in made.opening:
        if heard.is_snapshot:
            decoder.receive_snapshot(made.instruments[0], shortened(heard.body), STARTED_NS)
        else:
            decoder.receive(shortened(heard.body), STARTED_NS)
        decoder.pending_requests()
    return decoder


@cache
def shortened(body):
    """The same with no more than ten levels a side: decoders keep no book, and tests have little time."""
    return orjson.dumps(cut(orjson.loads(body)))


def cut(value):
    if isinstance(value, dict):
        return {key: cut(each) for key, each in value.items()}
    return [cut(each) for each in value[:10]] if isinstance(value, list) else value
