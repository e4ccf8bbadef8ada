"""Every option of every command, found by walking the tree: it has help, a key, a variable, a completion, and refuses what is wrong."""

import pytest
import typer

from alphapulse_cli.cli import app, commands, configured, options, stderr
from alphapulse_cli.cli.loading import load

DURATION, DECIMAL = "a length of time", "a decimal"
# Options with a value that nobody can complete: (what it is instead). A path is the shell's own to complete.
FREE = {
    **dict.fromkeys(("duration", "last", "max-age", "max-skew", "every", "late", "heartbeat"), DURATION),
    **dict.fromkeys(("size", "notional", "min-bps", "min-profit"), DECIMAL),
    **dict.fromkeys(
        (
            "count",
            "depth",
            "seed",
            "port",
            "rate",
            "more",
            "fail-over",
            "at-version",
            "at-sequence",
            "connection",
            "frames",
            "jobs",
            "http-port",
            "clients",
            "clients-per-address",
        ),
        "a number",
    ),
    **dict.fromkeys(("shm-dir", "store", "save", "compare", "capture", "into", "output", "token-file", "history"), "a path"),
    **dict.fromkeys(("url", "rest-url", "as", "after", "time-field"), "the user's own text"),
}
# A wrong value of each, refused with 2 before anything is begun.
WRONG = {
    **{key: ["soon", "0s", "-1s", "\x1b[2J"] for key in ("duration", "last", "max-age", "max-skew", "every", "heartbeat")},
    "late": ["soon", "-1s", "\x1b[2J"],
    "width": ["1M", "", "15d", "\x1b[2J"],
    **{key: ["much", "-1", "0", "NaN", "1e999999"] for key in ("size", "notional")},
    **{key: ["much", "NaN", "1e999999"] for key in ("min-bps", "min-profit")},
    **{key: ["0", "-1", "1.5", "many"] for key in ("count", "depth")},
    "seed": ["-1", "x"],
    "more": ["-1", "x", "2001"],
    "port": ["-1", "65536", "http"],
    "http-port": ["-1", "65536", "http"],
    "host": ["http://here", "", "127.0.0.1:80", "\x1b[2J"],
    "metrics-bind": ["9100", "host:", "127.0.0.1:65536", ":9100"],
    "origin": ["desk.example", "https://desk.example/path", "*"],
    **{key: ["0", "-1", "many"] for key in ("clients", "clients-per-address")},
    "queue": ["much", "1KiB", "-1MiB"],
    "rate": ["-1", "fast"],
    "fail-over": ["x"],
    "after": ["soon", "-5"],
    "format": ["xml", ""],
    "symbols": ["BTC", "-", "a\x1bb-USD"],
    "fields": ["prize", ""],
    **{key: ["yesterday", "-", "2026-11-27"] for key in ("from", "to", "until", "at")},
    "at-version": ["0", "-1", "x"],
    "at-sequence": ["-1", "x"],
    "require": ["", "nonesuch:1", "gaps", "gaps:-1", "valid:much", "valid:100.1", "gaps:0;valid:1"],
    "jobs": ["0", "-1", "65", "many"],
    "speed": ["fast", "0", "-1x", "1e9"],
    "kinds": ["nonesuch"],
    "connection": ["-1", "10000", "x"],
    "frames": ["-1", "1001", "x"],
    "exchange": ["nonesuch"],
    "time-field": ["", "a..b"],
    "time-unit": ["fortnight"],
    "wait": ["forever", ""],
    "channels": ["books"],
    "transport": ["carrier-pigeon"],
    "checksum": ["maybe", "BTC-USD=maybe"],
    "rotate": ["hourly", "", "1h,2h", "0.5s", "10KiB", "\x1b[2J"],
    "roll": ["hourly", "", "10m,2h", "0.5s", "10KiB", "\x1b[2J"],
    "keep": ["for ever", "7d,8d", "50Gb", "-7d"],
    "least-free": ["100%", "", "-1", "5%,6%", "a little"],
    "last-frames": ["soon", "", "0s", "2h", "10KiB", "1GiB", "30s,1m", "\x1b[2J"],
    "window": ["fortnight", ""],
    "part": ["nonesuch"],
    "screen": ["nonesuch"],
    "theme": ["nonesuch"],
    "fee": ["kraken", "kraken=26 bp", "nonesuch=0.1"],
    "show": ["nonesuch"],
    "mischief": ["nonesuch", "gap:2", "gap:x"],
    "plant": ["6/xx", "often"],
    "mode": ["nonesuch"],
    "as": ["-x", "../up", "coinbase", "a" * 99],
    "url": ["http://127.0.0.1:1", "nonesuch"],
    "rest-url": ["ws://127.0.0.1:1", "nonesuch"],
    "exchanges": ["nonesuch", "FTX"],
}
NOTHING_THERE = 3  # a name of a set: whether there is one is not known before it is looked for
ANY = {
    "shm-dir",
    "store",
    "save",
    "compare",
    "capture",
    "into",
    "output",
    "token-file",
    "history",
}  # any text is the name of a file; what is wrong with that is told by 1 or 3
BEHIND = {
    "sim": ["kraken"],
    "capture info": ["nofile"],
    "capture check": ["nofile"],
    "capture cat": ["nofile"],
    "capture cut": ["nofile", "made"],
    "capture merge": ["nofile", "made"],
    "capture last": ["made"],
    "capture diff": ["nofile", "nofile"],
    "capture import": ["ndjson", "nofile", "made"],
    "replay play": ["nofile"],
    "explain": ["last", "nofile"],
    "verify": ["nofile"],
    "record": ["made"],
    "export": ["nofile", "--to", "csv", "--output", "made"],
    "sql": ["SELECT 1"],
    "arb explain": ["last"],
    "collect": ["--exchange", "kraken"],
    "exchanges check": ["kraken"],
    "exchanges new": ["moon"],
    "capture run": ["captures", "--exchange", "kraken"],
    "collect add": ["BTC-USD"],
    "collect rm": ["BTC-USD"],
}


