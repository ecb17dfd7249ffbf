"""Waivers: who knowingly accepts that a rule may be broken, why, and since when (`waivers` in `rulebooks/*.yaml`)."""

import datetime
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from .files.yaml_file import Row

# Days begin first where clocks are 14 hours ahead of UTC: what is a day of the future there is one everywhere.
_FIRST_ZONE = datetime.timezone(datetime.timedelta(hours=14))
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


def _words(text: str) -> str:
    if not text.strip():
        raise ValueError(f"expected some words, got {text!r}")
    return text.strip()


def _date(value: object) -> object:
    """Return a date that YAML has read as one, or as text because it stands in quotes."""
    if isinstance(value, str) and _ISO.fullmatch(value):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"expected a date as 2026-01-31, got {value!r}: {error}") from None
    # A moment is a date in Python, but not here.
    if type(value) is not datetime.date:
        raise ValueError(f"expected a date as 2026-01-31, got {str(value)!r}")
    return value


def _past(date: datetime.date) -> datetime.date:
    today = datetime.datetime.now(_FIRST_ZONE).date()
    if date > today:
        raise ValueError(f"lies in the future: got {date}, expected a date until today, {today}")
    return date


Words = Annotated[str, AfterValidator(_words)]
PastDate = Annotated[datetime.date, BeforeValidator(_date), AfterValidator(_past)]


class Waiver(Row):
    """What an organisation accepts of a rule. It changes no verdict and no number: the rule is judged all the same."""

    rule: str
    by: Words
    reason: Words
    date: PastDate

    def __str__(self) -> str:
        return f"waived by {self.by} on {self.date}: {self.reason}"
