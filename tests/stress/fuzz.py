"""The number parser against `decimal`, the text driven by what it makes the parser do: coverage-guided where atheris is installed.

Guided, each run is of the sources, since only there every branch can be seen; the texts that reached something new are then judged once more,
with every number of decimals, in the core that is installed. Without atheris texts are mutated at random, and that is said.
"""

import importlib.util
import os
import random
from pathlib import Path

from stress import interpreted

LONGEST = 48
SEEDS = (
    "0",
    "1",
    "0.1",
    "00.10",
    "121706.01",
    "7e-7",
    "1E+30",
    "1e31",
    "123456789012345678901234567890.1234567890",
    "1_0",
    "+1",
    ".5",
    "5.",
    "",
)
ALPHABET = "0123456789.eE+-_ xX\u0663\n\0"


def texts(corpus):
    return [_text(path.read_bytes()) for path in sorted(Path(corpus).iterdir())]


def _text(octets):
    """(text, decimals) of what the fuzzer made up: its first byte says the decimals."""
    return octets[1:].decode("utf-8", "replace"), (octets[0] if octets else 0) % 19


def guided(corpus, count, seed):
    """In an interpreter of its own, and its last act: `count` runs; tells each difference."""
    import atheris

    with atheris.instrument_imports(include=["alphapulse_cli.market"]):
        from stress import numbers  # not before: what is imported now, the parser among it, is what the fuzzer sees into

        from alphapulse_cli import build
    assert build.core_mode() == "interpreted"

    def judge(octets):
        for difference in numbers.judged(*_text(octets)):
            interpreted.tell(difference)

    options = [f"-runs={count}", f"-seed={seed % (1 << 31) or 1}", f"-max_len={LONGEST}", "-verbosity=0", os.fspath(corpus)]
    atheris.Setup(["fuzz", *options], judge)
    atheris.Fuzz()


def mutated(dice, known):
    """One of the known texts with one to four characters put in, taken out or replaced."""
    made = dice.choice(known)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(made) + 1)
        made = made[:at] + dice.choice(("", dice.choice(ALPHABET))) + made[at + dice.randint(0, 1) :]
    return made[:LONGEST]


def unguided(count, seed):
    """`count` mutations at random; the differences."""
    from stress import numbers

    dice, known, failed = random.Random(seed), list(SEEDS), []
    for _ in range(count):
        made = mutated(dice, known)
        failed += numbers.judged(made, dice.randrange(19))
        if len(known) < 10_000:
            known.append(made)
    return failed


def campaign(place, count, seed, say):
    """(what was counted, what failed)."""
    if not importlib.util.find_spec("atheris"):
        say("atheris is not installed: texts are mutated at random, not guided by coverage")
        return {"texts judged, mutated at random": count}, unguided(count, seed)
    corpus = place("corpus")
    for number, text in enumerate(SEEDS):
        (corpus / f"seed-{number}").write_bytes(b"\x08" + text.encode())
    try:
        failed = list(interpreted.lines("stress.fuzz:guided", os.fspath(corpus), count, seed))
    except interpreted.Failed as error:
        failed = [str(error)]
    from stress import numbers

    found = texts(corpus)
    if len(found) <= len(SEEDS):
        failed.append("the fuzzer found nothing new: it was not guided by anything")
    for text, _ in found:
        failed += [difference for decimals in range(19) for difference in numbers.judged(text, decimals)]
    say(
        f"guided by coverage of alphapulse_cli.market: {len(found):,} texts reached something new, judged again with 0 to 18 decimals"
    )
    return {"texts judged, guided by coverage": count, "texts that reached something new": len(found)}, failed
