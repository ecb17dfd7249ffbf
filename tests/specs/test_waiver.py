"""Waivers in a rulebook: what they say, how they are inherited, and what is refused."""

import datetime
import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.rulebook import Rulebook
from verilora.specs.waiver import Waiver

FILE = "rulebooks/default.yaml"
CHILD = "rulebooks/child.yaml"
WAIVED = """waivers:
  - rule: spare_heat
    by: A. Gardener
    reason: The door of the shed no longer closes.
    date: 2026-01-31
"""
TODAY = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=14))).date()


def waivers(rulebook: Rulebook) -> list[tuple[str, str]]:
    return [(waiver.rule, waiver.by) for waiver in rulebook.waivers]


def entry(rule: str, by: str = "B. Botanist") -> str:
    return f"  - {{rule: {rule}, by: {by}, reason: It is mended in spring., date: '2026-02-01'}}\n"


def test_a_waiver_says_who_why_and_when(copy) -> None:
    copy.append(FILE, WAIVED)
    domain, book = copy.load()
    found = book.waiver("spare_heat")
    assert (found.by, found.reason) == ("A. Gardener", "The door of the shed no longer closes.")
    assert found.date == datetime.date(2026, 1, 31)
    assert str(found) == "waived by A. Gardener on 2026-01-31: The door of the shed no longer closes."
    assert [rule.id for rule in book.rules if book.waiver(rule.id)] == ["spare_heat"]
    assert pickle.loads(pickle.dumps(book)) == book == domain.rulebook(book)


def test_a_date_may_stand_in_quotes_and_be_today(copy) -> None:
    copy.append(FILE, WAIVED.replace("2026-01-31", f"'{TODAY}'"))
    assert copy.load()[1].waiver("spare_heat").date == TODAY


def test_rules_stay_as_they_are(copy, greenhouse: Domain) -> None:
    copy.append(FILE, WAIVED)
    assert copy.load()[1].rules == greenhouse.rulebook().rules


def test_a_book_inherits_waivers_but_for_rules_that_it_drops(copy) -> None:
    copy.append(FILE, WAIVED + entry("fight_frost"))
    copy.write(CHILD, f"extends: default\ndrop: [spare_heat]\nwaivers:\n{entry('spare_pump')}")
    copy.write("rulebooks/grandchild.yaml", "extends: child\n")
    expected = [("fight_frost", "B. Botanist"), ("spare_pump", "B. Botanist")]
    assert waivers(copy.load("child")[1]) == waivers(copy.load("grandchild")[1]) == expected
    assert waivers(copy.load()[1]) == [("spare_heat", "A. Gardener"), ("fight_frost", "B. Botanist")]


def test_a_rule_that_is_dropped_and_written_anew_is_not_waived(copy) -> None:
    copy.append(FILE, WAIVED)
    anew = "rules:\n  - {id: spare_heat, formula: G(frost -> hold), english: It holds.}\n"
    copy.write(CHILD, f"extends: default\ndrop: [spare_heat]\n{anew}")
    assert waivers(copy.load("child")[1]) == []


def test_a_waiver_of_ones_own_stands_in_place_of_the_inherited_one(copy) -> None:
    copy.append(FILE, WAIVED)
    copy.write(CHILD, f"extends: default\nwaivers:\n{entry('spare_heat')}")
    assert waivers(copy.load("child")[1]) == [("spare_heat", "B. Botanist")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(WAIVED, "", id="waiver"),
        pytest.param("rule: spare_heat", "rule: spare_pump", id="rule"),
        pytest.param("A. Gardener", "B. Botanist", id="who"),
        pytest.param("no longer closes", "never closed", id="why"),
        pytest.param("2026-01-31", "2026-01-30", id="when"),
    ],
)
def test_the_digest_changes_with_each_waiver(copy, old: str, new: str) -> None:
    copy.append(FILE, WAIVED)
    before = copy.load()[1].digest
    copy.replace(FILE, old, new)
    assert copy.load()[1].digest != before


def test_a_book_without_waivers_keeps_its_digest(greenhouse: Domain) -> None:
    # It stands in certificates that were issued before there were waivers.
    assert greenhouse.rulebook().digest.startswith("202b19d19dd8")


