"""Rulebooks: rules, inheritance, digests."""

import pickle

import pytest

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rule, Rulebook

FILE = "rulebooks/default.yaml"
CHILD = "rulebooks/child.yaml"
IDS = ["spare_pump", "water_in_pulses", "spare_heat", "quench_thirst", "fight_frost"]
CALM = "- {id: calm, formula: G(frost -> hold), english: The controller holds while there is frost.}"


def ids(rulebook: Rulebook) -> list[str]:
    return [rule.id for rule in rulebook.rules]


def rule(rulebook: Rulebook, rule_id: str) -> Rule:
    return next(rule for rule in rulebook.rules if rule.id == rule_id)


def test_what_the_file_says_is_what_the_rule_is(greenhouse: Domain) -> None:
    rulebook = greenhouse.rulebook()
    assert rulebook.name == "default"
    assert rulebook.description == "Five rules for watering and heating plants."
    assert ids(rulebook) == IDS
    pump = rulebook.rules[0]
    assert pump.formula == Formula("G(tank_empty -> !open_valve)")
    assert pump.english == "The valve never opens while the tank is empty."
    assert pump.presumes == ("tank_empty",)
    assert pump.weight == 2.0


def test_what_the_file_leaves_out_has_a_default(greenhouse: Domain) -> None:
    pulses = greenhouse.rulebook().rules[1]
    assert (pulses.presumes, pulses.weight, pulses.readings, pulses.source) == ((), 1.0, {}, "")


def test_rules_of_several_kinds(greenhouse: Domain) -> None:
    classes = {rule.manna_pnueli_class for rule in (rule.formula for rule in greenhouse.rulebook().rules)}
    assert classes == {"safety", "recurrence"}


def test_a_rulebook_survives_pickling(greenhouse: Domain) -> None:
    rulebook = greenhouse.rulebook()
    restored = pickle.loads(pickle.dumps(rulebook))
    assert restored == rulebook
    assert restored.digest == rulebook.digest


def test_a_book_that_only_extends_has_the_same_rules(copy) -> None:
    copy.write(CHILD, "extends: default\n")
    domain, child = copy.load("child")
    assert child.name == "child"
    assert child.description == ""
    assert child.rules == domain.rulebook().rules


def test_added_rules_come_after_the_inherited_ones(copy) -> None:
    copy.write(CHILD, f"extends: default\nrules:\n  {CALM}\n")
    assert ids(copy.load("child")[1]) == [*IDS, "calm"]


def test_dropped_rules_are_gone_and_the_others_keep_their_order(copy) -> None:
    copy.write(CHILD, "extends: default\ndrop: [fight_frost, water_in_pulses]\n")
    assert ids(copy.load("child")[1]) == ["spare_pump", "spare_heat", "quench_thirst"]


def test_a_dropped_rule_can_be_written_anew(copy) -> None:
    copy.write(CHILD, f"extends: default\ndrop: [spare_pump]\nrules:\n  {CALM.replace('calm', 'spare_pump')}\n")
    child = copy.load("child")[1]
    assert ids(child) == [*IDS[1:], "spare_pump"]
    assert rule(child, "spare_pump").formula == Formula("G(frost -> hold)")


def test_weights_replace_weights_and_nothing_else(copy) -> None:
    copy.write(CHILD, "extends: default\nweights: {spare_heat: 0, fight_frost: 2.5}\n")
    domain, child = copy.load("child")
    assert [rule.weight for rule in child.rules] == [2, 1, 0, 1, 2.5]
    assert [rule.formula for rule in child.rules] == [rule.formula for rule in domain.rulebook().rules]
    assert [rule.weight for rule in domain.rulebook().rules] == [2, 1, 1, 1, 1]


def test_readings_replace_the_formula_and_nothing_else(copy) -> None:
    copy.write(CHILD, "extends: default\nreadings: {quench_thirst: at_once}\n")
    domain, child = copy.load("child")
    before, after = (rule(book, "quench_thirst") for book in (domain.rulebook(), child))
    assert after.formula == before.readings["at_once"] != before.formula
    assert after.model_copy(update={"formula": before.formula}) == before
    assert [one for one in child.rules if one.id != "quench_thirst"] == [
        one for one in domain.rulebook().rules if one.id != "quench_thirst"
    ]


