"""The commands' texts, in this process: help, near matches, -v and -q, completion, version, exchanges, config."""

import json
from pathlib import Path

import pytest
import typer
from support.reader_sets import Writer
from typer.testing import CliRunner

from alphapulse_cli import __version__, exchanges
from alphapulse_cli.cli import app, commands, options, root, stderr
from alphapulse_cli.cli.loading import load
from alphapulse_cli.edges.config import layers
from alphapulse_cli.errors import UsageError
from alphapulse_cli.shm.directory import open_directory

FOLDER = Path(app.__file__).parent


@pytest.fixture(autouse=True)
def nobodys_configuration(tmp_path, monkeypatch):
    """No file and no variable of the machine's owner; the cache of settings empty."""
    for key, exchange in layers.known():
        monkeypatch.delenv(key.env(exchange), raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)
    options.read_settings.cache_clear()
    yield
    options.read_settings.cache_clear()
    stderr.reset()


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = app.main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return run


class TestTheCommandTable:
    def test_each_row_is_a_file_and_each_file_a_row(self):
        """A command's file without a row could not be called; a row without a file is not shown."""
        files = {path.stem for path in FOLDER.glob("*.py") if "\napp = options.command_app(" in path.read_text()}
        assert files <= {entry.module.rpartition(".")[2] for entry in commands.COMMANDS}
        assert len({entry.name for entry in commands.COMMANDS}) == len(commands.COMMANDS)  # of two rows one would be lost
        assert {entry.module.rpartition(".")[2] for entry in commands.available().values()} == files

    def test_help_lists_what_is_there_and_nothing_else(self, run):
        code, out, _ = run("--help")
        assert code == 0
        for entry in commands.COMMANDS:
            assert (f"\n  {entry.name} " in out) == (entry.name in commands.available() and not entry.alias_of)

    def test_no_arguments_is_help(self, run):
        assert run() == run("--help")

    @pytest.mark.parametrize("name", list(commands.available()))
    def test_each_command_has_help_that_fits_its_row(self, name, run):
        code, out, err = run(name, "--help")
        assert (code, err) == (0, "")
        assert f"Usage: alphapulse {name}" in out
        command = load(name)
        for child in getattr(command, "commands", {"": command}).values():
            assert child.help
            for parameter in child.params:
                assert getattr(parameter, "help", "") or parameter.param_type_name == "argument", f"{name} {parameter.name}"

    def test_typers_own_test_runner_reads_the_same(self):
        module = __import__(commands.available()["version"].module, fromlist=["app"])
        result = CliRunner().invoke(module.app, ["--json"])
        assert result.exit_code == 0
        assert json.loads(result.output)["alphapulse"] == __version__


