"""A writer's steps, counted where they are made, in the interpreted core: every word stored into a mapped file, every call that changes files."""

import os
import signal

CALLS = ("open", "rename", "unlink", "pwrite", "posix_fallocate")


class Steps:
    """Counts what the writer does to files; at the chosen step the process is no more."""

    done, last = 0, 0

    @classmethod
    def take(cls):
        cls.done += 1
        if cls.done == cls.last:
            os.kill(os.getpid(), signal.SIGKILL)


class Counted:
    """A view of a mapped file: a step before each word that is stored. What is read is read from the view itself."""

    def __init__(self, view):
        self._view = view

    def __getitem__(self, key):
        return self._view[key]

    def __setitem__(self, key, value):
        if not isinstance(key, slice):
            Steps.take()
            self._view[key] = value
            return
        octets, target = bytes(value), self._view[key].cast("B")
        for at in range(0, len(octets), 8):
            Steps.take()
            target[at : at + 8] = octets[at : at + 8]


def count_stores(last):
    """From here on, in this process: every store into a mapped file, and every call that changes files, is a step."""
    import fcntl

    from alphapulse_cli import native
    from alphapulse_cli.shm.mapping import Mapping

    def counting_view(make):
        def view(buffer):
            is_shared = isinstance(getattr(buffer, "obj", buffer), Mapping)
            return Counted(make(buffer)) if is_shared else make(buffer)

        return view

    def counting_call(call):
        def step(*arguments, **named):
            Steps.take()
            return call(*arguments, **named)

        return step

    def set_octets(mapped, key, value):
        Counted(memoryview(mapped))[key] = value

    for name in ("words", "signed", "octets"):
        setattr(native, name, counting_view(getattr(native, name)))
    for name in CALLS:
        setattr(os, name, counting_call(getattr(os, name)))
    fcntl.flock = counting_call(fcntl.flock)
    Mapping.__setitem__ = set_octets
    Steps.last = last
