"""Requirements of a certificate, for pipelines: `valid:99.9,gaps:0` as text, and which of them do not hold.

Shares are of the worst book, in percent; counts and seconds are those of all sets together, of the worst book where a book has them.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction

from alphapulse_cli.apps.verify.certificate import VERIFIED, BookCertificate, Certificate
from alphapulse_cli.errors import UsageError

NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?", re.ASCII)
SECOND_NS = 1_000_000_000
Measure = Callable[[Certificate], Fraction]


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of a requirement: how it is measured, and whether the number is the least or the most that holds."""

    measure: Measure
    meaning: str
    is_least: bool = False


def _books(certificate: Certificate) -> list[BookCertificate]:
    return [book for one in certificate.sets for book in one.books]


def valid_share(book: BookCertificate) -> Fraction:
    """Share of its time in which a book was valid, in percent; 0 where it never came."""
    return Fraction(100 * book.valid_ns, book.whole_ns) if book.whole_ns else Fraction(0 if book.from_ns is None else 100)


def _verified(certificate: Certificate) -> Fraction:
    books = _books(certificate)
    return (
        Fraction(100 * sum(book.verdict == VERIFIED for book in books), len(books)) if books else Fraction(0)
    )  # nothing is proved


def _count(label: str) -> Measure:
    return lambda certificate: Fraction(sum(one.counts.get(label, 0) for one in certificate.sets))


KINDS = {
    "valid": Kind(lambda held: min(map(valid_share, _books(held)), default=Fraction(0)), "% of the time of the worst book", True),
    "verified": Kind(_verified, "% of all books", True),
    "gaps": Kind(lambda held: Fraction(sum(len(one.gaps) + one.gaps_left_out for one in held.sets)), "gaps, healed ones too"),
    "checksums_bad": Kind(_count("checksums_bad"), "wrong checksums"),
    "crossed": Kind(
        lambda held: Fraction(max((book.crossed_ns for book in _books(held)), default=0), SECOND_NS), "s of the worst book"
    ),
    "stale": Kind(
        lambda held: Fraction(max((book.stale_ns for book in _books(held)), default=0), SECOND_NS), "s of the worst book"
    ),
    "unreadable": Kind(_count("decode_errors"), "frames that were not understood"),
    "unknown": Kind(_count("unrecognised"), "messages of unknown kinds"),
    "off_grid": Kind(_count("off_grid"), "numbers finer than their grid"),
    "trades_missed": Kind(_count("trades_missed"), "trades, those that came later too"),
    "duplicates": Kind(lambda held: Fraction(sum(one.duplicates for one in held.sets)), "frames that came twice"),
    "clock_steps": Kind(lambda held: Fraction(sum(one.clock_steps for one in held.sets)), "steps back of the clock"),
    "rows_lost": Kind(lambda held: Fraction(sum(one.rows_lost for one in held.sets)), "rows that were not written"),
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement; `text` is the number as it was typed."""

    name: str
    number: Fraction
    text: str

    def unmet(self, certificate: Certificate) -> str:
        """Line that says what does not hold; "" where it holds."""
        kind = KINDS[self.name]
        found = kind.measure(certificate)
        if found >= self.number if kind.is_least else found <= self.number:
            return ""
        return f"{self.name}:{self.text} does not hold: {decimal(found)} {kind.meaning}"


def parse_requirements(texts: Sequence[str]) -> list[Requirement]:
    """Read texts as "valid:99.9,gaps:0". UsageError for an unknown name, and for what is no number."""
    return [_parse(word.strip()) for text in texts for word in text.split(",")]


def unmet(certificate: Certificate, requirements: Sequence[Requirement]) -> list[str]:
    """Lines about the requirements that do not hold."""
    return [line for line in (one.unmet(certificate) for one in requirements) if line]


def decimal(number: Fraction, digits: int = 6) -> str:
    """Decimal text, rounded down; "99.9" where that is exact."""
    scaled = number.numerator * 10**digits // number.denominator
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}".rstrip("0").rstrip(".")


def _parse(word: str) -> Requirement:
    name, colon, text = word.partition(":")
    if name not in KINDS:
        near = get_close_matches(name, KINDS, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"requirements are: {', '.join(KINDS)}"
        raise UsageError(f"unknown requirement: {word[:40]!r}", hint)
    if not colon or not NUMBER.fullmatch(text):
        kind = KINDS[name]
        raise UsageError(
            f"not a number of 0 or more in {word[:40]!r}",
            f"write {name}:NUMBER, the {'least' if kind.is_least else 'most'} {kind.meaning}",
        )
    if KINDS[name].is_least and Fraction(text) > 100:
        raise UsageError(f"not a share in percent: {word[:40]!r}", f"{name}:100 is the most")
    return Requirement(name, Fraction(text), text)
