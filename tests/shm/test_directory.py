"""Where segments are, and what is refused on the way there."""

import os
import socket

import pytest

from alphapulse_cli.errors import NoSegment, NotASegment, StorageError, UsageError
from alphapulse_cli.shm.directory import directory_path, open_directory, parse_segment_name, segment_name
from alphapulse_cli.shm.layout import SegmentKind


class TestWhereItIs:
    def test_the_flag_wins_over_the_environment_and_that_over_dev_shm(self, monkeypatch):
        monkeypatch.setenv("ALPHAPULSE_SHM_DIR", "/from/environment")
        assert str(directory_path("/from/flag")) == "/from/flag"
        assert str(directory_path()) == "/from/environment"
        monkeypatch.delenv("ALPHAPULSE_SHM_DIR")
        assert directory_path().name == f"alphapulse-{os.geteuid()}"

    def test_macos_has_it_in_tmp(self, monkeypatch):
        monkeypatch.delenv("ALPHAPULSE_SHM_DIR", raising=False)
        monkeypatch.setattr("sys.platform", "darwin")
        assert directory_path().name == f"alphapulse_shm-{os.geteuid()}"

    def test_a_reader_does_not_make_it(self, tmp_path):
        with pytest.raises(NoSegment, match="does not exist") as caught:
            open_directory(tmp_path / "none")
        assert "collect" in caught.value.hint
        assert not (tmp_path / "none").exists()

    def test_a_writer_makes_it_closed_to_others_whatever_the_umask(self, tmp_path):
        before = os.umask(0)
        try:
            with open_directory(tmp_path / "made", create=True) as made:
                os.close(made.open_file("kraken.lock", os.O_RDWR | os.O_CREAT | os.O_EXCL))
        finally:
            os.umask(before)
        assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "made" / "kraken.lock").stat().st_mode & 0o777 == 0o600

    def test_without_a_parent_it_says_so(self, tmp_path):
        with pytest.raises(StorageError, match="No such file"):
            open_directory(tmp_path / "a" / "b", create=True)


class TestAVolume:
    """A directory that several share, as a container is given one: ours is made below it, closed."""

    @pytest.mark.parametrize("mode", [0o1777, 0o2777, 0o2770, 0o2755])
    def test_that_is_named_holds_a_directory_of_our_own(self, tmp_path, mode):
        volume = tmp_path / "volume"
        volume.mkdir()
        volume.chmod(mode)
        ours = volume / f"alphapulse-{os.geteuid()}"
        assert directory_path(volume) == ours
        with open_directory(volume, create=True) as made:
            assert made.path == ours
        assert ours.stat().st_mode & 0o777 == 0o700
        with open_directory(volume) as found:
            assert found.path == ours
        assert volume.stat().st_mode & 0o7777 == mode

    def test_closed_to_others_it_is_used_itself(self, tmp_path):
        (tmp_path / "mine").mkdir(0o700)
        (tmp_path / "mine").chmod(0o2700)
        assert directory_path(tmp_path / "mine") == tmp_path / "mine"

    def test_what_somebody_else_put_there_is_refused(self, tmp_path):
        tmp_path.chmod(0o1777)
        (tmp_path / "elsewhere").mkdir(0o700)
        (tmp_path / f"alphapulse-{os.geteuid()}").symlink_to("elsewhere")
        with pytest.raises(StorageError, match="is a link"):
            open_directory(tmp_path, create=True)

    def test_a_mount_open_to_others_is_one(self, tmp_path, monkeypatch):
        tmp_path.chmod(0o755)
        assert directory_path(tmp_path) == tmp_path
        monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path)
        assert directory_path(tmp_path) == tmp_path / f"alphapulse-{os.geteuid()}"


class TestWhatIsRefused:
    def test_a_directory_open_to_others(self, tmp_path):
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o750)
        with pytest.raises(StorageError, match="open to others") as caught:
            open_directory(tmp_path / "open", create=True)
        assert "chmod 700" in caught.value.hint

    def test_a_link_to_a_directory(self, tmp_path):
        (tmp_path / "real").mkdir(0o700)
        (tmp_path / "link").symlink_to("real")
        with pytest.raises(StorageError, match="is a link"):
            open_directory(tmp_path / "link", create=True)

    def test_a_file_in_its_place(self, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StorageError, match="not a directory"):
            open_directory(tmp_path / "file", create=True)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    def test_a_directory_of_somebody_else(self, tmp_path):
        (tmp_path / "theirs").mkdir(0o700)
        os.chown(tmp_path / "theirs", 12345, 12345)
        with pytest.raises(StorageError, match="belongs to uid 12345"):
            open_directory(tmp_path / "theirs", create=True)

    @pytest.mark.parametrize("kind", ["link", "fifo", "directory", "socket", "open to others"])
    def test_files_that_are_not_our_own_regular_ones(self, directory, kind):
        path = directory.path / "kraken_trades"
        if kind == "link":
            (directory.path / "target").touch(0o600)
            path.symlink_to("target")
        elif kind == "fifo":
            os.mkfifo(path, 0o600)
        elif kind == "directory":
            path.mkdir()
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(os.path.relpath(path))
        else:
            path.touch()
            path.chmod(0o640)
        with pytest.raises(NotASegment) as caught:
            directory.open_file("kraken_trades")
        assert "\n" not in str(caught.value)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "parsed"),
        [
            ("kraken_orderbook_deltas", (SegmentKind.DELTAS, "kraken", "")),
            ("binance-us_trades", (SegmentKind.TRADES, "binance-us", "")),
            ("kraken_counters", (SegmentKind.COUNTERS, "kraken", "")),
            ("my-set-2_book_AAPLx-USD.M", (SegmentKind.BOOK, "my-set-2", "AAPLx-USD.M")),
        ],
    )
    def test_names_say_kind_set_and_symbol(self, name, parsed):
        assert parse_segment_name(name) == parsed
        assert segment_name(*parsed) == name

    @pytest.mark.parametrize(
        "name",
        [
            "",
            ".",
            "..",
            "kraken",
            "kraken.lock",
            "Kraken_trades",
            "a/b_trades",
            "kraken_book_",
            "kraken_book_../x",
            "kraken_book_-x",
            "kraken_book_ABCDEFGHIJKLM-NOPQR",
            "a" * 33 + "_trades",
            "kraken_trades\n",
            "kraken_book_BTC-USD\0",
            ".new-1-2-3",
        ],
    )
    def test_other_names_are_none(self, name):
        assert parse_segment_name(name) is None

    @pytest.mark.parametrize("set_name", ["", "../x", "a_b", "UPPER", "a" * 33, "a\n", "a/b", "ü"])
    def test_hostile_set_names_never_reach_a_path(self, set_name):
        with pytest.raises(UsageError):
            segment_name(SegmentKind.TRADES, set_name)

    @pytest.mark.parametrize("symbol", ["", "BTC", "../etc-passwd", "BTC-USD/..", "BTC-USD\n", "-USD", "ABCDEFGHIJ-KLMNOPQ", ".-."])
    def test_hostile_symbols_never_reach_a_path(self, symbol):
        with pytest.raises(UsageError):
            segment_name(SegmentKind.BOOK, "kraken", symbol)