def tree():
    """(path, command, parameter, long name) of every visible option."""
    for name, entry in commands.available().items():
        if not entry.alias_of:
            yield from below(load(name), (name,))


def below(command, path):
    for parameter in command.params:
        if configured.key_of(parameter):
            yield pytest.param(path, command, parameter, id=" ".join((*path, named(parameter))))
    for name, child in getattr(command, "commands", {}).items():
        yield from below(child, (*path, name))


def named(parameter):
    return max(parameter.opts, key=len)


OPTIONS = list(tree())
each = pytest.mark.parametrize(("path", "command", "parameter"), [pytest.param(*one.values, id=one.id) for one in OPTIONS])


@pytest.fixture
def at(tmp_path, monkeypatch):
    """A directory without any configuration but what a test writes."""
    for name in list(__import__("os").environ):
        if name.startswith("ALPHAPULSE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ALPHAPULSE_SHM_DIR", str(tmp_path / "shm"))
    monkeypatch.chdir(tmp_path)
    options.read_settings.cache_clear()
    yield tmp_path
    options.read_settings.cache_clear()
    stderr.reset()


@pytest.fixture
def run(at, capsys):
    def run(*arguments):
        options.read_settings.cache_clear()
        code = app.main(arguments)
        return int(code), *capsys.readouterr()

    return run


def test_the_walk_finds_what_there_is():
    names = {one.id for one in OPTIONS}
    assert len(names) > 100
    assert {"tail deltas --from", "arb watch --wait-for", "collect --checksum", "demo --plant", "config init --force"} <= names


@each
def test_has_help(path, command, parameter):
    assert parameter.help
    assert parameter.help.rstrip()[-1] in ".;"


@each
def test_a_value_can_be_completed_or_is_the_users_own(path, command, parameter):
    is_complete = parameter.is_flag or parameter._custom_shell_complete is not None
    assert is_complete != (named(parameter).lstrip("-") in FREE), f"{named(parameter)}: a completion, or a reason in FREE"
    if parameter._custom_shell_complete is not None and named(parameter) != "--symbols":
        context = typer.Context(command, info_name=path[-1])
        assert parameter.shell_complete(context, ""), "it completes nothing"


