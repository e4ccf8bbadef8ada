"""Which process is meant, and whether it lives."""

import os
import subprocess
import sys

import pytest

from alphapulse_cli.shm import identity
from alphapulse_cli.shm.identity import Identity, my_identity, process_is_alive


class TestProcessIsAlive:
    def test_this_process_is(self):
        assert process_is_alive(my_identity())

    def test_a_recycled_pid_is_another_process(self):
        """The same pid with another start time."""
        me = my_identity()
        assert not process_is_alive(me._replace(start_time=me.start_time + 1))

    def test_nobody_lives_from_another_boot(self):
        assert not process_is_alive(my_identity()._replace(boot_id=b"another boot ago"))

    def test_a_process_of_another_namespace_cannot_be_judged_and_counts_as_alive(self):
        assert process_is_alive(Identity(identity.boot_id(), 999_999_999, 1, identity.pid_namespace() + 1))

    def test_a_zombie_is_dead(self):
        """It has a pid and a start time until its parent asks for it."""
        with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
            start_time = identity.start_time(process.pid)
            assert start_time is not None
            who = my_identity()._replace(pid=process.pid, start_time=start_time)
            assert process_is_alive(who)
            process.stdin.close()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert not process_is_alive(who)

    def test_impossible_pids_are_dead(self):
        for pid in (0, 1 << 31, 1 << 63):
            assert not process_is_alive(my_identity()._replace(pid=pid))

    def test_a_name_full_of_brackets_does_not_confuse_the_start_time(self, monkeypatch):
        text = b"7 (a) R (b) 1 2) S " + b" ".join(b"%d" % n for n in range(4, 40))
        monkeypatch.setattr("pathlib.Path.read_bytes", lambda self: text)
        assert identity.start_time(7) == 22

    @pytest.mark.parametrize("text", [None, b"1 (init) S 0"])
    def test_without_proc_or_with_that_of_another_namespace_the_pid_is_asked_alone(self, monkeypatch, text):
        """`unshare -pf` without a /proc of its own: the numbers there are of other processes."""
        before = my_identity()

        def read(_):
            if text is None:
                raise FileNotFoundError
            return text

        monkeypatch.setattr("pathlib.Path.read_bytes", read)
        assert my_identity().start_time == 0
        for who in (before, my_identity()):
            assert process_is_alive(who)
            assert not process_is_alive(who._replace(pid=(1 << 31) - 2))

    def test_a_process_that_proc_hides_is_asked_by_its_pid(self, monkeypatch):
        """As `hidepid` hides those of other users."""
        monkeypatch.setattr("pathlib.Path.exists", lambda self: False)
        assert process_is_alive(my_identity())
        assert not process_is_alive(my_identity()._replace(pid=(1 << 31) - 2))
