"""What to do next, in a sentence, where something is missing: nothing collected, nothing of what was asked for, a collector that died."""

from collections.abc import Sequence

from alphapulse_cli.apps.sets import START_ONE, Wanted
from alphapulse_cli.apps.status import SetStatus
from alphapulse_cli.shm.segment import Liveness

ENDED = {
    None: "there are no segments of {name} any more",
    Liveness.SILENT: "the collector of {name} (pid {pid}) has fallen silent",
    Liveness.RETIRED: "the collector of {name} has ended",
    Liveness.REPLACED: "the collector of {name} is being replaced",
    Liveness.GONE: "the segments of {name} were cut short",
    Liveness.BUILDING: "the collector of {name} is starting",
}
PASSING = (Liveness.BUILDING, Liveness.REPLACED)


def advice(place: str, wanted: Wanted, there: Sequence[str], sets: Sequence[SetStatus]) -> str:
    """The sentence and the next command; "" where all is well. `there` are all sets of the place, wanted or not."""
    if not sets:
        if not there:
            return f"Nothing is collected in {place} yet. {START_ONE[0].upper()}{START_ONE[1:]}"
        asked = ", ".join([*sorted(wanted.exchanges), *(f"{of}:{symbol}" if of else symbol for of, symbol in wanted.symbols)])
        return f"Nothing of {asked} is collected in {place}; there are: {', '.join(there)}. It is shown here once it is"
    for one in sets:
        if one.liveness is Liveness.LIVE:
            continue
        said = ENDED[one.liveness].format(name=one.name, pid=one.pid)
        if one.liveness in PASSING:
            return f"{said[0].upper()}{said[1:]}"
        return f"{said[0].upper()}{said[1:]}. Start it again: alphapulse collect --exchange {one.exchange}"
    return ""
