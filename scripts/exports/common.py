"""What the checks of all tools have in common: a line of JSON for each, and the truth that drive.py wrote. numpy alone."""

import json
import sys
from pathlib import Path

import numpy as np

LEVELS = 400  # of a side in the truth, at most (truth.py)


class Report:
    """Report of checks, a line each."""

    def __init__(self) -> None:
        self.failed = 0

    def check(self, what, ok, detail=""):
        """Tell whether something holds."""
        self.failed += not ok
        print(json.dumps({"checked": what, "ok": bool(ok), "detail": str(detail)[:300]}), flush=True)


class Truth:
    """Books at instants: `ns`, and `levels(number, side)` as (ticks, lots), best first."""

    def __init__(self, path):
        with np.load(path) as file:
            self.ns = file["ns"]
            self._levels = {side: file[side] for side in ("bids", "asks")}
            self._ends = {side: np.concatenate([[0], np.cumsum(file[f"{side}_counts"])]) for side in ("bids", "asks")}

    def levels(self, number, side):
        """Levels of a side at instant `number`, shape (n, 2)."""
        return self._levels[side][self._ends[side][number] : self._ends[side][number + 1]]


def arguments():
    """(folder of the export, its export.json, path of a market's truth by "set-symbol")."""
    folder, truths = Path(sys.argv[1]), Path(sys.argv[2])
    summary = json.loads((folder / "export.json").read_text())
    return folder, summary, lambda one: Truth(truths / f"{one['set']}-{one['symbol']}.truth.npz")


def compared(report, what, truth, levels_at):
    """Compare books with the truth at all its instants: `levels_at(ns, number)` gives ((ticks, lots) bids, asks), best first."""
    wrong, first = 0, ""
    for number, ns in enumerate(truth.ns.tolist()):
        bids, asks = levels_at(ns, number)
        for side, found in (("bids", bids), ("asks", asks)):
            wanted = truth.levels(number, side)
            if not np.array_equal(np.asarray(found).reshape(-1, 2), wanted):
                wrong += 1
                first = first or f"{side} at {ns}: {np.asarray(found).reshape(-1, 2)[:3].tolist()}, not {wanted[:3].tolist()}"
    report.check(f"{what}: equal at {len(truth.ns)} instants", not wrong and len(truth.ns) > 0, first or f"{wrong} wrong")
