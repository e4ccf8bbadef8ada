"""Requests of a decoder, which has no socket of its own: the session carries them out in order and hands the answers back."""

from collections.abc import Sequence
from dataclasses import dataclass

from alphapulse_cli.market.instrument import Instrument


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class FetchSnapshot:
    """GET `path` below the exchange's REST address and hand the body to `Decoder.receive_snapshot(instrument, …)`.

    `weight` is the request's cost in the exchange's REST budget per minute (`Facts.rest_weight`).
    """

    instrument: Instrument
    path: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class FetchTrades:
    """GET `path` and hand the body to `Decoder.receive_trades(instrument, …)`: trades that the stream did not bring.

    A failed request is not reported: the decoder asks again by itself, a few times, while trades are missing.
    """

    instrument: Instrument
    path: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class FetchProof:
    """GET `path` as for FetchSnapshot and hand the body to `Decoder.receive_proof(instrument, …)`: the check of a quiet book."""

    instrument: Instrument
    path: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class FetchInstruments:
    """GET the instrument metadata again, all its paths, and hand the answers to `Decoder.receive_instruments`, `joined`."""

    paths: Sequence[str]
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Close this connection and open another: the only cure for the loss.

    `others_too` reconnects every other connected session at the same moment.
    """

    reason: str
    others_too: bool = False


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Lower the sending rate for a while: the exchange reported that its limit was exceeded."""

    reason: str


Request = Send | FetchSnapshot | FetchProof | FetchTrades | FetchInstruments | Reconnect | SlowDown