def test_all_changes_in_a_chain_of_three(copy) -> None:
    copy.write(CHILD, f"extends: default\ndrop: [spare_heat]\nweights: {{spare_pump: 3}}\nrules:\n  {CALM}\n")
    copy.write(
        "rulebooks/grandchild.yaml",
        "extends: child\n"
        "description: The strictest.\n"
        "drop: [water_in_pulses]\n"
        "weights: {calm: 7}\n"
        "readings: {quench_thirst: at_once}\n",
    )
    domain, book = copy.load("grandchild")
    assert book.description == "The strictest."
    assert [(rule.id, rule.weight) for rule in book.rules] == [
        ("spare_pump", 3),
        ("quench_thirst", 1),
        ("fight_frost", 1),
        ("calm", 7),
    ]
    assert "| X open_valve" in rule(book, "quench_thirst").formula.text
    assert domain.rulebook_names() == ["child", "default", "grandchild"]


def test_each_rule_knows_the_book_whose_file_holds_it(copy) -> None:
    copy.write(CHILD, f"extends: default\ndrop: [spare_heat, spare_pump]\nrules:\n  {CALM}\n")
    copy.append(CHILD, f"  {CALM.replace('calm', 'spare_pump')}\n")
    own = {"calm": "child", "spare_pump": "child"}
    assert copy.load("child")[1].written_in == {**dict.fromkeys((*IDS[1:2], *IDS[3:]), "default"), **own}


def digest(copy, name: str = "default") -> str:
    return str(copy.load(name)[1].digest)


def test_the_digest_is_a_sha256(greenhouse: Domain) -> None:
    assert len(bytes.fromhex(greenhouse.rulebook().digest)) == 32


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("G(frost -> F heat)", "G(frost -> X heat)", id="formula"),
        pytest.param("weight: 2", "weight: 2.5", id="weight"),
        pytest.param("    weight: 2\n", "", id="weight left out"),
        pytest.param("presumes: [tank_empty]", "presumes: [frost]", id="presumed proposition"),
        pytest.param("presumes: [tank_empty]", "presumes: [tank_empty, frost]", id="one more presumed"),
        pytest.param("    presumes: [tank_empty]\n", "", id="nothing presumed"),
        pytest.param("    weight: 2\n", "    weight: 2\n    worlds: [glasshouse]\n", id="worlds"),
        pytest.param("- id: fight_frost", "- id: frost_fight", id="id"),
    ],
)
def test_the_digest_changes_with_what_decides_verdicts(copy, old: str, new: str) -> None:
    before = digest(copy)
    copy.replace(FILE, old, new)
    assert digest(copy) != before


@pytest.mark.parametrize(
    "child",
    [
        pytest.param("drop: [fight_frost]", id="drop"),
        pytest.param("weights: {fight_frost: 3}", id="weights"),
        pytest.param("readings: {quench_thirst: at_once}", id="readings"),
        pytest.param(f"rules:\n  {CALM}", id="rules"),
    ],
)
def test_the_digest_changes_with_what_a_book_changes(copy, child: str) -> None:
    copy.write(CHILD, f"extends: default\n{child}\n")
    assert digest(copy, "child") != digest(copy)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("description: Five rules", "description: 5 rules", id="description"),
        pytest.param("english: The heater never runs", "english: No heating", id="english"),
        pytest.param("  - id: spare_heat", "  - id: spare_heat\n    source: the gardener", id="source"),
        pytest.param("(open_valve | X open_valve)", "open_valve", id="reading that is not chosen"),
        pytest.param("weight: 2", "weight: 2.0", id="weight written otherwise"),
        pytest.param("  - id: spare_heat", "  - id: spare_heat\n    weight: 1", id="default weight written out"),
        pytest.param("formula: G(frost -> F heat)", "formula: >-\n      G(frost\n      -> F heat)", id="line breaks"),
        pytest.param("rules:", "# a comment\nrules:", id="comment"),
    ],
)
def test_the_digest_changes_with_nothing_else(copy, old: str, new: str) -> None:
    before = digest(copy)
    copy.replace(FILE, old, new)
    assert digest(copy) == before


def test_the_rules_in_english_have_a_digest_of_their_own(copy) -> None:
    before = copy.load()[1].sentences_digest
    copy.replace(FILE, "weight: 2", "weight: 3")
    assert copy.load()[1].sentences_digest == before
    copy.replace(FILE, "english: The heater never runs", "english: No heating")
    assert copy.load()[1].sentences_digest != before


