"""Domains: the one that ships, and one that has nothing to do with it."""

import pickle
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from verilora.specs.domain import SHIPPED, Domain, load_domain
from verilora.specs.files.errors import InputError
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rule
from verilora.specs.task import Task

LIGHTS = {"green_traffic_light", "green_left_turn_light"}
CARS = {"opposite_car", "car_from_left", "car_from_right"}
PEDESTRIANS = {"pedestrian_at_left", "pedestrian_at_right", "pedestrian_in_front"}
EVERYTHING = LIGHTS | CARS | PEDESTRIANS | {"side_car", "at_line", "stop_sign"}
MANOEUVRES = ("go_straight", "turn_left", "turn_right")
PLACES = ("traffic_light", "left_turn_light", "two_way_stop", "wide_median", "roundabout")

# The paper's formulas, from its section on the driving system.
PAPER = {
    "phi1": "G((pedestrian_at_left | pedestrian_at_right | pedestrian_in_front) -> F stop)",
    "phi2": "G((opposite_car & !green_left_turn_light) -> !turn_left)",
    "phi3": "G(!green_traffic_light -> !go_straight)",
    "phi4": "G(stop_sign -> F stop)",
    "phi5": "G((car_from_left | pedestrian_at_right) -> !turn_right)",
    "phi6": "G(stop | go_straight | turn_left | turn_right)",
    "phi7": "F(green_traffic_light | green_left_turn_light) -> F !stop",
    "phi8": "G(!green_traffic_light -> F stop)",
    "phi9": "G(car_from_left -> !(turn_left | turn_right))",
    "phi10": "G(green_traffic_light -> F !stop)",
    "phi11": "G((turn_right & !green_traffic_light) -> !car_from_left)",
    "phi12": "G((turn_left & !green_left_turn_light) -> (!car_from_right & !car_from_left & !opposite_car))",
    "phi13": "G((stop_sign & !car_from_left & !car_from_right) -> F !stop)",
    "phi14": "G(go_straight -> !pedestrian_in_front)",
    "phi15": "G((turn_right & stop_sign) -> !car_from_left)",
}
ADDED = {
    "left_needs_green": "G(turn_left -> (green_traffic_light | green_left_turn_light))",
    "turn_clear_front": "G((turn_left | turn_right) -> !pedestrian_in_front)",
    "left_clear_exit": "G(turn_left -> !pedestrian_at_left)",
    "straight_yields": "G((go_straight & !green_traffic_light) -> !(car_from_left | car_from_right))",
    "right_on_red_yields": "G((turn_right & !green_traffic_light) -> !opposite_car)",
}


def rules(domain: Domain, rulebook: str) -> dict[str, Rule]:
    return {rule.id: rule for rule in domain.rulebook(rulebook).rules}


def manoeuvre(task: Task) -> str:
    (name,) = task.goal.propositions - {"stop"}
    return name


def splits_by_combination(domain: Domain) -> dict[tuple[str, str], set[str]]:
    splits = defaultdict(set)
    for task in domain.tasks.values():
        splits[task.world, manoeuvre(task)].add(task.split)
    return splits


def test_driving_is_the_domain_that_ships(driving: Domain) -> None:
    assert driving.name == "driving"
    assert driving.folder == SHIPPED / "driving"


def test_driving_has_eleven_propositions_and_four_actions(driving: Domain) -> None:
    assert len(driving.vocabulary.proposition_ids) == 11
    assert set(driving.vocabulary.proposition_ids) == EVERYTHING
    assert driving.vocabulary.action_ids == ("stop", *MANOEUVRES)
    assert driving.vocabulary.idle == "stop"


def test_driving_has_the_fifteen_rules_of_the_paper_in_order(driving: Domain) -> None:
    book = driving.rulebook("paper").rules
    assert [rule.id for rule in book] == [f"phi{number}" for number in range(1, 16)]
    assert {rule.id: rule.formula for rule in book} == {name: Formula(text) for name, text in PAPER.items()}
    assert all(rule.weight == 1 and rule.english for rule in book)


