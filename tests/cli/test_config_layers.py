"""Configuration: flag > environment > ./alphapulse.toml > user config > default, and an error that names what is wrong."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli import exchanges
from alphapulse_cli.edges.config import layers, value_types
from alphapulse_cli.errors import UsageError


@pytest.fixture
def home(tmp_path):
    """An environment whose user config is below tmp_path."""
    return {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)}


def write_user(home, text):
    file = layers.user_file(home)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


class TestTheStrongerLayerDecides:
    def test_defaults_hold_where_nothing_is_set(self, tmp_path, home):
        settings = layers.load(home, tmp_path)
        assert [value.origin for value in settings] == ["default"] * len(list(layers.known()))
        assert settings.get("ring_records") == 0
        assert settings.get("url", "kraken") == ""

    def test_user_file_then_project_file_then_environment_then_flag(self, tmp_path, home):
        user = write_user(home, "depth = 1")
        assert (layers.load(home, tmp_path).get("depth"), layers.load(home, tmp_path).origin("depth")) == (1, str(user))
        project = tmp_path / "alphapulse.toml"
        project.write_text("depth = 2")
        assert (layers.load(home, tmp_path).get("depth"), layers.load(home, tmp_path).origin("depth")) == (2, str(project))
        settings = layers.load(home | {"ALPHAPULSE_DEPTH": "3"}, tmp_path)
        assert (settings.get("depth"), settings.origin("depth")) == (3, "ALPHAPULSE_DEPTH")
        assert settings.choose("depth", 4) == 4
        assert settings.choose("depth", None) == 3
        assert settings.choose("depth", 0) == 0, "a flag of 0 is given"

    def test_layers_meet_key_by_key(self, tmp_path, home):
        write_user(home, "depth = 1\nwait = 'spin'")
        (tmp_path / "alphapulse.toml").write_text("depth = 2")
        settings = layers.load(home, tmp_path)
        assert (settings.get("depth"), settings.get("wait")) == (2, "spin")

    def test_lists_replace_and_are_never_merged(self, tmp_path, home):
        (tmp_path / "alphapulse.toml").write_text("symbols = ['ETH-USD']")
        assert layers.load(home, tmp_path).get("symbols") == ("ETH-USD",)
        loaded = layers.load(home | {"ALPHAPULSE_SYMBOLS": "kraken:BTC-USD, SOL-USD"}, tmp_path)
        assert loaded.get("symbols") == ("kraken:BTC-USD", "SOL-USD")

    def test_an_exchange_has_a_section_and_variables_of_its_own(self, tmp_path, home):
        (tmp_path / "alphapulse.toml").write_text('[exchange.kraken]\nurl = "ws://127.0.0.1:1"\ntaker_fee = "0.0016"')
        settings = layers.load(home | {"ALPHAPULSE_BINANCE_US_URL": "ws://127.0.0.1:2"}, tmp_path)
        assert settings.get("url", "kraken") == "ws://127.0.0.1:1"
        assert settings.get("taker_fee", "kraken") == "0.0016"
        assert settings.get("url", "binance-us") == "ws://127.0.0.1:2"
        assert settings.get("url", "coinbase") == ""

    def test_an_empty_variable_undoes_what_a_file_says(self, tmp_path, home):
        (tmp_path / "alphapulse.toml").write_text('shm_dir = "/somewhere"')
        assert layers.load(home | {"ALPHAPULSE_SHM_DIR": ""}, tmp_path).get("shm_dir") == ""

    def test_a_relative_xdg_directory_is_ignored(self):
        assert layers.user_file({"XDG_CONFIG_HOME": "here", "HOME": "/h"}).as_posix() == "/h/.config/alphapulse/config.toml"


REFUSED = [
    ("dephts = 5", "unknown key 'dephts'", "did you mean 'depth'?"),
    ("[exchange.kraken]\nurll = ''", "unknown key 'exchange.kraken.urll'", "did you mean 'url'?"),
    ("[exchange.krakn]\nurl = ''", "unknown exchange 'krakn'", "did you mean 'kraken'?"),
    ("depth = '5'", "expected a whole number, got the text '5'", "depth is a whole number"),
    ("depth = true", "expected a whole number, got the boolean", "depth is"),
    ("depth = -1", "expected a whole number from 0 up", "depth is"),
    ("ring_records = 1000", "expected a power of two", "ring_records is"),
    ("symbols = 'BTC-USD'", "expected a list of symbols, got the text", "symbols is"),
    ("symbols = ['BTCFDUSD']", "not a symbol", "symbols is"),
    ("channels = ['books']", "expected book or trades", "channels is"),
    ("color = 'blue'", "expected one of auto, always, never", "color is"),
    ("exchange = 3", "must be sections", "[exchange.kraken]"),
    ("[exchange]\nkraken = 3", "must be a section", "[exchange.kraken]"),
    ("[exchange.kraken]\ntaker_fee = 0.0026", "got the number", "decimal fraction in quotes"),
    ("[exchange.kraken]\ntaker_fee = '26 bp'", "expected a decimal fraction", "taker_fee is"),
    ("[exchange.kraken]\nurl = 'http://x'", "expected an address beginning with ws://", "url is"),
    ("on_alarm = 'notify-send'", "expected a program and its arguments as a list of strings, got the text", "on_alarm is"),
    ("on_alarm = ['notify-send', 3]", "got the list", "on_alarm is"),
    ("on_alarm = ['']", "expected a program's name first", "on_alarm is"),
    ('on_alarm = ["a", "\\u0000"]', "without a NUL", "on_alarm is"),
    ("depth =", "not TOML", "config init"),
]


class TestWhatIsWrongIsNamed:
    @pytest.mark.parametrize(("text", "message", "hint"), REFUSED)
    def test_the_error_names_the_file_the_key_and_the_nearest_one(self, tmp_path, home, text, message, hint):
        file = tmp_path / "alphapulse.toml"
        file.write_text(text)
        with pytest.raises(UsageError) as caught:
            layers.load(home, tmp_path)
        assert str(file) in str(caught.value)
        assert message in str(caught.value)
        assert hint in caught.value.hint

    def test_a_wrong_variable_is_named(self, tmp_path, home):
        with pytest.raises(UsageError, match="ALPHAPULSE_DEPTH: expected a whole number from 0 up, got 'deep'"):
            layers.load(home | {"ALPHAPULSE_DEPTH": "deep"}, tmp_path)

    def test_a_command_in_a_variable_is_cut_into_words_and_nothing_in_it_is_expanded(self, tmp_path, home):
        loaded = layers.load(home | {"ALPHAPULSE_ON_ALARM": "notify-send -t 5 'an alarm' $HOME"}, tmp_path)
        assert loaded.get("on_alarm") == ("notify-send", "-t", "5", "an alarm", "$HOME")
        with pytest.raises(UsageError, match=r"ALPHAPULSE_ON_ALARM: expected a command, got .*no closing quotation"):
            layers.load(home | {"ALPHAPULSE_ON_ALARM": "notify-send 'an alarm"}, tmp_path)

    def test_a_file_that_is_no_text_is_refused(self, tmp_path, home):
        (tmp_path / "alphapulse.toml").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UsageError, match="not TOML"):
            layers.load(home, tmp_path)

    def test_a_huge_file_is_refused_unread(self, tmp_path, home):
        (tmp_path / "alphapulse.toml").write_bytes(b"#" * (layers.LARGEST_FILE_BYTES + 1))
        with pytest.raises(UsageError, match="larger than"):
            layers.load(home, tmp_path)

    @given(st.dictionaries(st.text(max_size=8), st.one_of(st.integers(), st.text(max_size=8), st.booleans(), st.lists(st.text()))))
    def test_any_table_is_read_or_refused_with_a_usage_error(self, table):
        """No value of a file, of whatever type, ends in anything but values or a UsageError."""
        try:
            list(layers._from_table(table, layers.KEYS, Path("f.toml"), ""))
        except UsageError as error:
            assert "f.toml" in str(error)

    @given(st.text(max_size=50))
    def test_any_text_of_a_variable_is_read_or_refused(self, text):
        for key in (*layers.KEYS, *layers.EXCHANGE_KEYS):
            try:
                key.kind.of_text(text)
            except ValueError as error:
                assert "\n" not in str(error)


class TestTheTemplate:
    def test_every_line_uncommented_is_the_default(self, tmp_path, home):
        """`config init` says the truth: with each key uncommented nothing changes but where the values come from."""
        lines = [line.removeprefix("# ") for line in layers.template().splitlines() if " = " in line or line.startswith("# [")]
        text = "\n".join(lines)
        assert set(tomllib.loads(text)["exchange"]) == set(exchanges.names())
        (tmp_path / "alphapulse.toml").write_text(text)
        written, default = layers.load(home, tmp_path), layers.load(home, tmp_path / "nowhere")
        assert [value.value for value in written] == [value.value for value in default]
        assert {value.origin for value in written} == {str(tmp_path / "alphapulse.toml")}

    def test_it_is_all_comments(self):
        assert tomllib.loads(layers.template()) == {}


class TestTheTable:
    def test_the_variables_are_unique(self):
        names = [key.env(exchange) for key, exchange in layers.known()]
        assert len(set(names)) == len(names)
        assert "ALPHAPULSE_BINANCE_US_REST_URL" in names
        assert "ALPHAPULSE_SHM_DIR" in names

    def test_a_number_is_plain_digits(self):
        for text in ("1_0", " 1", "+1", "1.0", "", "\u0661", "9" * 30):
            with pytest.raises(ValueError):
                value_types.count(text)

    def test_what_is_said_twice_is_the_same(self):
        """The ways of waiting and the channels belong to other floors; the table only names them."""
        from alphapulse_cli.exchanges import protocol
        from alphapulse_cli.readers import waiting

        assert value_types.WAIT.choices == waiting.WAYS
        assert value_types.CHANNELS.of_text(f"{protocol.BOOK},{protocol.TRADES}") == (protocol.BOOK, protocol.TRADES)