def test_the_digest_does_not_depend_on_the_order_of_presumed_propositions(copy) -> None:
    copy.replace(FILE, "presumes: [tank_empty]", "presumes: [tank_empty, frost]")
    before = digest(copy)
    copy.replace(FILE, "presumes: [tank_empty, frost]", "presumes: [frost, tank_empty]")
    assert digest(copy) == before


def test_the_digest_does_not_depend_on_the_name_of_the_book_or_on_how_it_came_by_its_rules(copy) -> None:
    copy.write("rulebooks/renamed.yaml", copy.text(FILE))
    copy.write(CHILD, "extends: default\ndescription: The same.\nweights: {spare_pump: 2}\n")
    assert digest(copy, "renamed") == digest(copy, "child") == digest(copy)


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        pytest.param(
            "G(frost -> F heat)",
            "G(frst -> F heat)",
            "G(frst",
            "rules[4].formula: unknown proposition in 'G(frst -> F heat)': got 'frst', expected one of "
            "door_open, dry_soil, frost, heat, hold, open_valve, tank_empty (did you mean 'frost'?)",
            id="unknown proposition",
        ),
        pytest.param(
            "formula: G(frost -> F heat)",
            "formula: >-\n      G(frst\n      -> F heat)",
            "formula: >-",
            "rules[4].formula: unknown proposition in 'G(frst -> F heat)': got 'frst'",
            id="unknown proposition in a folded formula",
        ),
        pytest.param(
            "G(frost -> F heat)",
            "G(frost -> F)",
            "G(frost -> F)",
            "rules[4].formula: syntax error at column 13 of 'G(frost -> F)': unexpected closing parenthesis",
            id="syntax error",
        ),
        pytest.param(
            "G(frost -> F heat)",
            '"{frost;hold}[]-> heat"',
            "{frost;hold}",
            "rules[4].formula: '{frost;hold}[]-> heat' is not a formula of linear temporal logic",
            id="PSL",
        ),
        pytest.param(
            "at_once: G(",
            "at_once: G((",
            "at_once: ",
            "rules[3].readings.at_once: syntax error at column 2 of 'G((",
            id="syntax error in a reading",
        ),
        pytest.param(
            "(open_valve | X open_valve)",
            "(open_valve | X open_window)",
            "at_once: ",
            "rules[3].readings.at_once: unknown proposition in 'G((dry_soil & !tank_empty) -> "
            "(open_valve | X open_window))': got 'open_window', expected one of ",
            id="unknown proposition in a reading",
        ),
        pytest.param(
            "presumes: [tank_empty]",
            "worlds: [glashouse]",
            "worlds: [glashouse]",
            "rules[0].worlds[0]: unknown world: got 'glashouse', expected one of glasshouse, seedling_bench (did you",
            id="unknown world",
        ),
        pytest.param(
            "presumes: [tank_empty]",
            "worlds: [universal]",
            "worlds: [universal]",
            "rules[0].worlds[0]: unknown world: got 'universal', expected one of glasshouse, seedling_bench",
            id="the universal world, in which every rule binds",
        ),
        pytest.param(
            "presumes: [tank_empty]",
            "presumes: [tank_emty]",
            "tank_emty",
            "rules[0].presumes[0]: unknown proposition: got 'tank_emty', "
            "expected one of door_open, dry_soil, frost, tank_empty (did you mean 'tank_empty'?)",
            id="unknown proposition presumed",
        ),
        pytest.param(
            "presumes: [tank_empty]",
            "presumes: [tank_empty, heat]",
            "presumes:",
            "rules[0].presumes[1]: unknown proposition: got 'heat', "
            "expected one of door_open, dry_soil, frost, tank_empty",
            id="action presumed",
        ),
        pytest.param(
            "- id: fight_frost",
            "- id: spare_heat  # again",
            "# again",
            "rules[4].id: duplicate id 'spare_heat'",
            id="duplicate id",
        ),
        pytest.param(
            "- id: fight_frost",
            "- id: Fight-Frost",
            "Fight-Frost",
            "rules[4].id: expected a name of lower-case letters, digits and '_', got 'Fight-Frost'",
            id="bad id",
        ),
    ],
)
def test_bad_rule(copy, old: str, new: str, at: str, message: str) -> None:
    copy.replace(FILE, old, new)
    copy.rejects(FILE, at, message)