def test_the_variables_are_unique_and_no_general_keys():
    from alphapulse_cli.edges.config import layers

    names = [configured.variable(one.values[0], configured.key_of(one.values[2])) for one in OPTIONS]
    assert len(set(names)) == len(names)
    assert not {key.env(exchange) for key, exchange in layers.known()} & set(names)


def wrong_values():
    """All wrong values of an option where it is met first, then one in each further command."""
    met = set()
    for one in OPTIONS:
        path, _, parameter = one.values
        name = named(parameter).lstrip("-")
        if not parameter.is_flag and name not in ANY:
            for number, value in enumerate(WRONG[name][:1] if name in met else WRONG[name]):
                yield pytest.param(path, parameter, value, id=f"{one.id} {number}")
            met.add(name)


@pytest.mark.parametrize(("path", "parameter", "value"), list(wrong_values()))
def test_a_wrong_value_is_refused_with_a_hint(run, path, parameter, value):
    code, out, err = run(*path, *BEHIND.get(" ".join(path), []), named(parameter), value)
    looked_for = named(parameter) == "--exchanges" and path[0] in (
        "tail",
        "candles",
        "feeds",
        "metrics",
        "reconstruct",
        "segments",
        "record",
        "serve",
    )
    assert (code, out) == (NOTHING_THERE if looked_for else 2, ""), err
    assert err.startswith("error: ")
    assert "\nhint: " in err
    assert "\x1b" not in err
    assert "Traceback" not in err


def switches_and_values():
    """(path, parameter, a wrong value) once an option, whatever it is."""
    for one in OPTIONS:
        path, _, parameter = one.values
        name = named(parameter).lstrip("-")
        if path[0] != "config" and name not in ANY | {"exchanges"}:
            yield pytest.param(path, parameter, "perhaps" if parameter.is_flag else WRONG[name][0], id=one.id)


@pytest.mark.parametrize(("path", "parameter", "value"), list(switches_and_values()))
def test_its_variable_is_read_and_a_wrong_value_is_told_with_its_name(run, monkeypatch, path, parameter, value):
    name = configured.variable(path, configured.key_of(parameter))
    monkeypatch.setenv(name, value)
    code, out, err = run(*path, *BEHIND.get(" ".join(path), []))
    assert (code, out) == (2, ""), err
    if named(parameter) in OF_THE_PARSER or parameter.is_flag:
        assert err.startswith(f"error: {name}: ")
    assert "\nhint: " in err


# Options whose values are judged where they are parsed; the others are judged together with what they go with, by the command.
OF_THE_PARSER = {
    "--duration",
    "--max-age",
    "--max-skew",
    "--every",
    "--late",
    "--count",
    "--depth",
    "--seed",
    "--port",
    "--http-port",
    "--clients",
    "--clients-per-address",
    "--heartbeat",
    "--rate",
    "--format",
    "--symbols",
}


@pytest.mark.parametrize(("path", "parameter", "value"), list(switches_and_values()))
def test_its_key_is_read_and_a_wrong_value_is_told_with_the_file(run, at, path, parameter, value):
    from json import dumps

    key = configured.key_of(parameter)
    (at / "alphapulse.toml").write_text(f"[command.{'.'.join(path)}]\n{key} = {dumps(value)}\n".replace("\x7f", ""))
    code, out, err = run(*path, *BEHIND.get(" ".join(path), []))
    assert (code, out) == (2, ""), err
    if named(parameter) in OF_THE_PARSER or parameter.is_flag:
        assert err.startswith(f"error: {at / 'alphapulse.toml'}: command.{'.'.join(path)}.{key}: ")