def test_the_default_book_adds_five_rules_to_the_papers(driving: Domain) -> None:
    book = driving.rulebook()
    assert book.rules[:15] == driving.rulebook("paper").rules
    assert {rule.id: rule.formula for rule in book.rules[15:]} == {name: Formula(text) for name, text in ADDED.items()}
    assert {rule.id: rule.worlds for rule in book.rules if rule.worlds} == {"turn_clear_front": ("roundabout",)}
    assert all(rule.english and rule.source.startswith("Ours: ") for rule in book.rules[15:])


def test_driving_ships_four_rulebooks(driving: Domain) -> None:
    assert driving.rulebook_names() == ["author-smv", "default", "no-right-on-red", "paper"]
    assert len({driving.rulebook(name).digest for name in driving.rulebook_names()}) == 4


def test_rules_about_a_light_that_is_not_green_presume_the_light(driving: Domain) -> None:
    presumes = {name: rule.presumes for name, rule in rules(driving, "no-right-on-red").items() if rule.presumes}
    about_red = ("phi3", "phi8", "left_needs_green", "right_on_red_yields", "no_right_on_red")
    assert presumes == dict.fromkeys(about_red, ("green_traffic_light",))


def test_rule_7_in_both_readings(driving: Domain) -> None:
    smv = Formula("F((green_traffic_light | green_left_turn_light) -> F !stop)")
    assert rules(driving, "paper")["phi7"].formula == Formula(PAPER["phi7"])
    assert rules(driving, "paper")["phi7"].readings == {"smv": smv}
    assert rules(driving, "author-smv")["phi7"].formula == smv != Formula(PAPER["phi7"])
    others = [[rule for rule in driving.rulebook(name).rules if rule.id != "phi7"] for name in ("paper", "author-smv")]
    assert others[0] == others[1]


def test_no_right_on_red_adds_one_rule(driving: Domain) -> None:
    book = driving.rulebook("no-right-on-red")
    assert book.rules[:20] == driving.rulebook().rules
    assert [(rule.id, rule.formula) for rule in book.rules[20:]] == [
        ("no_right_on_red", Formula("G(!green_traffic_light -> !turn_right)"))
    ]


@pytest.mark.parametrize(
    ("world", "free", "constant"),
    [
        ("universal", EVERYTHING, set()),
        ("traffic_light", {"green_traffic_light", "at_line"} | CARS | PEDESTRIANS, set()),
        ("left_turn_light", {"at_line"} | LIGHTS | CARS | PEDESTRIANS, set()),
        ("two_way_stop", {"at_line"} | CARS | PEDESTRIANS, {"stop_sign"}),
        ("wide_median", {"car_from_left", "car_from_right", "pedestrian_in_front", "at_line"}, set()),
        ("roundabout", {"car_from_left", "pedestrian_at_right", "pedestrian_in_front", "at_line"}, set()),
    ],
)
def test_driving_worlds(driving: Domain, world: str, free: set[str], constant: set[str]) -> None:
    assert set(driving.world(world).free) == free
    assert set(driving.world(world).constant) == constant


def test_driving_has_six_worlds_and_one_constraint(driving: Domain) -> None:
    assert list(driving.worlds) == ["universal", *PLACES]
    constraints = {name: world.constraints for name, world in driving.worlds.items() if world.constraints}
    assert constraints == {"wide_median": (Formula("G !(car_from_left & car_from_right)"),)}


def test_no_task_turns_on_where_the_car_itself_is(driving: Domain) -> None:
    """So that learned worlds do not either: it depends on the actions."""
    assert all("at_line" not in task.relevant for task in driving.tasks.values())


def test_driving_worlds_promise_a_clear_way_again_and_again(driving: Domain) -> None:
    for name, world in driving.worlds.items():
        assert world.fairness.manna_pnueli_class == "recurrence", name
        # The universal world promises what the traffic light does, so that its controllers have a way to move.
        exists = {*world.free, *world.constant}
        assert world.fairness.propositions <= exists, name
        assert name == "universal" or world.fairness.propositions == set(world.free), name


def test_driving_tasks_cover_every_manoeuvre_in_every_world(driving: Domain) -> None:
    combinations = splits_by_combination(driving)
    assert set(combinations) == {(world, name) for world in PLACES for name in MANOEUVRES}
    for task in driving.tasks.values():
        asked = manoeuvre(task)
        assert task.goal == Formula(f"(stop U {asked}) & G(stop | {asked})")


