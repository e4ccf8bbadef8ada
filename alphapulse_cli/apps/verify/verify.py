"""`verify` of captures: each set is audited, in processes side by side if that is wanted; the certificate is the same."""

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from alphapulse_cli.apps.replay.timeline import Recording, recordings, symbols_in
from alphapulse_cli.apps.verify.audit import Progress, audit
from alphapulse_cli.apps.verify.certificate import Certificate, SetCertificate
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.errors import AlphapulseError, NoSegment

MOST_JOBS = 64
Chosen = tuple[Recording, list[str]]  # a recording, and the symbols wanted of it, empty for all


def chosen(places: Sequence[Path], exchanges: Collection[str] = (), symbols: Collection[str] = ()) -> list[Chosen]:
    """Recordings at these places, with the symbols wanted of each: "BTC-USD", "kraken:BTC-USD". UsageError; NoSegment where one is missing."""
    found = [one for one in recordings(capture_files(places)) if not exchanges or {one.exchange, one.set_name} & set(exchanges)]
    missing = set(exchanges) - {name for one in found for name in (one.exchange, one.set_name)}
    if not symbols:
        made: list[Chosen] = [(one, []) for one in found]
    else:
        parts = [text.rpartition(":") for text in symbols]
        made = []
        for one in found:
            wanted = [symbol for name, _, symbol in parts if name in ("", one.exchange, one.set_name)]
            there = sorted(set(wanted) & set(symbols_in([one], wanted)))
            made += [(one, there)] if there else []
        held = {
            f"{name}{symbol}" for one, there in made for symbol in there for name in ("", f"{one.exchange}:", f"{one.set_name}:")
        }
        missing |= set(symbols) - held
    if missing or not made:  # what is asked for and not there is not proved
        raise NoSegment(f"no capture of {', '.join(sorted(missing))[:100]} there", "alphapulse capture info FILE|DIR")
    return made


def certify(wanted: Sequence[Chosen], jobs: int = 1, progress: Progress = lambda _: None) -> Certificate:
    """Make the certificate of recordings, by that many processes at most."""
    if jobs == 1 or len(wanted) == 1:
        return Certificate(tuple(audit(recording, only, progress) for recording, only in wanted))
    return Certificate(tuple(_side_by_side(wanted, jobs, progress)))


def _side_by_side(wanted: Sequence[Chosen], jobs: int, progress: Progress) -> Iterator[SetCertificate]:
    context = multiprocessing.get_context("spawn")  # a fork would copy threads and locks
    made: dict[int, SetCertificate] = {}
    with ProcessPoolExecutor(min(jobs, len(wanted)), mp_context=context, initializer=_end_silently) as pool:
        try:
            with _ignored_by_children():
                running = {pool.submit(_audited, *one): number for number, one in enumerate(wanted)}
            for done in as_completed(running):
                number = running[done]
                made[number] = _unless_failed(done.result())
                progress(sum(path.stat().st_size for path in wanted[number][0].files))
        except BrokenProcessPool:
            raise AlphapulseError("a process of verify was ended", "try with fewer of them: -j 1") from None
        except BaseException:
            for process in list((pool._processes or {}).values()):  # noqa: SLF001 - else Ctrl-C waits for what they are at
                process.terminate()
            raise
    yield from (made[number] for number in range(len(wanted)))


def _end_silently() -> None:
    """Let Ctrl-C end this process as a signal does: its parent tells of it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def _ignored_by_children() -> Iterator[None]:
    """Context in which processes are started that ignore Ctrl-C until they have begun; in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


Failure = tuple[type[AlphapulseError], str, str]  # class, message, hint: an error that crosses to another process


def _audited(recording: Recording, only: list[str]) -> SetCertificate | Failure:
    try:
        return audit(recording, only)
    except AlphapulseError as error:
        return type(error), str(error), error.hint


def _unless_failed(found: SetCertificate | Failure) -> SetCertificate:
    """Certificate that a process has made; what it could not make is raised here."""
    if isinstance(found, SetCertificate):
        return found
    kind, message, hint = found
    raise kind(message, hint)