def test_the_digest_does_not_depend_on_the_order_of_waivers(copy) -> None:
    copy.append(FILE, f"waivers:\n{entry('fight_frost')}{entry('spare_pump')}")
    before = copy.load()[1].digest
    copy.replace(FILE, f"{entry('fight_frost')}{entry('spare_pump')}", f"{entry('spare_pump')}{entry('fight_frost')}")
    assert copy.load()[1].digest == before


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        pytest.param(
            "rule: spare_heat",
            "rule: spare_heet",
            "rule: spare_heet",
            "waivers[0].rule: no such rule to waive: got 'spare_heet', expected one of fight_frost, quench_thirst, "
            "spare_heat, spare_pump, water_in_pulses (did you mean 'spare_heat'?)",
            id="unknown rule",
        ),
        pytest.param("    by: A. Gardener\n", "", "- rule: spare_heat", "waivers[0].by: Field required", id="nobody"),
        pytest.param(
            "  - rule: spare_heat\n    by", "  - by", "- by:", "waivers[0].rule: Field required", id="no rule"
        ),
        pytest.param(
            "    reason: The door of the shed no longer closes.\n",
            "",
            "- rule: spare_heat",
            "waivers[0].reason: Field required",
            id="no reason",
        ),
        pytest.param(
            "    date: 2026-01-31\n", "", "- rule: spare_heat", "waivers[0].date: Field required", id="no date"
        ),
        pytest.param(
            "by: A. Gardener", "by: ' '", "by: ' '", "waivers[0].by: expected some words, got ' '", id="blank"
        ),
        pytest.param(
            "by: A. Gardener", "by: 7", "by: 7", "waivers[0].by: Input should be a valid string, got 7", id="number"
        ),
        pytest.param(
            "date: 2026-01-31",
            "date: last spring",
            "last spring",
            "waivers[0].date: expected a date as 2026-01-31, got 'last spring'",
            id="no date but words",
        ),
        pytest.param(
            "date: 2026-01-31",
            "date: 2026-01-31 10:00:00",
            "10:00:00",
            "waivers[0].date: expected a date as 2026-01-31, got '2026-01-31 10:00:00'",
            id="moment",
        ),
        pytest.param(
            "date: 2026-01-31",
            "date: 20260131",
            "20260131",
            "waivers[0].date: expected a date as 2026-01-31, got '20260131'",
            id="digits",
        ),
        pytest.param(
            "date: 2026-01-31",
            "date: 2026-02-30",
            "2026-02-30",
            "waivers[0].date: not YAML: day is out of range for month",
            id="no such day",
        ),
        pytest.param(
            "date: 2026-01-31",
            "date: '2026-02-30'",
            "2026-02-30",
            "waivers[0].date: expected a date as 2026-01-31, got '2026-02-30': day is out of range for month",
            id="no such day, in quotes",
        ),
        pytest.param(
            "date: 2026-01-31",
            "date: 2999-12-31",
            "2999-12-31",
            "waivers[0].date: lies in the future: got 2999-12-31, expected a date until today, ",
            id="future",
        ),
        pytest.param(
            "date: 2026-01-31",
            "date: 2026-01-31\n    until: 2027-01-31",
            "- rule: spare_heat",
            "waivers[0]: unknown key: got 'until', expected one of by, date, reason, rule",
            id="unknown key",
        ),
        pytest.param(
            WAIVED,
            WAIVED + WAIVED.partition("\n")[2].replace("- rule: spare_heat", "- rule: spare_heat  # again"),
            "# again",
            "waivers[1].rule: got 'spare_heat' waived twice, expected once",
            id="twice",
        ),
    ],
)
def test_bad_waiver(copy, old: str, new: str, at: str, message: str) -> None:
    copy.append(FILE, WAIVED)
    copy.replace(FILE, old, new)
    copy.rejects(FILE, at, message)


def test_a_dropped_rule_cannot_be_waived(copy) -> None:
    copy.write(CHILD, f"extends: default\ndrop: [spare_heat]\nwaivers:\n{entry('spare_heat')}")
    copy.rejects(CHILD, "rule: spare_heat", "waivers[0].rule: no such rule to waive: ", rulebook="child")


@given(st.dates())
def test_no_date_of_the_future_is_taken(date: datetime.date) -> None:
    fields = {"rule": "calm", "by": "me", "reason": "why not", "date": date}
    if date <= TODAY:
        assert Waiver(**fields).date == date
    else:
        with pytest.raises(ValidationError, match="lies in the future"):
            Waiver(**fields)


@pytest.mark.parametrize(("rules", "message"), [(["calm"], "no such rule to waive: "), (["frost"] * 2, "waived twice")])
def test_a_book_in_memory_waives_rules_that_it_holds_once(greenhouse: Domain, rules: list[str], message: str) -> None:
    names = [name.replace("frost", "fight_frost") for name in rules]
    given = [Waiver(rule=name, by="me", reason="why not", date=datetime.date(2026, 1, 1)) for name in names]
    with pytest.raises(InputError, match=rf"^rulebook default: waivers: .*{message}"):
        greenhouse.rulebook(replace(greenhouse.rulebook(), waivers=tuple(given)))
