"""Tasks."""

import pytest

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula

FILE = "tasks.yaml"


def test_what_the_file_says_is_what_the_task_is(greenhouse: Domain) -> None:
    task = greenhouse.task("water-glasshouse")
    assert task.id == "water-glasshouse"
    assert task.english == "water the plants in the glasshouse"
    assert task.world == "glasshouse"
    assert task.goal == Formula("hold U open_valve")
    assert task.relevant == ("dry_soil", "tank_empty", "frost", "door_open")
    assert task.split == "train"
    assert task.wordings == {
        "train": ("Water the plants in the glasshouse", "The glasshouse plants need water"),
        "validation": ("Start the irrigation under glass",),
    }


def test_tasks_come_in_the_order_of_the_file(greenhouse: Domain) -> None:
    assert list(greenhouse.tasks) == ["water-glasshouse", "warm-glasshouse", "water-seedling-bench"]
    assert [task.split for task in greenhouse.tasks.values()] == ["train", "train", "test"]


def test_a_constant_proposition_may_be_relevant(copy) -> None:
    copy.replace("worlds.yaml", "free: [dry_soil, frost]", "free: [dry_soil]\n    constant: [frost]")
    assert copy.load()[0].task("water-seedling-bench").relevant == ("dry_soil", "frost")


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        pytest.param(
            "- id: warm-glasshouse",
            "- id: water-glasshouse  # again",
            "# again",
            "tasks[1].id: duplicate id 'water-glasshouse'",
            id="duplicate id",
        ),
        pytest.param(
            "world: seedling_bench",
            "world: seedling_bank",
            "world: seedling_bank",
            "tasks[2].world: no such world: got 'seedling_bank', "
            "expected one of glasshouse, seedling_bench, universal (did you mean 'seedling_bench'?)",
            id="missing world",
        ),
        pytest.param(
            "goal: warm",
            "goal: worm",
            "goal: worm",
            "tasks[1].goal: no such goal: got 'worm', expected one of warm, water (did you mean 'warm'?)",
            id="missing goal",
        ),
        pytest.param(
            "relevant: [dry_soil, frost]",
            "relevant: [dry_soil, tank_empty]",
            "relevant: [dry_soil, tank_empty]",
            "tasks[2].relevant[1]: not in the world 'seedling_bench': got 'tank_empty', "
            "expected one of dry_soil, frost",
            id="relevant but absent there",
        ),
        pytest.param(
            "relevant: [dry_soil, frost]",
            "relevant: [dri_soil]",
            "dri_soil",
            "tasks[2].relevant[0]: not in the world 'seedling_bench': got 'dri_soil', "
            "expected one of dry_soil, frost (did you mean 'dry_soil'?)",
            id="relevant but unknown",
        ),
        pytest.param(
            "      test:\n",
            "      train:  # wrong\n",
            "# wrong",
            "tasks[2].wordings.train: a task of the test split has no 'train' wordings",
            id="train wordings of a test task",
        ),
        pytest.param(
            "      test:\n",
            "      validation: [Water them]  # wrong\n      test:\n",
            "# wrong",
            "tasks[2].wordings.validation: a task of the test split has no 'validation' wordings",
            id="validation wordings of a test task",
        ),
        pytest.param(
            "        - Start the irrigation under glass\n",
            "        - Start the irrigation under glass\n      test: [Water them]  # wrong\n",
            "# wrong",
            "tasks[0].wordings.test: a task of the train split has no 'test' wordings",
            id="test wordings of a train task",
        ),
        pytest.param(
            "    wordings:\n      test:\n        - Water the seedlings on the bench\n",
            "    wordings:  # wrong\n      test: []\n    # ",
            "# wrong",
            "tasks[2].wordings: a task of the test split needs 'test' wordings",
            id="no wordings",
        ),
        pytest.param(
            "      test:\n",
            "      dev:\n",
            "      dev:",
            "tasks[2].wordings.dev: Input should be 'train', 'validation' or 'test', got 'dev'",
            id="unknown split of wordings",
        ),
        pytest.param(
            "split: test",
            "split: validation",
            "split: validation",
            "tasks[2].split: Input should be 'train' or 'test', got 'validation'",
            id="unknown split",
        ),
        pytest.param(
            "warm: hold U heat",
            "warm: hold U warm",
            "warm: hold U warm",
            "goals.warm: unknown proposition in 'hold U warm': got 'warm', expected one of door_open, dry_soil, frost, "
            "heat, hold, open_valve, tank_empty",
            id="goal over an unknown proposition",
        ),
        pytest.param(
            "warm: hold U heat",
            "warm: hold U",
            "warm: hold U",
            "goals.warm: syntax error at column 7 of 'hold U': unexpected end of formula",
            id="goal with a syntax error",
        ),
        pytest.param(
            "warm: hold U heat",
            'warm: "{hold[*];heat}!"',
            "warm: ",
            "goals.warm: '{hold[*];heat}!' is not a formula of linear temporal logic",
            id="goal in PSL",
        ),
        pytest.param(
            "- id: warm-glasshouse",
            "- id: Warm Glasshouse",
            "- id: Warm Glasshouse",
            "tasks[1].id: String should match pattern",
            id="bad id",
        ),
    ],
)
def test_bad_task(copy, old: str, new: str, at: str, message: str) -> None:
    copy.replace(FILE, old, new)
    copy.rejects(FILE, at, message)


@pytest.mark.parametrize("name", ["water-", "-water", "water--bench", "../water", "water bench", ""])
def test_ids_fit_into_file_names_and_addresses(copy, name: str) -> None:
    copy.replace(FILE, "- id: warm-glasshouse", f"- id: '{name}'  # wrong")
    copy.rejects(FILE, "# wrong", "tasks[1].id: String should match pattern", f"got {name!r}")


def test_a_file_without_tasks(copy) -> None:
    copy.write(FILE, "goals: {warm: hold U heat}\ntasks: []\n")
    copy.rejects(FILE, "tasks:", "tasks: ", "at least 1 item")


class TestWhatIsAskedOfWaits:
    def test_the_event_is_the_movement_of_the_goal_within_a_minute(self, greenhouse: Domain) -> None:
        task = greenhouse.task("water-glasshouse")
        assert (task.event, task.limit, task.premise) == (Formula("open_valve"), 60, None)

    def test_a_task_may_say_otherwise(self, copy) -> None:
        said = "goal: warm\n    event: heat & frost\n    limit: 90\n    premise: frost"
        copy.replace("tasks.yaml", "goal: warm\n", f"{said}\n")
        task = copy.load()[0].task("warm-glasshouse")
        assert (task.event, task.limit, task.premise) == (Formula("heat & frost"), 90, Formula("frost"))

    def test_a_goal_that_names_no_action_has_no_event(self, copy) -> None:
        copy.replace("tasks.yaml", "hold U heat", "F frost")
        assert copy.load()[0].task("warm-glasshouse").event is None

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("event: F heat", "event: 'F heat' speaks of more than one second, expected no temporal operator"),
            ("event: heet", "event: unknown proposition in 'heet'"),
            ("premise: heat", "premise: unknown proposition in 'heat'"),
            ("premise: X frost", "premise: 'X frost' speaks of more than one second"),
            ("limit: 0", "limit: Input should be greater than or equal to 1"),
        ],
    )
    def test_what_cannot_be_asked_is_refused(self, copy, line: str, message: str) -> None:
        copy.replace("tasks.yaml", "goal: warm\n", f"goal: warm\n    {line}\n")
        copy.rejects(FILE, line, f"tasks[1].{message}")
