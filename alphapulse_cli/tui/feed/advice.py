"""Advice in a sentence if something is missing: nothing is collected, nothing of the wanted sets, or a collector is not live."""

from collections.abc import Mapping, Sequence

from alphapulse_cli.readers.selection import START_ONE, Wanted


def advice(place: str, wanted: Wanted, there: Sequence[str], names: Sequence[str], revivals: Mapping[str, str]) -> str:
    """Advice with the next command; "" if all is well.

    `there` are all sets of the directory, wanted or not; `names` those shown; `revivals` has a sentence for each that is not live.
    """
    if not names:
        if not there:
            return f"Nothing is collected in {place} yet. {START_ONE[0].upper()}{START_ONE[1:]}"
        asked = ", ".join([*sorted(wanted.exchanges), *(f"{of}:{symbol}" if of else symbol for of, symbol in wanted.symbols)])
        return f"Nothing of {asked} is collected in {place}; there are: {', '.join(there)}. It is shown here once it is"
    sentences = [revivals[name] for name in names if name in revivals]
    if len(set(sentences)) < 2:
        return sentences[0] if sentences else ""
    return f"{len(sentences)} sets are not live: each row says what to do. {sentences[0]}"
