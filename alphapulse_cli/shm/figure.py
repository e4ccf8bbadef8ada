"""Base of the tables of counted figures: a member is a figure's place in its block or row, with its unit and meaning."""

from enum import IntEnum
from typing import Self


class Figure(IntEnum):
    """Figures by their place; new ones go at the end. `unit` and `meaning` read together: "frames received from the exchange"."""

    unit: str
    meaning: str

    def __new__(cls, unit: str, meaning: str) -> Self:
        """Number the members in the order of the table."""
        made = int.__new__(cls, len(cls.__members__))
        made._value_ = len(cls.__members__)
        made.unit = unit
        made.meaning = meaning
        return made

    @property
    def label(self) -> str:
        """Name in JSON and metrics: book_updates."""
        return self.name.lower()