def test_driving_tests_on_combinations_that_training_never_sees(driving: Domain) -> None:
    splits = splits_by_combination(driving).values()
    assert sum(found == {"test"} for found in splits) >= 3
    assert all(len(found) == 1 for found in splits)


def test_driving_tasks_have_eight_wordings_at_least(driving: Domain) -> None:
    for task in driving.tasks.values():
        least = {"test": 8} if task.split == "test" else {"train": 5, "validation": 3}
        assert {split: min(len(wordings), least[split]) for split, wordings in task.wordings.items()} == least, task.id


def test_no_wording_occurs_twice_in_driving(driving: Domain) -> None:
    wordings = Counter(
        " ".join(re.findall(r"[a-z0-9]+", wording.lower()))
        for task in driving.tasks.values()
        for split in task.wordings.values()
        for wording in split
    )
    assert [wording for wording, count in wordings.items() if count > 1] == []


def test_driving_tasks_turn_on_four_things_at_most(driving: Domain) -> None:
    for task in driving.tasks.values():
        assert 1 <= len(task.relevant) <= 4, task.id
        assert len(set(task.relevant)) == len(task.relevant), task.id


def test_another_domain_needs_no_code(greenhouse: Domain, driving: Domain) -> None:
    assert greenhouse.name == "greenhouse"
    assert greenhouse.rulebook_names() == ["default"]
    assert len(greenhouse.rulebook().rules) == 5
    names = {*greenhouse.vocabulary.proposition_ids, *greenhouse.vocabulary.action_ids}
    assert not names & {*driving.vocabulary.proposition_ids, *driving.vocabulary.action_ids}


def test_a_domain_survives_pickling(greenhouse: Domain) -> None:
    assert pickle.loads(pickle.dumps(greenhouse)) == greenhouse


@pytest.mark.parametrize(
    ("name", "hint"),
    [("greenhose", " (did you mean 'greenhouse'?)"), ("plants", ""), ("rulebooks", ""), ("x" * 300, ""), ("..", "")],
)
def test_a_missing_domain_is_told_with_those_there_are(copy, name: str, hint: str) -> None:
    (copy.specs / "fish_tank").mkdir()
    (copy.specs / "fish_tank" / "propositions.yaml").write_text("")
    (copy.specs / "rulebooks").mkdir()
    with pytest.raises(InputError) as caught:
        load_domain(name, copy.specs)
    assert str(caught.value) == (
        f"{copy.specs / name}: no such task domain (a folder with propositions.yaml): "
        f"got {name!r}, expected one of fish_tank, greenhouse{hint}"
    )


def test_a_missing_specs_folder_holds_no_domain(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got 'driving', expected one of nothing: none is defined"):
        load_domain("driving", tmp_path / "nowhere")


def test_a_missing_world_is_told_with_those_there_are(greenhouse: Domain) -> None:
    with pytest.raises(InputError) as caught:
        greenhouse.world("glass_house")
    assert str(caught.value) == (
        f"{greenhouse.folder / 'worlds.yaml'}: no such world: got 'glass_house', "
        "expected one of glasshouse, seedling_bench, universal (did you mean 'glasshouse'?)"
    )


def test_a_missing_task_is_told_with_those_there_are(greenhouse: Domain) -> None:
    with pytest.raises(InputError) as caught:
        greenhouse.task("warm-greenhouse")
    assert str(caught.value) == (
        f"{greenhouse.folder / 'tasks.yaml'}: no such task: got 'warm-greenhouse', expected one of "
        "warm-glasshouse, water-glasshouse, water-seedling-bench (did you mean 'warm-glasshouse'?)"
    )


def test_errors_in_the_shipped_domain_are_placed_too(driving_copy) -> None:
    driving_copy.replace("rulebooks/paper.yaml", "G(stop_sign -> F stop)", "G(stop_sing -> F stop)")
    driving_copy.rejects(
        "rulebooks/paper.yaml",
        "stop_sing",
        "rules[3].formula: unknown proposition in 'G(stop_sing -> F stop)': got 'stop_sing', expected one of ",
        "(did you mean 'stop_sign'?)",
        rulebook="author-smv",
    )
