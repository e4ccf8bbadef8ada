"""What a decoder may ask of the world. It has no socket: the session does these, in order, and hands answers back."""

from dataclasses import dataclass

from alphapulse_cli.market.instrument import Instrument


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class FetchSnapshot:
    """GET `path` below the exchange's REST address and hand the body to `Decoder.receive_snapshot(instrument, …)`.

    `weight` is what the request costs of the exchange's REST budget per minute (`Facts.rest_weight`).
    """

    instrument: Instrument
    path: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class FetchTrades:
    """GET `path` and hand the body to `Decoder.receive_trades(instrument, …)`: trades that the stream did not bring.

    Where it cannot be had nothing is said: the decoder asks again by itself, a few times, as long as trades are missing.
    """

    instrument: Instrument
    path: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class FetchProof:
    """GET `path` as for FetchSnapshot, but hand the body to `Decoder.receive_proof(instrument, …)`: a quiet book is being checked."""

    instrument: Instrument
    path: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class FetchInstruments:
    """GET the instrument metadata again and hand it to `Decoder.receive_instruments`."""

    path: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Close this connection and open another: only that heals what was lost. `others_too`: whoever is connected does so at this moment."""

    reason: str
    others_too: bool = False


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Send more slowly for a while: the exchange says that we are too fast."""

    reason: str


Request = Send | FetchSnapshot | FetchProof | FetchTrades | FetchInstruments | Reconnect | SlowDown