@pytest.mark.parametrize(
    ("weight", "expected", "got"),
    [
        pytest.param("heavy", "valid number", "'heavy'", id="word"),
        pytest.param("'2'", "valid number", "'2'", id="number in quotes"),
        pytest.param("yes", "valid number", "True", id="truth value"),
        pytest.param("[2]", "valid number", "[2]", id="list"),
        pytest.param("~", "valid number", "None", id="nothing"),
        pytest.param("-0.5", "greater than or equal to 0", "-0.5", id="negative"),
        pytest.param(".nan", "finite number", "nan", id="nan"),
        pytest.param(".inf", "finite number", "inf", id="inf"),
        pytest.param("-.inf", "", "-inf", id="-inf"),
    ],
)
def test_bad_weight_of_a_rule(copy, weight: str, expected: str, got: str) -> None:
    copy.replace(FILE, "weight: 2", f"weight: {weight}")
    copy.rejects(FILE, "weight:", "rules[0].weight: ", expected, f"got {got}")


@pytest.mark.parametrize(
    ("weight", "expected", "got"),
    [
        pytest.param("heavy", "valid number", "'heavy'", id="word"),
        pytest.param("'2'", "valid number", "'2'", id="number in quotes"),
        pytest.param("yes", "valid number", "True", id="truth value"),
        pytest.param("-1", "expected a weight of 0 or more", "-1.0", id="negative"),
        pytest.param(".nan", "expected a weight of 0 or more", "nan", id="nan"),
        pytest.param(".inf", "expected a weight of 0 or more", "inf", id="inf"),
    ],
)
def test_bad_weight_of_an_inherited_rule(copy, weight: str, expected: str, got: str) -> None:
    copy.write(CHILD, f"extends: default\nweights:\n  spare_heat: 2\n  spare_pump: {weight}\n")
    copy.rejects(CHILD, "spare_pump:", "weights.spare_pump: ", expected, f"got {got}", rulebook="child")


@pytest.mark.parametrize(
    ("change", "at", "message"),
    [
        pytest.param(
            "drop: [spare_heat, spare_pumps]",
            "drop:",
            "drop: no such rule to change: got 'spare_pumps', expected one of "
            "fight_frost, quench_thirst, spare_pump, water_in_pulses (did you mean 'spare_pump'?)",
            id="drop",
        ),
        pytest.param(
            "weights: {spare_pumps: 2}",
            "weights:",
            "weights: no such rule to change: got 'spare_pumps', expected one of "
            "fight_frost, quench_thirst, spare_heat, spare_pump, water_in_pulses (did you mean 'spare_pump'?)",
            id="weights",
        ),
        pytest.param(
            "readings: {quench_first: at_once}",
            "readings:",
            "readings: no such rule to change: got 'quench_first', expected one of "
            "fight_frost, quench_thirst, spare_heat, spare_pump, water_in_pulses (did you mean 'quench_thirst'?)",
            id="readings",
        ),
        pytest.param(
            f"weights: {{calm: 2}}\nrules:\n  {CALM}",
            "weights:",
            "weights: no such rule to change: got 'calm', expected one of fight_frost, ",
            id="weights of an own rule",
        ),
        pytest.param(
            "readings: {quench_thirst: at_onse}",
            "readings:",
            "readings.quench_thirst: no such reading: got 'at_onse', expected one of at_once (did you mean 'at_once'?)",
            id="unknown reading",
        ),
        pytest.param(
            "readings: {spare_pump: smv}",
            "readings:",
            "readings.spare_pump: no such reading: got 'smv', expected one of nothing: none is defined",
            id="rule without readings",
        ),
        pytest.param(
            f"rules:\n  {CALM.replace('calm', 'spare_pump')}",
            "id: spare_pump",
            "rules[0].id: duplicate id 'spare_pump'",
            id="rule that is inherited already",
        ),
        pytest.param(
            f"drop: [{', '.join(IDS)}]",
            "extends:",
            "the book holds no rule: expected at least one",
            id="all dropped",
        ),
    ],
)
def test_bad_change(copy, change: str, at: str, message: str) -> None:
    copy.write(CHILD, f"extends: default\n{change}\n")
    copy.rejects(CHILD, at, message, rulebook="child")


@pytest.mark.parametrize(
    "change", ["drop: [spare_pump]", "weights: {spare_pump: 2}", "readings: {quench_thirst: at_once}"]
)
def test_changes_without_a_book_to_change(copy, change: str) -> None:
    copy.write(CHILD, f"{change}\nrules:\n  {CALM}\n")
    message = "'drop', 'weights' and 'readings' change another book: expected 'extends' beside them"
    copy.rejects(CHILD, change, message, rulebook="child")


