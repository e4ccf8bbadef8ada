"""Plans of `collect`: exchanges, symbols, addresses and set names, checked before a file or a connection is opened.

The module has no I/O: the list of instruments is handed in.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect.volumes import Volumes, most_traded
from alphapulse_cli.edges.capture import keeping
from alphapulse_cli.edges.capture.keeping import CapturePlan, LastBounds
from alphapulse_cli.edges.config import value_types
from alphapulse_cli.edges.config.layers import DEFAULT_SYMBOLS
from alphapulse_cli.edges.exchange import transport as transports
from alphapulse_cli.edges.exchange.loopback import is_loopback
from alphapulse_cli.errors import Refused, UsageError
from alphapulse_cli.exchanges.protocol import BOOK, TRADES, Facts, Mode
from alphapulse_cli.market.choice import is_pattern, matches, near_patterns, split_choice, top_count
from alphapulse_cli.market.instrument import Instrument, near_symbols
from alphapulse_cli.market.trading_status import TradingStatus

CHANNELS = (BOOK, TRADES)
SHOWN_MATCHES = 5
CLOSED = frozenset({TradingStatus.SUSPENDED, TradingStatus.DELISTED})


@dataclass(frozen=True, slots=True)
class CollectPlan:
    """Plan of one exchange's collection. `depth` 0 takes the mode's default, empty addresses the exchange's own."""

    exchange: str
    symbols: Sequence[str] = DEFAULT_SYMBOLS  # canonical symbols, patterns and top:N, already without "exchange:"
    channels: Sequence[str] = CHANNELS
    mode: str = ""
    depth: int = 0
    url: str = ""
    rest_url: str = ""
    set_name: str = ""  # "" = the exchange's name
    shm_dir: str | None = None
    ring_capacity: int = 0  # 0 = by the number of symbols
    duration_s: float | None = None
    transport: str = transports.AUTO
    skip_unlisted: bool = False  # collect the other symbols where the exchange does not list all
    listing_every_s: float = 600.0  # time between two looks for skipped symbols
    checksum_warns: Sequence[str] = ()  # choices whose books stay LIVE, unverified, when their checksums never match
    capture: CapturePlan | None = None
    books_dir: str | None = None  # directory of the segments where `shm_dir` is for the shared limits only
    last_frames: str = keeping.DEFAULT_LAST  # kept in memory, unless all is on disk and nobody could ask for them

    @property
    def name(self) -> str:
        """Name of the set."""
        return self.set_name or self.exchange

    @property
    def is_capture_alone(self) -> bool:
        """Whether it is a capture without books for readers."""
        return self.capture is not None and self.capture.is_all

    @property
    def last_bounds(self) -> LastBounds | None:
        """Bounds of the last frames to keep; None for none."""
        return None if self.is_capture_alone else keeping.last_frames(self.last_frames)

    @property
    def noted_options(self) -> list[str]:
        """Options to be noted for whoever starts a dead collector again: those that its segments do not tell."""
        is_usual = self.last_frames == keeping.DEFAULT_LAST or self.is_capture_alone
        capture = self.capture.to_options() if self.capture is not None else []
        return [*capture, *([] if is_usual else ["--last-frames", self.last_frames])]

    @property
    def standing_choices(self) -> Sequence[str]:
        """Patterns, which also select instruments listed later; top:N is resolved once and left out."""
        return [one for one in self.symbols if is_pattern(one)]

    def warns(self, symbol: str) -> bool:
        """Whether the checksums of that symbol's book may be wrong for good."""
        if all(one in self.checksum_warns for one in self.symbols):
            return True  # of symbols that are added later, too
        own = [symbol] if symbol in self.symbols else [symbol, *(one for one in self.symbols if is_pattern(one) or top_count(one))]
        return any(one in self.checksum_warns and (one == symbol or top_count(one) or matches(one, symbol)) for one in own)

    def to_argv(self) -> list[str]:
        """Words of a command line behind `alphapulse` that make this plan in a process with the same configuration.

        `ring_capacity` and `listing_every_s` have no flag and are not on it; nor is `duration_s`: who starts the process knows what
        is left.
        """
        capture = self.capture
        words = capture.to_argv() if capture else ["collect", "--capture", keeping.NONE]
        words += ["--exchange", self.exchange, "--symbols", ",".join(self.symbols), "--channels", ",".join(self.channels)]
        words += ["--transport", self.transport, "--skip-unlisted" if self.skip_unlisted else "--no-skip-unlisted"]
        words += ["--checksum", ",".join(f"{symbol}=warn" for symbol in self.checksum_warns) or "strict"]
        given = {
            "--mode": self.mode,
            "--depth": str(self.depth or ""),
            "--as": self.set_name,
            "--url": self.url,
            "--rest-url": self.rest_url,
            "--shm-dir": self.shm_dir,
            "--last-frames": None if self.is_capture_alone else self.last_frames,
            "--books-dir": self.books_dir if self.is_capture_alone else None,
        }
        return words + [word for flag, value in given.items() if value for word in (flag, value)]