class TestLayers:
    def test_a_flag_a_variable_a_section_the_general_key(self, run, at, monkeypatch):
        def form():
            code, out, _ = run("exchanges")
            assert code == 0
            return "json" if out.startswith("{") else "csv" if out.startswith("exchange,") else "table"

        assert form() == "json", "a pipe"
        monkeypatch.setenv("ALPHAPULSE_FORMAT", "table")
        assert form() == "table"
        (at / "alphapulse.toml").write_text('format = "json"\n[command.exchanges]\nformat = "csv"\n')
        assert form() == "csv"
        monkeypatch.setenv("ALPHAPULSE_EXCHANGES_FORMAT", "json")
        assert form() == "json"
        assert run("exchanges", "--format", "csv")[1].startswith("exchange,")

    def test_the_users_file_is_weaker_than_the_projects(self, run, at):
        (at / "xdg" / "alphapulse").mkdir(parents=True)
        (at / "xdg" / "alphapulse" / "config.toml").write_text('[command.exchanges]\nformat = "csv"\n')
        assert run("exchanges")[1].startswith("exchange,")
        (at / "alphapulse.toml").write_text('[command.exchanges]\nformat = "json"\n')
        assert run("exchanges")[1].startswith("{")

    def test_show_says_where_each_comes_from(self, run, at, monkeypatch):
        import json

        (at / "alphapulse.toml").write_text("[command.tail.deltas]\ncount = 5\nwait_for = true\n")
        monkeypatch.setenv("ALPHAPULSE_ARB_WATCH_EVERY", "0")
        rows = {row["key"]: row for row in map(json.loads, run("config", "show", "--json")[1].splitlines())}
        assert rows["command.tail.deltas.count"] == {
            "key": "command.tail.deltas.count",
            "value": 5,
            "origin": str(at / "alphapulse.toml"),
        }
        assert rows["command.tail.deltas.wait_for"]["value"] is True
        assert rows["command.arb.watch.every"]["origin"] == "ALPHAPULSE_ARB_WATCH_EVERY"

    @pytest.mark.parametrize(
        ("text", "message", "hint"),
        [
            ("[command.tial]\n", "unknown command 'tial'", "did you mean 'tail'?"),
            ("[command.tail.deltas]\ncuont = 1\n", "unknown key 'command.tail.deltas.cuont'", "did you mean 'count'?"),
            ("[command.tail]\ndletas = 1\n", "unknown key 'command.tail.dletas'", "did you mean 'deltas'?"),
            ("[command.tail]\ndeltas = 1\n", "command.tail.deltas must be a section", "[command.tail.deltas]"),
            ("command = 3\n", "`command` must be sections", "[command.tail.deltas]"),
            ("[command.tail.deltas]\nwait_for = 3\n", "expected true or false, got the number '3'", "--wait-for: "),
            ("[command.tail.deltas]\ncount = [3]\n", "expected one value, got the list", "--count: "),
        ],
    )
    def test_what_is_wrong_is_named(self, run, at, text, message, hint):
        (at / "alphapulse.toml").write_text(text)
        for line in (("tail", "deltas"), ("config", "show")):
            code, _, err = run(*line)
            assert (code, str(at / "alphapulse.toml") in err, message in err) == (2, True, True), err
            assert hint in err

    def test_help_reads_no_file(self, run, at):
        (at / "alphapulse.toml").write_text("no toml")
        assert run("tail", "deltas", "--help")[0] == 0
        assert run("config", "path")[0] == 0
        assert run("tail", "deltas")[0] == 2

    def test_a_misspelt_variable_of_a_command(self, run, monkeypatch):
        monkeypatch.setenv("ALPHAPULSE_TAIL_DELTAS_CUONT", "5")
        assert "ALPHAPULSE_TAIL_DELTAS_CUONT sets nothing; did you mean ALPHAPULSE_TAIL_DELTAS_COUNT?" in run("segments")[2]

    def test_one_of_another_command_is_no_mistake(self, run, monkeypatch):
        monkeypatch.setenv("ALPHAPULSE_TAIL_DELTAS_COUNT", "5")
        assert "sets nothing" not in run("segments")[2]

    def test_a_process_that_we_start_takes_what_its_parent_says(self, run, monkeypatch):
        """A variable for `collect` is not for each of its children, whose parent has read it."""
        monkeypatch.setenv("ALPHAPULSE_SIM_RATE", "fast")
        assert "ALPHAPULSE_SIM_RATE" in run("sim", "kraken")[2]
        assert "ALPHAPULSE_SIM_RATE" not in run("sim", "nonesuch", "--supervised")[2]
