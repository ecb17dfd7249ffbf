"""What numbers come to in words, and the small pictures beside them."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from verilora.specs.domain import Domain
from verilora.verify.records.evaluation import Alarm, BeforeAfter, Evaluation, Mean, RuleScore, Score, Share
from verilora.verify.records.run import PairSettings, Run, RunConfig
from verilora.verify.records.run_files import RunFiles
from verilora.verify.records.verdict import Mode
from verilora.verify.reports.comparison import MEASURES, measures
from verilora.verify.reports.curve import Series, curve
from verilora.verify.reports.findings import (
    Change,
    broken_rules,
    caveats,
    change,
    percent,
    rule_change,
    sentence,
    worse_rules,
)
from verilora.verify.reports.strip import MARGIN, WIDTH, strip
from verilora.verify.worlds.coverage import coverages


def spread(count: int, of: int) -> list[int]:
    """Return a number of answers, spread over twenty prompts; what is not, too, if there is some."""
    return [count * (place + 1) // 20 - count * place // 20 for place in range(20)] if of else [0] * 20


def share(count: int, of: int) -> Share:
    return Share.counted(spread(count, of), spread(of, of))


def rule(kept: int, applicable: int, observed: int = 0, num_invalid: int = 0) -> RuleScore:
    return RuleScore(
        applicable=applicable,
        kept=kept,
        observed=observed,
        violated=applicable - kept - num_invalid,
        share=share(kept, applicable),
    )


def score(compliance: float, rules: dict[str, RuleScore], num_prompts: int = 20, **fields: Any) -> Score:
    mean = Mean.of([5 * compliance] * num_prompts, [5] * num_prompts)
    shares = {"gate_rate": 50, "all_kept": 50, "invalid": 0, "vacuous": 50, "always_stop": 50, "observed_only": 50}
    counted = {name: share(fields.pop(name, count), 100) for name, count in shares.items()}
    numbers = {"num_responses": 100, "num_prompts": num_prompts, "num_tokens": 4000, "distinct_machines": 30}
    variety = {"effective_machines": 12.5, "mean_steps": 3.0}
    return Score(compliance=mean, raw_share=mean, decided=mean, rules=rules, **numbers, **variety, **counted)


def run_of(before: Score, after: Score, mode: Mode = Mode.GATED, alarms: tuple[Alarm, ...] = ()) -> Run:
    config = RunConfig.model_construct(mode=mode, pairs=PairSettings(shuffle=False))
    splits = {"train": BeforeAfter(before=before, after=before), "test": BeforeAfter(before=before, after=after)}
    evaluation = Evaluation(splits=splits, alarms=alarms)
    return Run(files=RunFiles(Path("run")), config=config, evaluation=evaluation, training=())


BEFORE = score(0.6, {"a": rule(40, 100), "b": rule(80, 100), "c": rule(0, 0)})
AFTER = score(0.9, {"a": rule(95, 100), "b": rule(100, 100), "c": rule(0, 0)}, all_kept=88, observed_only=0)


class TestChange:
    def test_only_what_moved_by_more_than_its_interval_is_a_change(self) -> None:
        assert change(share(10, 100), share(90, 100)) is Change.BETTER
        assert change(share(90, 100), share(10, 100)) is Change.WORSE
        assert change(share(50, 100), share(55, 100)) is Change.SAME
        few = (Mean.of([0.0] * 5, [5] * 5), Mean.of([5.0] * 5, [5] * 5))
        assert change(*few) is Change.TOO_FEW

    def test_a_rule_that_applies_nowhere_is_not_compared(self) -> None:
        assert rule_change(rule(0, 0), rule(9, 9)) is Change.NONE

    def test_less_is_better_where_it_is(self) -> None:
        falling = score(0.6, {}, invalid=40, vacuous=40, gate_rate=40)
        splits = {"test": BeforeAfter(before=falling, after=score(0.6, {}, invalid=5, vacuous=5, gate_rate=5))}
        moved = {row.name: row.cells[0].change for row in measures(Evaluation(splits=splits))}
        assert (moved["Invalid"], moved["Gates"], moved["Vacuous"]) == (Change.BETTER, Change.WORSE, Change.NONE)
        assert len(moved) == len(MEASURES)


class TestSentence:
    def test_it_names_split_numbers_and_what_remains(self) -> None:
        assert sentence(run_of(BEFORE, AFTER)) == (
            "Training raised compliance on combinations that it was not trained on from 60% to 90% "
            "(95% interval 79% to 96%); 88 of 100 answers keep every applicable rule and gate, "
            "and 1 rule is still broken by some."
        )

    def test_it_claims_no_change_within_the_interval(self) -> None:
        assert "Training did not change compliance by more than chance may, on comb" in sentence(run_of(BEFORE, BEFORE))

    def test_it_claims_nothing_of_one_prompt(self) -> None:
        """Five answers to it got better, all of them."""
        run = run_of(score(0.2, {}, num_prompts=1), score(1.0, {}, num_prompts=1))
        assert sentence(run).startswith(
            "Nothing is claimed (too few prompts: 1 of 6 needed) of compliance on combinations that it was not trained "
            "on from 20% to 100% (no interval); "
        )

    def test_prompts_to_which_no_rule_applies_are_not_counted(self) -> None:
        """Twenty prompts, of which one is judged; then none."""
        one, none = (Mean.of([4.0] * num + [0.0] * (20 - num), [5] * num + [0] * (20 - num)) for num in (1, 0))
        told = [
            sentence(run_of(*[BEFORE.model_copy(update={"compliance": mean, "raw_share": AFTER.raw_share})] * 2))
            for mean in (one, none)
        ]
        assert told[0].startswith("Nothing is claimed (too few prompts: 1 of 6 needed) of compliance")
        assert told[1] == (
            "Nothing is claimed of compliance on combinations that it was not trained on: "
            "no rule of the book applies there."
        )

    def test_it_says_when_things_got_worse(self) -> None:
        run = run_of(AFTER, BEFORE)
        assert sentence(run).startswith("Training lowered compliance")
        assert sentence(run).endswith("2 rules are still broken by some, 2 of the rules more often than before.")
        assert worse_rules(run) == ["a", "b"]

    def test_what_got_worse_on_another_split_is_no_part_of_a_split_without_fault(self) -> None:
        run = run_of(BEFORE, score(0.9, {"a": rule(100, 100), "b": rule(100, 100)}))
        worse = score(0.6, {"a": rule(1, 100), "b": rule(90, 100)})
        splits = {**run.evaluation.splits, "train": BeforeAfter(before=BEFORE, after=worse)}
        run = replace(run, evaluation=run.evaluation.model_copy(update={"splits": splits}))
        assert worse_rules(run) == ["a"]
        assert sentence(run).endswith("and none of them breaks a rule.")

    def test_nothing_left_and_paper_mode(self) -> None:
        flawless = score(1.0, {"a": rule(100, 100)}, all_kept=100)
        assert sentence(run_of(BEFORE, flawless)).endswith("and none of them breaks a rule.")
        paper = sentence(run_of(BEFORE, flawless, mode=Mode.PAPER))
        assert paper.startswith("Training raised raw share of rules kept on combinations")
        assert "100 of 100 answers keep every rule," in paper

    def test_caveats_are_alarms_and_observations(self) -> None:
        alarms = (Alarm(name="x", message="it rose", raised=True), Alarm(name="y", message="quiet", raised=False))
        observed = AFTER.model_copy(update={"observed_only": share(7, 100)})
        found = caveats(run_of(BEFORE, observed, alarms=alarms))
        assert found[0] == "Alarm x: it rose."
        assert found[-1].startswith("7 of 100 answers pass only on what was observed of a world")
        assert len(found) == 2

    def test_a_control_experiment_is_called_one(self) -> None:
        run = run_of(BEFORE, AFTER)
        shuffled = run.config.model_copy(update={"pairs": PairSettings(shuffle=True)})
        run = replace(run, config=shuffled)
        assert caveats(run)[0].startswith("A control experiment: verdicts were shuffled")

    def test_rules_are_told_from_the_most_often_broken_one_on(self) -> None:
        rules = {"a": rule(95, 100), "b": rule(1, 2), "c": rule(0, 0), "d": rule(3, 3), "e": rule(2, 3, num_invalid=1)}
        assert broken_rules(BeforeAfter(before=BEFORE, after=score(0.5, rules))) == ["b", "a"]

    def test_an_answer_that_is_no_controller_breaks_no_rule(self) -> None:
        rules = {"a": rule(98, 100, num_invalid=2)}
        after = score(0.9, rules, invalid=2)
        assert sentence(run_of(BEFORE, after)).endswith(
            "and none of them breaks a rule; 2 cannot be read as a controller."
        )

    def test_shares_of_nothing(self) -> None:
        assert percent(share(0, 0)) == "nothing to count"
        assert percent(Share.counted([1] * 15 + [0] * 5, [1] * 20)) == "75.0% (50.9% to 91.3%)"
        assert percent(Share.counted([3], [4])) == "75.0%"


class TestStrip:
    def test_marks_stand_where_the_shares_are(self) -> None:
        drawn = strip(share(0, 60), share(60, 60), "all kept")
        assert f'cx="{MARGIN:.1f}"' in drawn
        assert f'd="M{WIDTH - MARGIN:.1f},16' in drawn
        assert 'aria-label="all kept: before 0.0%, interval 0.0% to 16.8%; after 100.0%' in drawn

    def test_without_an_interval_there_is_no_line(self) -> None:
        drawn = strip(Share.counted([1], [2]), share(50, 50), "all kept")
        assert "before 50.0%, no interval; after 100.0%, interval" in drawn
        assert drawn.count("whisker") == 1

    def test_without_shares_there_are_no_marks(self) -> None:
        drawn = strip(None, share(0, 0), "<x>")
        assert 'aria-label="&lt;x&gt;: after nothing to count"' in drawn
        assert "whisker" not in drawn


class TestCurve:
    def test_points_lie_within_the_frame_and_breaks_are_marked(self) -> None:
        drawn = curve(Series("loss", ((1.0, 0.7), (2.0, math.nan), (3.0, 0.5), (4.0, 0.4)), (3.0,)))
        assert "loss: 0.7 at the first step logged, 0.4 at step 4" in drawn
        assert drawn.count("next round") == 1
        points = drawn.partition('points="')[2].partition('"')[0].split()
        assert len(points) == 3, "what is no number is left out"
        assert all(
            46 <= float(point.split(",")[0]) <= 348 and 14 <= float(point.split(",")[1]) <= 176 for point in points
        )

    @pytest.mark.parametrize("values", [(0.0,), (5.0, 5.0), (-2.5, 1e6), (1e-9, 2e-9)])
    def test_any_range_can_be_drawn(self, values: tuple[float, ...]) -> None:
        drawn = curve(Series("margin", tuple((float(step), value) for step, value in enumerate(values))))
        assert "nan" not in drawn
        assert "polyline" in drawn

    def test_nothing_logged_draws_nothing(self) -> None:
        assert curve(Series("margin", ())) == ""
        assert curve(Series("margin", ((1.0, math.inf),))) == ""


class TestCoverage:
    def test_it_tells_what_the_learned_worlds_hold(self, driving: Domain) -> None:
        found = coverages(driving, "simulated")
        assert sum(len(world.tasks) for world in found) == len(driving.tasks)
        for world in found:
            learned = driving.learned_world(driving.task(world.tasks[0]))
            assert learned is not None
            assert world.learned == learned.propositions
            assert not {*world.learned} & {*world.free}
            assert {*world.learned, *world.free} == {*driving.world(world.world).free}
            assert (world.episodes, world.leaving_bound) == (
                learned.coverage["episodes"],
                learned.coverage["leaving_bound"],
            )

    def test_other_kinds_learn_nothing(self, driving: Domain, tmp_path: Path) -> None:
        abstract = coverages(driving, "abstract")
        assert [world.world for world in abstract] == list(dict.fromkeys(t.world for t in driving.tasks.values()))
        assert all(world.episodes is None and not world.learned for world in abstract)
        assert [world.free for world in coverages(driving, "universal")] == [driving.vocabulary.proposition_ids]
        bare = replace(driving, folder=tmp_path)
        assert all(world.episodes is None for world in coverages(bare, "simulated"))
