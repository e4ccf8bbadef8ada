"""The registry: names to exchanges, lazily; refusals that say what to type instead."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from alphapulse_cli import exchanges
from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges import protocol
from alphapulse_cli.market.instrument import Instrument


class TestNames:
    def test_the_built_in_ones_come_in_their_order(self):
        assert exchanges.names()[:4] == ["kraken", "coinbase", "binance-us", "binance"]

    def test_importing_the_registry_imports_no_exchange(self):
        script = (
            "import sys, alphapulse_cli.exchanges as e; e.names();"
            "print([m for m in sys.modules if m.startswith('alphapulse_cli.exchanges.') and not m.endswith('.protocol')])"
        )
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
        )
        assert run.stdout.strip() == "[]"


class TestGet:
    @pytest.mark.parametrize("name", list(exchanges.BUILT_IN))
    def test_each_built_in_exchange_is_complete(self, name):
        exchange = exchanges.get(name)
        assert exchange.facts.name == name
        for mode in exchange.facts.modes:
            assert mode.websocket_url.startswith("wss://")
            assert mode.rest_url.startswith("https://")
            truth = _EmptyTruth()
            assert exchange.decoder([], {protocol.BOOK, protocol.TRADES}, 0, mode.name).instruments == {}
            assert exchange.encoder(truth, mode.name).spoil_checksum is False
            assert exchange.rest_encoder(truth, mode.name).respond("/nowhere", {}, 0)[0] == 404
        assert len(exchange.facts.name) <= 16

    def test_ftx_is_refused_with_the_reason(self):
        with pytest.raises(UsageError, match="closed in November 2022") as refusal:
            exchanges.get("FTX")
        assert "kraken" in refusal.value.hint

    def test_an_unknown_name_is_told_the_nearest_ones(self):
        with pytest.raises(UsageError, match="unknown exchange: 'krakn'") as refusal:
            exchanges.get("krakn")
        assert refusal.value.hint == "did you mean kraken?"

    def test_an_unknown_name_without_a_near_match_lists_all_names(self):
        with pytest.raises(UsageError) as refusal:
            exchanges.get("zzzz")
        assert refusal.value.hint.startswith("exchanges are: kraken, coinbase")


class TestOtherPeoplesExchanges:
    @pytest.fixture
    def plug_ins(self, monkeypatch):
        def offer(**modules):
            points = []
            for name, value in modules.items():
                module = ModuleType(f"a_plug_in_{name}")
                vars(module).update(value)
                monkeypatch.setitem(sys.modules, module.__name__, module)
                points.append(EntryPoint(name, module.__name__, exchanges.ENTRY_POINTS))
            monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == exchanges.ENTRY_POINTS else [])

        return offer

    def test_a_module_with_the_five_names_is_one(self, plug_ins):
        facts = protocol.Facts("mine", "Mine", (), "/")
        parts: list[Any] = [1, 2, 3, 4]  # the registry looks into none of them
        plug_ins(mine=dict(zip(("FACTS", "Decoder", "Encoder", "RestEncoder", "parse_instruments"), (facts, *parts), strict=True)))
        assert exchanges.names()[len(exchanges.BUILT_IN) :] == ["mine"]
        assert exchanges.get("mine") == exchanges.Exchange(facts, *parts)

    def test_one_that_lacks_a_part_is_refused_by_name(self, plug_ins):
        plug_ins(mine={"FACTS": protocol.Facts("mine", "Mine", (), "/")})
        with pytest.raises(UsageError, match=r"plug-in of exchange 'mine' cannot be used.*Decoder"):
            exchanges.get("mine")

    def test_one_that_answers_with_another_name_is_refused(self, plug_ins):
        facts = protocol.Facts("other", "Other", (), "/")
        plug_ins(mine={"FACTS": facts, "Decoder": 1, "Encoder": 2, "RestEncoder": 3, "parse_instruments": 4})
        with pytest.raises(UsageError, match="'mine' cannot be used"):
            exchanges.get("mine")

    def test_no_plug_in_takes_a_built_in_name(self, plug_ins):
        plug_ins(kraken={})
        assert exchanges.names() == list(exchanges.BUILT_IN)


class _EmptyTruth:
    def __init__(self):
        self.instruments: dict[str, Instrument] = {}

    def book(self, symbol, depth=None):
        raise KeyError(symbol)

    def sequence(self, symbol):
        raise KeyError(symbol)

    def recent_trades(self, symbol, count):
        raise KeyError(symbol)

    def last_day(self, symbol, now_ns):
        raise KeyError(symbol)

    def candles(self, symbol, span, count):
        raise KeyError(symbol)


class TestWhatAConnectionCarries:
    """Each exchange has its own bound, in books or in channels of symbols; a set of more symbols takes several connections."""

    @pytest.mark.parametrize(
        ("channels_most", "books_most", "channels", "symbols"),
        [
            (0, 0, (protocol.BOOK, protocol.TRADES), 0),
            (1024, 0, (protocol.BOOK, protocol.TRADES), 512),
            (1024, 0, (protocol.TRADES,), 1024),
            (25, 0, (protocol.BOOK, protocol.TRADES), 12),
            (0, 30, (protocol.BOOK, protocol.TRADES), 30),
            (0, 30, (protocol.TRADES,), 0),
            (40, 30, (protocol.BOOK, protocol.TRADES), 20),
            (40, 30, (protocol.BOOK,), 30),
        ],
    )
    def test_the_limit_of_a_connection_is_counted_in_symbols(self, channels_most, books_most, channels, symbols):
        facts = protocol.Facts("mine", "Mine", (), "/", channels_per_connection=channels_most, books_per_connection=books_most)
        assert facts.symbols_per_connection(channels) == symbols

    @pytest.mark.parametrize("name", ["binance", "binance-us"])
    def test_a_binance_connection_carries_1024_streams(self, name):
        facts = exchanges.get(name).facts
        assert facts.symbols_per_connection({protocol.BOOK, protocol.TRADES}) == 512
        assert facts.symbols_per_connection({protocol.BOOK}) == 1024


class TestLookingForPlugIns:
    """importlib.metadata takes long to import: that is done only where a distribution may name the group."""

    @staticmethod
    def asked(*places):
        """(names beyond the built-in ones, whether it was imported) in a process that has these places in its path."""
        script = "import json, sys; from alphapulse_cli import exchanges as e; names = e.names()[len(e.BUILT_IN):];"
        script += "print(json.dumps([names, 'importlib.metadata' in sys.modules]))"
        env = {"PYTHONPATH": os.pathsep.join([*map(str, places), *sys.path])}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
        return json.loads(done.stdout)

    @pytest.fixture
    def offer(self, tmp_path):
        def offer(folder, group):
            described = tmp_path / "site" / folder
            described.mkdir(parents=True)
            (described / "entry_points.txt").write_text(f"[{group}]\nmine = a_module\n")
            for name in ("METADATA", "PKG-INFO"):
                (described / name).write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
            return tmp_path / "site"

        return offer

    @pytest.mark.parametrize("folder", ["mine-1.0.dist-info", "mine.egg-info"])
    def test_one_that_is_installed_is_found(self, offer, folder):
        assert self.asked(offer(folder, exchanges.ENTRY_POINTS)) == [["mine"], True]

    def test_one_in_a_zip_file_is_found(self, offer, tmp_path):
        packed = shutil.make_archive(str(tmp_path / "packed"), "zip", offer("mine-1.0.dist-info", exchanges.ENTRY_POINTS))
        assert self.asked(packed) == [["mine"], True]

    def test_without_one_it_is_not_imported(self, offer, tmp_path):
        assert self.asked(offer("mine-1.0.dist-info", "console_scripts"), tmp_path / "not there") == [[], False]
