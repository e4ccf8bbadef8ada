"""`alphapulse doctor --paths`: the table holds every file that commands leave behind, where the variables put them."""

import json
import re
import signal
from pathlib import Path

import pytest

from alphapulse_cli.apps.paths import written


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user with a home, in an empty current directory."""
    for name in ("home", "here", "shm"):
        (tmp_path / name).mkdir(mode=0o700)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "ALPHAPULSE_SHM_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def places(shm_dir=None):
    return {row.what: row for row in written(shm_dir)}


def patterns(rows):
    """A regular expression for each path, with anything in a placeholder's place."""
    return [
        re.compile(re.sub(r"<[^>]*>", "[^/]+", re.escape(row["path"]).replace("\\<", "<").replace("\\>", ">")))
        for row in rows
        if row["path"]
    ]


class TestWhereThingsAre:
    def test_the_variables_move_what_they_are_said_to_move(self, home, monkeypatch):
        before = places(str(home / "shm"))
        for name, moved in (
            ("XDG_CONFIG_HOME", {"configuration of the user"}),
            ("XDG_STATE_HOME", {"opportunities that were seen", "preferences of the live screen"}),
        ):
            monkeypatch.setenv(name, str(home / name))
            after = places(str(home / "shm"))
            assert {what for what, row in after.items() if row.path.startswith(str(home / name))} == moved
            assert {what for what, row in after.items() if name in row.moved_by} == moved
            monkeypatch.delenv(name)
        assert places(str(home / "shm")) == before
        monkeypatch.setenv("ALPHAPULSE_SHM_DIR", str(home / "elsewhere"))
        assert places()["ring of deltas"].path == str(home / "elsewhere" / "<set>_orderbook_deltas")
        assert all(
            row.path.startswith(str(home / "elsewhere")) for row in places().values() if "ALPHAPULSE_SHM_DIR" in row.moved_by
        )

    def test_without_a_home_there_is_no_users_file(self, home, monkeypatch):
        monkeypatch.setenv("HOME", "")
        monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
        found = places(str(home / "shm"))
        assert [what for what, row in found.items() if not row.path] == [
            "configuration of the user",
            "opportunities that were seen",
            "preferences of the live screen",
            "captures",
            "dataset",
            "export",
            "saved benchmark",
            "completion of the shell",
        ]

    def test_what_is_there_is_said_to_be(self, home):
        assert places(str(home / "shm"))["configuration of a project"].is_there is False
        Path("alphapulse.toml").write_text("")
        found = places(str(home / "shm"))
        assert (found["configuration of a project"].is_there, found["directory of the segments"].is_there) == (True, True)
        assert found["ring of deltas"].is_there is None


class TestNothingIsWrittenElsewhere:
    def test_every_file_that_commands_leave_is_in_the_table(self, alphapulse, tmp_path):
        """A demo with a reader, an arbitrage watch that keeps, a configuration, under a home of their own."""
        demo = alphapulse.start("demo", "--json", "--symbols", "BTC-USD", "--plant", "2s")
        try:
            assert demo.stdout is not None
            demo.stdout.readline()
            assert alphapulse("tail", "deltas", "--count", "5", "--wait-for").code == 0
            assert alphapulse("arb", "watch", "--count", "1", "--duration", "20s").code == 0
            for command in (["config", "init"], ["config", "init", "--here"]):
                assert alphapulse(*command).code == 0
            rows = [json.loads(line) for line in alphapulse("doctor", "--paths", "--json").stdout.splitlines()]
            found = [path for root in (tmp_path, alphapulse.shm_dir) for path in root.rglob("*") if path.is_file()]
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.communicate(timeout=30)
        known = patterns(rows)
        strange = [
            path for path in found if not any(one.fullmatch(str(path).removesuffix("-wal").removesuffix("-shm")) for one in known)
        ]
        assert strange == []
        kinds = {
            row["what"]
            for row, one in zip([row for row in rows if row["path"]], known, strict=True)
            for path in found
            if one.fullmatch(str(path))
        }
        assert {"ring of deltas", "book image", "lock of the set", "wake page", "configuration of the user"} <= kinds
        assert {"opportunities that were seen", "configuration of a project", "limits of an exchange"} <= kinds

    def test_the_table_of_a_terminal_has_a_row_for_each(self, alphapulse):
        done = alphapulse("doctor", "--paths", "--format", "table", COLUMNS="500")
        assert done.code == 0
        assert all(row.what in done.stdout for row in written(str(alphapulse.shm_dir)))