def symbols_by_exchange(texts: Iterable[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Symbols by exchange: "kraken:BTC-USD" is for kraken only, a bare "ETH-USD" for every exchange of `names`.

    UsageError for a symbol of an exchange that is not in `names`.
    """
    chosen: dict[str, list[str]] = {name: [] for name in names}
    for text in texts:
        exchange, symbol = split_choice(text)
        if exchange and exchange not in chosen:
            raise UsageError(f"{text}: {exchange} is not among the exchanges to collect", f"add --exchange {exchange}")
        for name in [exchange] if exchange else names:
            if symbol not in chosen[name]:
                chosen[name].append(symbol)
    return chosen


def mode_of(facts: Facts, name: str, depth: int) -> tuple[Mode, int]:
    """Mode and depth of the subscription. UsageError for a mode or a depth that the exchange does not have."""
    try:
        mode = facts.mode(name)
    except KeyError:
        known = ", ".join(mode.name for mode in facts.modes)
        raise UsageError(f"{facts.name} has no mode {name[:40]!r}", f"its modes are: {known}") from None
    if not depth:
        return mode, mode.default_depth
    if mode.depths and depth not in mode.depths:
        raise UsageError(f"{facts.name} ({mode.name}) has no depth {depth}", f"its depths are: {', '.join(map(str, mode.depths))}")
    if not mode.depths:
        raise UsageError(f"{facts.name} ({mode.name}) has no choice of depth", "leave --depth out")
    return mode, depth


def check_channels(channels: Iterable[str]) -> tuple[str, ...]:
    """Check the channels; returns each once, all for none. UsageError for an unknown one."""
    chosen = tuple(dict.fromkeys(channels))
    for channel in chosen:
        if channel not in CHANNELS:
            raise UsageError(f"unknown channel: {channel[:40]!r}", f"channels are: {', '.join(CHANNELS)}")
    return chosen or CHANNELS


def addresses(mode: Mode, url: str, rest_url: str) -> tuple[str, str]:
    """WebSocket and REST addresses of a collection. UsageError for an address of another scheme.

    With `url` on this machine and no `rest_url`, REST has the same host and port, as with the simulators.
    """
    if url and not url.startswith(("ws://", "wss://")):
        raise UsageError(f"not a WebSocket address: {url[:200]!r}", "write ws://host:port/path or wss://…")
    if rest_url and not rest_url.startswith(("http://", "https://")):
        raise UsageError(f"not a REST address: {rest_url[:200]!r}", "write http://host:port or https://…")
    websocket = url or mode.websocket_url
    if rest_url or not url:
        return websocket, rest_url or mode.rest_url
    parts = urlsplit(url)
    if is_loopback(url):
        return websocket, f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"
    return websocket, mode.rest_url


def choose(
    exchange: str,
    wanted: Sequence[str],
    listed: Sequence[Instrument],
    *,
    skip_unlisted: bool = False,
    volumes: Volumes | None = None,
) -> tuple[list[Instrument], list[str]]:
    """Choose the instruments of the wanted symbols, each once; returns them and the symbols and patterns without any.

    Refused, with near matches, for unlisted symbols, unless they are to be skipped and others are left.
    """
    found, missing = find(wanted, listed, volumes)
    if missing and not (skip_unlisted and found):
        known = [instrument.symbol for instrument in listed]
        near = {one: (near_patterns if is_pattern(one) else near_symbols)(one, known)[:SHOWN_MATCHES] for one in missing}
        hints = [f"{symbol}: did you mean {', '.join(names)}?" for symbol, names in near.items() if names]
        rest = ["--skip-unlisted collects the others"] if found else []
        unnamed = [f"{', '.join(DEFAULT_SYMBOLS)}: the default of --symbols"] if tuple(wanted) == DEFAULT_SYMBOLS else []
        hint = "; ".join([*unnamed, *hints, *rest, f"alphapulse symbols --exchange {exchange}"])
        raise Refused(f"{exchange} does not list {', '.join(missing)}", hint)
    return found, missing


def find(wanted: Sequence[str], listed: Sequence[Instrument], volumes: Volumes | None = None) -> tuple[list[Instrument], list[str]]:
    """Find the instruments of the wanted symbols, each once; returns them and the symbols and patterns without any."""
    known = {instrument.symbol: instrument for instrument in listed}
    found = {one: _matching(one, known, volumes or {}) for one in wanted}
    chosen = dict.fromkeys(_resolve_alias(instrument, known) for some in found.values() for instrument in some)
    return list(chosen), [one for one, some in found.items() if not some]


def _matching(one: str, known: Mapping[str, Instrument], volumes: Volumes) -> Sequence[Instrument]:
    """Instruments of one choice. Patterns and top:N leave out markets that do not trade: exchanges list those for years."""
    if one in known:
        return [known[one]]
    trading = [instrument for instrument in known.values() if instrument.trading_status not in CLOSED]
    if top_count(one):
        return most_traded(trading, volumes, top_count(one))
    return [instrument for instrument in trading if matches(one, instrument.symbol)] if is_pattern(one) else []


def unlisted(collected: Collection[str], patterns: Sequence[str], listed: Sequence[Instrument]) -> set[str]:
    """Collected symbols that match a pattern and are listed no longer, or as DELISTED.

    A list without half of the collected symbols proves nothing: it may be cut short.
    """
    there = {instrument.symbol for instrument in listed if instrument.trading_status is not TradingStatus.DELISTED}
    gone = {symbol for symbol in collected if symbol not in there}
    if 2 * len(gone) > len(collected):
        return set()
    return {symbol for symbol in gone if any(matches(pattern, symbol) for pattern in patterns)}


def _resolve_alias(instrument: Instrument, known: Mapping[str, Instrument]) -> Instrument:
    """Instrument under whose name the exchange sends the book: that of `alias_of`, or the instrument itself."""
    return known.get(instrument.alias_of, instrument) if instrument.alias_of else instrument


def plans(
    names: Sequence[str],
    symbols: Sequence[str],
    channels: Sequence[str],
    modes: Mapping[str, str],
    depths: Mapping[str, int],
    *,
    urls: Mapping[str, str],
    rest_urls: Mapping[str, str],
    set_name: str = "",
    shm_dir: str | None = None,
    ring_capacity: int = 0,
    duration_s: float | None = None,
    transport: str = transports.AUTO,
    skip_unlisted: bool = False,
    checksum: str = "strict",
    capture: CapturePlan | None = None,
    last_frames: str = keeping.DEFAULT_LAST,
    books_dir: str | None = None,
) -> list[CollectPlan]:
    """Make a plan for each exchange, in the order of `names`.

    UsageError for values that can be refused without asking the exchange.
    """
    if not names:
        raise UsageError("no exchange to collect from", f"--exchange NAME; names are: {', '.join(exchanges.names())}")
    transports.choose(transport)
    try:
        rules = value_types.checksum_rules(checksum)
    except ValueError as error:
        raise UsageError(f"--checksum: {error}", "write --checksum warn, or --checksum kraken:BTC-USD=warn") from None
    unique = list(dict.fromkeys(names))
    chosen = symbols_by_exchange(symbols or DEFAULT_SYMBOLS, unique)
    made: list[CollectPlan] = []
    for name in unique:
        mode = modes.get(name, "")
        mode_of(exchanges.get(name).facts, mode, depths.get(name, 0))
        if not chosen[name]:
            raise UsageError(f"no symbol for {name}", f"--symbols {name}:BTC-USD")
        _check_volumes(name, chosen[name])
        made.append(
            CollectPlan(
                name,
                tuple(chosen[name]),
                check_channels(channels),
                mode,
                depths.get(name, 0),
                urls.get(name, ""),
                rest_urls.get(name, ""),
                set_name,
                shm_dir,
                ring_capacity,
                duration_s,
                transport,
                skip_unlisted,
                checksum_warns=_checksum_warns(rules, name, chosen[name]),
                capture=capture,
                last_frames=last_frames,
                books_dir=books_dir,
            )
        )
    return made


def _check_volumes(name: str, chosen: Sequence[str]) -> None:
    """Raise UsageError for top:N at an exchange that does not publish the volumes of its markets."""
    top = next(filter(top_count, chosen), "")
    if top and exchanges.get(name).parse_volumes is None:
        with_volumes = ", ".join(each for each in exchanges.names() if exchanges.get(each).parse_volumes)
        hint = f"name symbols, or a pattern such as '*-USD'; volumes are known of: {with_volumes}"
        raise UsageError(f"{top}: alphapulse cannot rank the markets of {name} by volume", hint)


def _checksum_warns(rules: Mapping[str, str], exchange: str, chosen: Sequence[str]) -> tuple[str, ...]:
    """Choices whose rule is "warn", and symbols with a rule of their own that a pattern or top:N may choose.

    UsageError for a strict rule of a symbol that a pattern with "warn" may choose.
    """
    warns = [one for one in chosen if _checksum_word(rules, exchange, one) == "warn"]
    is_open = any(is_pattern(one) or top_count(one) for one in chosen)
    for key, word in rules.items() if is_open else ():
        owner, symbol = split_choice(key) if key else ("", "")
        if not symbol or symbol in chosen or owner not in ("", exchange):
            continue
        if word == "warn":
            warns.append(symbol)
        elif any(is_pattern(one) or top_count(one) for one in warns):
            raise UsageError(f"--checksum {key}=strict: a pattern with warn may choose {symbol}", "leave one of the two out")
    return tuple(dict.fromkeys(warns))


def _checksum_word(rules: Mapping[str, str], exchange: str, symbol: str) -> str:
    """Rule for a symbol: that of "kraken:BTC-USD", else that of "BTC-USD", else the one for all symbols."""
    return next((rules[key] for key in (f"{exchange}:{symbol}", symbol, "") if key in rules), "strict")