class TestNearMatches:
    def test_a_near_match_of_a_command(self, run):
        assert run("confg")[2].endswith("hint: did you mean config?\n")
        assert run("EXCHANGES")[2].endswith("hint: did you mean exchanges?\n")

    def test_a_near_match_of_a_subcommand(self, run):
        assert run("config", "shwo")[2].endswith("hint: did you mean show?\n")

    def test_a_near_match_of_a_command_behind_which_files_may_stand(self, run, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        wrong = "error: no file and no command of replay: pauze\nhint: did you mean pause?\n"
        assert run("replay", "pauze") == (2, "", wrong)
        (tmp_path / "pauze").touch()
        assert run("replay", "pauze")[2].startswith("error: pauze: no capture")

    def test_a_near_match_of_an_option(self, run):
        assert run("version", "--jsn") == (2, "", "error: no such option: --jsn\nhint: did you mean --json?\n")

    def test_nothing_near_points_to_help(self, run):
        assert run("zzz") == (2, "", "error: no such command: 'zzz'\nhint: alphapulse --help lists the commands\n")

    def test_a_hostile_name_is_escaped(self, run):
        assert "\x1b" not in run("\x1b[2J")[2]
        assert "\x1b" not in run("--\x1b[2J")[2]


class TestCompletion:
    def completed(self, monkeypatch, capsys, line):
        words = line.split(" ")
        monkeypatch.setenv("_ALPHAPULSE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        assert app.main([]) == 0
        return capsys.readouterr().out.split()

    def test_commands_subcommands_and_options(self, monkeypatch, capsys):
        assert self.completed(monkeypatch, capsys, "alphapulse conf") == ["config"]
        assert self.completed(monkeypatch, capsys, "alphapulse config s") == ["show"]
        assert "--json" in self.completed(monkeypatch, capsys, "alphapulse config show --")

    def symbols(self, monkeypatch, capsys, begun, before="alphapulse tail deltas"):
        return self.completed(monkeypatch, capsys, f"{before} --symbol {begun}")

    def test_exchanges_and_symbols(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("ALPHAPULSE_SHM_DIR", str(tmp_path / "none"))
        assert options.complete_exchange("bin") == ["binance-us", "binance"]
        assert self.symbols(monkeypatch, capsys, "BTC") == ["BTC-USD"]
        assert self.symbols(monkeypatch, capsys, "kraken:E") == ["kraken:ETH-USD"]

    def test_the_last_word_of_a_list_without_those_before_it(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("ALPHAPULSE_SHM_DIR", str(tmp_path / "none"))
        assert options.complete_exchange("kraken,bin") == ["kraken,binance-us", "kraken,binance"]
        assert options.complete_exchange("binance,bin") == ["binance,binance-us"]
        assert self.symbols(monkeypatch, capsys, "BTC-USD,") == ["BTC-USD,ETH-USD"]
        assert self.completed(monkeypatch, capsys, "alphapulse tail trades --fields price,si") == ["price,side", "price,size"]
        assert self.completed(monkeypatch, capsys, "alphapulse tail trades --fields side,si") == ["side,size"]
        assert self.completed(monkeypatch, capsys, "alphapulse demo --exchanges kraken,coi") == ["kraken,coinbase"]

    def test_symbols_with_a_book_here_come_first(self, tmp_path, monkeypatch, capsys):
        for name in ("kraken_book_SOL-USD", "binance_book_AAPLx-USD", "kraken_trades", "unrelated"):
            (tmp_path / name).touch()
        monkeypatch.setenv("ALPHAPULSE_SHM_DIR", str(tmp_path))
        assert self.symbols(monkeypatch, capsys, "") == ["AAPLx-USD", "SOL-USD", "BTC-USD", "ETH-USD"]
        assert self.symbols(monkeypatch, capsys, "AAPL") == ["AAPLx-USD"]

    def test_symbols_are_those_of_the_exchange_and_the_directory_named_before(self, shm_dir, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("ALPHAPULSE_SYMBOLS", "coinbase:BTC-USD,DOT-USD")
        monkeypatch.setenv("ALPHAPULSE_SHM_DIR", str(tmp_path))
        with (
            open_directory(shm_dir) as there,
            Writer(there, ("SOL-USD",), set_name="mine"),
            Writer(there, ("ADA-USD",), set_name="coinbase", exchange="coinbase"),
        ):
            options.read_settings.cache_clear()
            line = f"alphapulse tail deltas --shm-dir {shm_dir}"
            assert self.symbols(monkeypatch, capsys, "", line) == ["ADA-USD", "SOL-USD", "BTC-USD", "DOT-USD"]
            assert self.symbols(monkeypatch, capsys, "", f"{line} --exchange kraken") == ["SOL-USD", "DOT-USD"]
            assert self.symbols(monkeypatch, capsys, "", f"{line} -e mine") == ["SOL-USD", "DOT-USD"]
            assert self.symbols(monkeypatch, capsys, "coinbase:", line) == [
                f"coinbase:{symbol}" for symbol in ("ADA-USD", "BTC-USD", "DOT-USD")
            ]

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("exchanges check kraken --mode ", ["v2"]),
            ("symbols --exchange coinbase --mode ", ["advanced", "exchange"]),
            ("arb explain last --format ", ["table", "json"]),
            ("sim coinbase --mode ", ["advanced", "exchange"]),
            ("collect --exchange coinbase,kraken --mode ", ["coinbase=advanced", "coinbase=exchange", "kraken=v2"]),
            ("collect --exchange coinbase,kraken --mode coinbase=e", ["coinbase=exchange"]),
            ("arb watch --exchange kraken,coinbase --fee ", ["kraken=", "coinbase="]),
        ],
    )
    def test_words_are_those_of_the_exchanges_named_before(self, monkeypatch, capsys, line, words):
        assert self.completed(monkeypatch, capsys, f"alphapulse {line}") == words

    def test_a_format_that_a_command_has_not_is_neither_offered_nor_configured(self, tmp_path, run):
        assert "csv" not in run("arb", "explain", "--help")[1]
        refused = "--format csv: this is not a table of rows\nhint: formats are: table, json\n"
        assert run("arb", "explain", "last", "--format", "csv") == (2, "", f"error: {refused}")
        (tmp_path / "alphapulse.toml").write_text("[command.arb.explain]\nformat = 'csv'\n")
        code, out, err = run("arb", "explain", "last")
        assert (code, out, err.endswith(f"command.arb.explain.format: {refused}")) == (2, "", True)

    def test_a_broken_configuration_is_no_reason_to_talk_while_completing(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "alphapulse.toml").write_text("what = 1")
        assert self.symbols(monkeypatch, capsys, "") == []

    def test_the_script_for_a_shell(self, run):
        assert "_ALPHAPULSE_COMPLETE=complete_bash" in run("--show-completion", "bash")[1]


class TestValues:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("10", 10), ("10s", 10), ("2m", 120), ("1h", 3600), ("500ms", 0.5), ("1h30m", 5400), ("1.5s", 1.5)]
    )
    def test_durations_are_parsed(self, text, seconds):
        assert options.parse_duration(text) == pytest.approx(seconds)

    @pytest.mark.parametrize("text", ["", "0", "-1", "ten", "10x", "1e3", "s", "10 s", "inf", "nan", "9" * 30, "400d", "\u0661s"])
    def test_other_texts_are_no_durations(self, text):
        with pytest.raises(UsageError, match="not a duration"):
            options.parse_duration(text)

    def test_lists_are_repeated_or_written_with_commas(self):
        assert options.split_lists(["a,b", "c", "b", " ,d "]) == ["a", "b", "c", "d"]

    def test_symbols_and_durations_are_checked_as_options(self, capsys):
        carrier = options.command_app()

        @carrier.command()
        def show(symbols: options.Symbols = None, named: options.Exchanges = None, duration: options.Duration = None) -> None:
            print(symbols, named, duration)

        line = ["-s", "BTC-USD,kraken:ETH-USD", "-s", "SOL-USD", "-e", "kraken", "--duration", "2m"]
        typer.main.get_command(carrier).main(line, standalone_mode=False)
        assert capsys.readouterr().out == "['BTC-USD', 'kraken:ETH-USD', 'SOL-USD'] ['kraken'] 120.0\n"
        typer.main.get_command(carrier).main([], standalone_mode=False)
        assert capsys.readouterr().out == "None None None\n"
        with pytest.raises(UsageError, match="not a symbol"):
            typer.main.get_command(carrier).main(["-s", "BTC"], standalone_mode=False)


class TestHelpOnANarrowTerminal:
    @pytest.mark.parametrize("name", ["", *commands.available()])
    def test_no_sentence_is_cut_at_80_columns(self, name):
        """Of the command itself and of those below it; each line fits."""
        top = root.command()
        context = top.make_context("alphapulse", [], resilient_parsing=True, terminal_width=80)
        command = load(name) if name else top
        shown = command.make_context(name, [], parent=context, resilient_parsing=True, terminal_width=80) if name else context
        text = command.get_help(shown)
        assert not [
            line for line in text.splitlines() if line.rstrip().endswith("...") and "Usage" not in line and "ARGS" not in line
        ], text
        for child in getattr(command, "commands", {}).values():
            sentence = " ".join((child.help or "").split()).partition(". ")[0].rstrip(".")
            assert sentence in " ".join(text.split()), text


class TestVersion:
    def test_the_option_and_the_command_agree(self, run):
        assert run("--version") == (0, f"alphapulse {__version__}\n", "")
        row = json.loads(run("version")[1])
        assert row["alphapulse"] == __version__
        assert row["core"] in {"compiled", "interpreted"}


class TestExchanges:
    def test_each_mode_of_each_exchange_is_a_row(self, run):
        code, out, _ = run("exchanges", "--json")
        assert code == 0
        rows = [json.loads(line) for line in out.splitlines()]
        assert list(dict.fromkeys(row["exchange"] for row in rows)) == exchanges.names()
        for name in exchanges.names():
            assert [row["mode"] for row in rows if row["exchange"] == name] == [
                mode.name for mode in exchanges.get(name).facts.modes
            ]
        defaults = [row["exchange"] for row in rows if row["default"]]
        assert defaults == exchanges.names(), "each exchange has one default"


class TestConfig:
    def test_show_says_where_each_value_comes_from(self, run, monkeypatch, tmp_path):
        (tmp_path / "alphapulse.toml").write_text("depth = 25")
        monkeypatch.setenv("ALPHAPULSE_KRAKEN_URL", "ws://127.0.0.1:9")
        rows = {row["key"]: row for row in map(json.loads, run("config", "show", "--json")[1].splitlines())}
        assert rows["depth"] == {"key": "depth", "value": 25, "origin": str(tmp_path / "alphapulse.toml")}
        assert rows["exchange.kraken.url"]["origin"] == "ALPHAPULSE_KRAKEN_URL"
        assert rows["wait"] == {"key": "wait", "value": "wake", "origin": "default"}

    def test_path_lists_the_files_with_the_stronger_first(self, run, tmp_path):
        (tmp_path / "alphapulse.toml").write_text("")
        lines = run("config", "path")[1].splitlines()
        assert lines == [f"{tmp_path}/alphapulse.toml", f"{tmp_path}/xdg/alphapulse/config.toml  (not there)"]

    def test_init_writes_once(self, run, tmp_path):
        file = tmp_path / "xdg" / "alphapulse" / "config.toml"
        assert run("config", "init") == (0, "", f"wrote {file}\n")
        assert file.read_text() == layers.template()
        assert run("config", "init") == (2, "", f"error: {file} is there already\nhint: --force replaces it\n")
        file.write_text("depth = 1")
        assert run("config", "init", "--force", "-q") == (0, "", "")
        assert file.read_text() == layers.template()

    def test_init_here(self, run, tmp_path):
        assert run("config", "init", "--here")[0] == 0
        assert (tmp_path / "alphapulse.toml").read_text() == layers.template()

    def test_init_where_nothing_may_be_written(self, run, tmp_path):
        (tmp_path / "xdg").write_text("a file")
        code, _, err = run("config", "init")
        assert code == 1
        assert err.startswith("error: ")
        assert "cannot be written" in err