@pytest.mark.parametrize("content", ["rules: []\n", "description: Nothing at all.\n"])
def test_a_book_without_rules(copy, content: str) -> None:
    copy.write(FILE, content)
    copy.rejects(FILE, content.strip(), "the book holds no rule: expected at least one")


@pytest.mark.parametrize("name", ["defualt", "../tasks", "default.yaml", "x" * 300, ""])
def test_missing_rulebook(copy, name: str) -> None:
    copy.write(CHILD, "extends: default\n")
    hint = " (did you mean 'default'?)" if name in ("defualt", "default.yaml") else ""
    message = f"no such rulebook: got {name!r}, expected one of child, default{hint}"
    copy.rejects(f"rulebooks/{name}.yaml", None, message, rulebook=name)


@pytest.mark.parametrize("name", ["defualt", "../tasks"])
def test_extending_a_missing_rulebook(copy, name: str) -> None:
    copy.write(CHILD, f"description: A child.\nextends: {name}\n")
    hint = " (did you mean 'default'?)" if name == "defualt" else ""
    message = f"extends: no such rulebook: got {name!r}, expected one of child, default{hint}"
    copy.rejects(CHILD, "extends:", message, rulebook="child")


def test_extending_itself(copy) -> None:
    copy.write(CHILD, f"rules:\n  {CALM}\nextends: child\n")
    copy.rejects(CHILD, "extends:", "extends: a rulebook cannot extend itself: child → child", rulebook="child")


def test_extending_in_a_circle_of_two(copy) -> None:
    copy.write(CHILD, "description: One.\nextends: other\n")
    copy.write("rulebooks/other.yaml", "extends: child\n")
    message = "extends: a rulebook cannot extend itself: child → other → child"
    copy.rejects("rulebooks/other.yaml", "extends:", message, rulebook="child")


def test_extending_into_a_circle(copy) -> None:
    copy.write(CHILD, "extends: one\n")
    copy.write("rulebooks/one.yaml", "extends: two\n")
    copy.write("rulebooks/two.yaml", "extends: one\n")
    message = "extends: a rulebook cannot extend itself: child → one → two → one"
    copy.rejects("rulebooks/two.yaml", "extends:", message, rulebook="child")


def test_an_error_in_the_extended_book_names_that_book(copy) -> None:
    copy.write(CHILD, "extends: default\n")
    copy.replace(FILE, "G(frost -> F heat)", "G(frost -> F")
    copy.rejects(FILE, "G(frost -> F", "rules[4].formula: syntax error at column ", rulebook="child")


def test_only_the_asked_for_book_is_read(copy) -> None:
    copy.write(CHILD, "extends: nothing\n")
    assert ids(copy.load()[1]) == IDS


def test_a_book_extended_in_memory_is_a_book_like_others(greenhouse: Domain) -> None:
    calm = Rule(id="calm", formula=Formula("G(frost -> hold)"), english="It holds while there is frost.")
    book = greenhouse.rulebook().extended("mine", calm)
    assert (book.name, ids(book), ids(greenhouse.rulebook())) == ("mine", [*IDS, "calm"], IDS)
    assert greenhouse.rulebook(book) is book
    assert book.digest != greenhouse.rulebook().digest
    with pytest.raises(InputError, match=r"^rulebook mine: rules: duplicate id 'calm'$"):
        greenhouse.rulebook().extended("mine", calm, calm)
    with pytest.raises(InputError, match=r"^rulebook mine: rules: duplicate id 'spare_pump'$"):
        greenhouse.rulebook().extended("mine", greenhouse.rulebook().rules[0])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"formula": Formula("G(forst -> hold)")}, "formula: unknown proposition: got 'forst', expected one of "),
        # What can be done exists everywhere.
        ({"worlds": ("moon",)}, "worlds: unknown world: got 'moon', expected one of glasshouse, seedling_bench"),
        ({"presumes": ("hold",)}, "presumes: unknown proposition: got 'hold', expected one of "),
    ],
)
def test_a_book_in_memory_must_speak_of_what_the_domain_knows(
    greenhouse: Domain, changes: dict[str, object], field: str
) -> None:
    calm = Rule(id="calm", formula=Formula("G(frost -> hold)"), english="").model_copy(update=changes)
    with pytest.raises(InputError, match=rf"^rulebook mine: calm\.{field}"):
        greenhouse.rulebook(greenhouse.rulebook().extended("mine", calm))
