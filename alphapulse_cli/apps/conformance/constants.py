"""Checks of an exchange's facts, and of its REST metadata."""

from urllib.parse import parse_qsl

from alphapulse_cli.apps.conformance.finding import Fault, require
from alphapulse_cli.apps.conformance.healing import MakeLine
from alphapulse_cli.exchanges import Exchange


def constants(exchange: Exchange) -> str:
    """Check that the facts are complete and do not contradict each other."""
    facts = exchange.facts
    require(facts.modes, "FACTS has no mode")
    for mode in facts.modes:
        where = f"mode {mode.name!r}"
        require(mode.websocket_url.startswith(("wss://", "ws://")), f"{where}: websocket_url is {mode.websocket_url!r}")
        require(mode.rest_url.startswith(("https://", "http://")), f"{where}: rest_url is {mode.rest_url!r}")
        require(mode.validates, f"{where}: `validates` says nothing")
        require(
            not mode.depths or mode.default_depth in (0, *mode.depths),
            f"{where}: default_depth {mode.default_depth} is none of depths",
        )
        require(mode.full_depth or mode.default_depth, f"{where}: neither full_depth nor a default_depth")
        require(mode.instruments_path or facts.instruments_path, f"{where}: no path of the instrument metadata")
        for path in (mode.instruments_path, facts.instruments_path, *facts.further_metadata, facts.volumes_path):
            require(not path or is_path(path), f"{where}: {path!r} is no path like /instruments or /instruments?kind=spot")
    names = [mode.name for mode in facts.modes]
    require(len(set(names)) == len(names), "two modes of one name")
    rates = {"rest_weight": facts.rest_weight, "connects": facts.connects, "sends": facts.sends}
    for name, rate in rates.items():
        require(rate.burst >= 1 and rate.per_second > 0, f"{name} allows nothing: {rate}")
    require(facts.subscribe_batch >= 1, "subscribe_batch is not above 0")
    require(0 < float(facts.taker_fee or 0) < 0.1, f"taker_fee {facts.taker_fee!r} is no decimal fraction between 0 and 0.1")
    return f"{len(names)} modes: {', '.join(names)}"


def metadata(make: MakeLine) -> str:
    """The metadata of the REST encoder reads back as the market's instruments; another path is an error."""
    line = make()
    with line:
        for path in line.metadata_paths:
            status, _ = line.get(path)
            hint = "; the REST encoder gets path and query apart" if "?" in path else ""
            require(status == 200, f"{path} has the status {status}{hint}")
        read = {each.native: each for each in line.exchange.parse_instruments(line.metadata()[1], line.mode)}
        for instrument in line.market.instruments.values():
            found = read.get(instrument.native)
            if found is None:
                raise Fault(f"the metadata lists no {instrument.native}")
            grid = found.price_decimals, found.size_decimals
            wanted = instrument.price_decimals, instrument.size_decimals
            require(found.symbol == instrument.symbol, f"{instrument.native} reads as {found.symbol}, not {instrument.symbol}")
            require(grid == wanted, f"{instrument.native} has {grid} decimals of price and size, not {wanted}")
            require(found.trading_status is instrument.trading_status, f"{instrument.native} reads as {found.trading_status.name}")
        status, _ = line.get("/no/such/path")
        require(status == 404, f"an unknown path has the status {status}, not 404")
        return f"{len(line.market.instruments)} instruments"


def is_path(text: str) -> bool:
    """Whether it is the path of a GET, with a query or without: `/instruments`, `/instruments?kind=spot`."""
    path, mark, query = text.partition("?")
    try:
        return path.startswith("/") and "#" not in text and (not mark or bool(parse_qsl(query, strict_parsing=True)))
    except ValueError:
        return False
