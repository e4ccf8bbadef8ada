"""Python API of certificates.

certificate = ap.verify("captures", symbols=["BTC-USD"])       # a Certificate: frozen dataclasses
print(certificate.holds, [gap.id for one in certificate.sets for gap in one.gaps])
"""

from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path

from alphapulse_cli.apps.verify.certificate import Certificate
from alphapulse_cli.apps.verify.verify import MOST_JOBS, certify, chosen
from alphapulse_cli.errors import UsageError

Places = str | PathLike[str] | Sequence[str | PathLike[str]]


def verify(
    places: Places, *, exchanges: Collection[str] | None = None, symbols: Collection[str] | None = None, jobs: int = 1
) -> Certificate:
    """Certificate of captures (files or folders): what they hold, what they lack, and what of it is proved.

    `exchanges` are names of exchanges or sets; `jobs` is the number of processes. UsageError for what is no capture; NoSegment if none is
    of these exchanges and symbols. What does not hold is no error: see `Certificate.holds`.
    """
    for name, given in (("exchanges", exchanges), ("symbols", symbols)):
        if isinstance(given, str):
            raise UsageError(f"{name} are a list, not a text: {given[:40]!r}", f"{name}=[{given[:40]!r}]")
    if not 1 <= jobs <= MOST_JOBS:
        raise UsageError(f"not a number of processes from 1 to {MOST_JOBS}: {jobs}", "jobs=1")
    paths = [Path(places)] if isinstance(places, str | PathLike) else [Path(place) for place in places]
    if not paths:
        raise UsageError("no capture is named", 'name files or folders, as in verify("captures")')
    return certify(chosen(paths, exchanges or (), symbols or ()), jobs)
