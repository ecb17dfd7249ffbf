"""Verdicts in learned worlds: on what was seen (G) and on what nothing excludes (G+)."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.learned_world import LABELS as VERSION
from verilora.specs.learned_world import (
    LearnedWorld,
    Transition,
    learned_world_path,
    read_learned_world,
    write_learned_world,
)
from verilora.specs.logic import Formula, spot
from verilora.specs.rulebook import Rule, Rulebook
from verilora.specs.task import Task
from verilora.specs.world_description import Exclusion, WorldDescription
from verilora.synth.controllers.controller import always
from verilora.verify.checking.compiled import Compiler
from verilora.verify.records.verdict import Status, Verdict
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.learned import ends_of_observation, learned_world
from verilora.verify.worlds.world import World, WorldError, WorldKind, abstract_world

from controllers import task_in
from models import PROPOSITIONS, TINY

FREE = WorldDescription(free=PROPOSITIONS)
LABELS = ((), ("p",), ("q",), ("p", "q"))


def learned(
    *steps: tuple[tuple[str, ...] | None, tuple[str, ...]], excluded: str = "", names: str = "p q"
) -> LearnedWorld:
    return LearnedWorld(
        format=1,
        world="here",
        propositions=tuple(names.split()),
        exclusions=(Exclusion(formula=Formula(excluded), reason="it is so"),) if excluded else (),
        transitions=tuple(Transition(source=source, target=target, count=1) for source, target in steps),
        coverage={},
        provenance={},
    )


def runs(world: World, formula: str) -> bool:
    return bool(world.graph.intersects(spot.translate(formula)))


def test_the_graph_holds_what_was_seen_and_the_closure_what_is_possible() -> None:
    world = learned_world(learned((None, ()), ((), ("p",)), (("p",), ())), FREE, TINY, Compiler())
    assert not runs(world, "F q")
    assert not runs(world, "F (p & X p)")
    assert runs(world, "!p & X p & XX !p")
    assert world.closure is not None
    assert runs(world.closure, "p & q & X (p & q)")
    assert (world.kind, world.learned, world.free) == (WorldKind.SIMULATED, PROPOSITIONS, ())


def test_what_is_not_learned_stays_free() -> None:
    world = learned_world(learned((None, ("p",)), (("p",), ("p",)), names="p"), FREE, TINY, Compiler())
    assert (world.learned, world.free) == (("p",), ("q",))
    assert runs(world, "G p & GF q & GF !q")
    assert not runs(world, "F !p")


def test_exclusions_hold_in_the_closure() -> None:
    world = learned_world(learned((None, ()), ((), ()), excluded="G !(p & q) & G (p -> X !p)"), FREE, TINY, Compiler())
    assert world.closure is not None
    assert runs(world.closure, "F p & F q")
    assert not runs(world.closure, "F (p & q)")
    assert not runs(world.closure, "F (p & X p)")


def test_exclusions_of_the_world_hold_for_what_is_not_learned_too() -> None:
    exclusion = Exclusion(formula=Formula("G !(p & q)"), reason="it is so")
    description = WorldDescription(free=PROPOSITIONS, exclusions=(exclusion,))
    world = learned_world(learned((None, ("p",)), (("p",), ("p",)), names="p"), description, TINY, Compiler())
    assert world.closure is not None
    assert not runs(world, "F q")
    assert not runs(world.closure, "F (p & q)")


def test_where_observation_ends_anything_can_follow_that_nothing_excludes() -> None:
    seen = learned((None, ()), ((), ("p",)), excluded="G !(p & q)")
    assert ends_of_observation(seen) == [("p",)]
    world = learned_world(seen, FREE, TINY, Compiler())
    # "q" was never seen either: behind it, too, all is open.
    assert runs(world, "!p & !q & X p & XX q & XXX q & XXXX p")
    assert not runs(world, "F (p & q)")
    assert not runs(world, "!p & !q & X (!p & !q)")


def test_a_state_of_the_closure_in_which_nothing_seen_can_follow_goes_on_as_the_closure() -> None:
    """After p p a third p is excluded, and nothing else was seen to follow p."""
    seen = learned((None, ("p",)), (("p",), ("p",)), (None, ()), ((), ()), excluded="G ((p & X p) -> XX !p)")
    world = learned_world(seen, FREE, TINY, Compiler())
    assert all(list(world.graph.out(state)) for state in range(world.graph.num_states()))
    assert runs(world, "p & X p & XX (!p & q)")
    assert not runs(world, "F (p & X p & XX p)")


def test_a_transition_that_was_seen_cannot_be_excluded() -> None:
    with pytest.raises(WorldError, match="the transition p → p was seen, but is excluded or out of reach"):
        learned_world(learned((None, ("p",)), (("p",), ("p",)), excluded="G (p -> X !p)"), FREE, TINY, Compiler())


@given(st.sets(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS))))
def test_a_world_in_which_everything_was_seen_is_the_abstract_one(also: set[tuple[tuple[str, ...], ...]]) -> None:
    everything = [(None, label) for label in LABELS] + [(source, target) for source in LABELS for target in LABELS]
    world = learned_world(learned(*everything), FREE, TINY, Compiler())
    assert spot.are_equivalent(world.graph, abstract_world("here", FREE, TINY, Compiler()).graph)
    # Whatever was seen, the closure allows it.
    starts = [(None, source) for source, _ in also] or [(None, ())]
    partial = learned_world(learned(*dict.fromkeys(starts), *also), FREE, TINY, Compiler())
    assert partial.closure is not None
    assert spot.contains(partial.closure.graph, partial.graph)


class TestVerdicts:
    """A light that was never seen green, in a domain made of the driving one."""

    @pytest.fixture
    def domain(self, driving: Domain, tmp_path: Path) -> Domain:
        for name in ("propositions.yaml", "worlds.yaml", "tasks.yaml"):
            (tmp_path / name).write_text((driving.folder / name).read_text())
        return Domain(folder=tmp_path, vocabulary=driving.vocabulary, worlds=driving.worlds, tasks=driving.tasks)

    def judge(self, domain: Domain, formula: str, *steps: tuple[tuple[str, ...] | None, tuple[str, ...]]) -> Verdict:
        plain = task_in("traffic_light", "true")
        task = Task(
            id="t",
            english="",
            world="traffic_light",
            goal=plain.goal,
            relevant=("green_traffic_light",),
            split="train",
            wordings={},
        )
        found = learned(*steps, names="green_traffic_light").model_copy(update={"world": "traffic_light"})
        write_learned_world(learned_world_path(domain.folder, "traffic_light", task.relevant), found)
        rules = (Rule(id="rule", formula=Formula(formula), english=""),)
        verifier = Verifier(domain, Rulebook(name="one", description="", rules=rules), Settings())
        return verifier.verify(always("stop", domain.vocabulary), task)

    def status(self, domain: Domain, formula: str, *steps: tuple[tuple[str, ...] | None, tuple[str, ...]]) -> Status:
        return self.judge(domain, formula, *steps).rules[0].status

    def test_broken_in_what_was_seen_is_violated_even_if_the_closure_keeps_it(self, domain: Domain) -> None:
        always_red = ((None, ()), ((), ()))
        assert self.status(domain, "F green_traffic_light", *always_red) is Status.VIOLATED

    def test_kept_only_in_what_was_seen_is_observed(self, domain: Domain) -> None:
        always_green = ((None, ("green_traffic_light",)), (("green_traffic_light",), ("green_traffic_light",)))
        verdict = self.judge(domain, "G green_traffic_light", *always_green)
        assert (verdict.rules[0].status, verdict.rules[0].witness) == (Status.OBSERVED, None)
        assert verdict.learned == ("green_traffic_light",)
        assert "car_from_left" in verdict.free
        assert not [note for note in verdict.notes if "learned" in note]
        # The gate `GF !stop` is broken by standing still; the rule itself counts as kept, but not strictly.
        assert verdict.rules[0].status.is_kept

    def test_kept_in_both_is_satisfied(self, domain: Domain) -> None:
        blinking = [(None, ()), ((), ("green_traffic_light",)), (("green_traffic_light",), ())]
        assert self.status(domain, "F green_traffic_light", *blinking) is Status.SATISFIED

    def test_learned_and_free_propositions_meet_on_one_edge(self, domain: Domain) -> None:
        blinking = [(None, ()), ((), ("green_traffic_light",)), (("green_traffic_light",), ())]
        formula = "GF (green_traffic_light & car_from_left & X !green_traffic_light)"
        assert self.status(domain, formula, *blinking) is Status.SATISFIED


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = learned_world_path(tmp_path, "here", ("q", "p"))
        write_learned_world(path, learned((None, ()), ((), ("p",)), excluded="G !(p & q)"))
        return path

    def read(self, path: Path) -> LearnedWorld:
        return read_learned_world(path, {"here": FREE})

    def test_written_and_read(self, path: Path) -> None:
        assert path.name == "here.p.q.json"
        assert self.read(path) == learned((None, ()), ((), ("p",)), excluded="G !(p & q)")
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ('"count": 1', '"count": 2', "digest: got '"),
            ('"count": 1', '"count": 0', "transitions.0.count: Input should be greater than or equal to 1"),
            ('"coverage": {}', '"coverage": {', "not JSON"),
            ('"coverage": {}', '"coverage": {}, "coverage": {}', "coverage: stands twice in one object"),
            ('"count"', '"number"', "unknown key: got 'number'"),
        ],
    )
    def test_files_that_were_changed(self, path: Path, old: str, new: str, message: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(InputError) as caught:
            self.read(path)
        assert str(caught.value).startswith(str(path))
        assert message in str(caught.value)

    @pytest.mark.parametrize("labels", [VERSION, None])
    def test_the_labels_of_today_and_those_of_nobodys_simulator_are_read(self, path: Path, labels: int | None) -> None:
        write_learned_world(path, self.read(path).model_copy(update={"labels": labels}))
        assert self.read(path).labels == labels

    @pytest.mark.parametrize("labels", [VERSION - 1, VERSION + 1, "new", [], None])
    def test_labels_of_another_version_are_refused(self, path: Path, labels: object) -> None:
        content = json.loads(path.read_text())
        if labels is None:
            # As files were before there was a version: of the first one.
            del content["labels"]
        else:
            content["labels"] = labels
        path.write_text(json.dumps(content))
        with pytest.raises(InputError) as caught:
            self.read(path)
        mended = "the labels have changed since; `verilora world learn` learns the world again"
        got = 1 if labels is None else repr(labels)
        assert str(caught.value) == f"{path}: labels: got {got}, expected {VERSION}: {mended}"

    def test_a_file_under_the_name_of_another_world(self, path: Path) -> None:
        path.rename(path.with_name("here.p.json"))
        with pytest.raises(InputError, match=r"here\.p\.json: holds the world 'here' over p, q"):
            self.read(path.with_name("here.p.json"))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"world": "there"}, "world: no such world: got 'there', expected one of here"),
            ({"format": 2}, "format: got 2, expected 1"),
            ({"propositions": ("p", "r")}, "propositions: not free in the world 'here': got 'r', expected one of p, q"),
            ({"propositions": ("q",)}, "transitions.1: not learned here: got 'p', expected one of q"),
            (
                {"transitions": (Transition(source=None, target=("q", "p"), count=1),)},
                "transitions.0: expected each name once, in the order of 'propositions', got ('q', 'p')",
            ),
            (
                {"exclusions": (Exclusion(formula=Formula("GF p"), reason=""),)},
                "exclusions.0.formula: 'GF p' is not of the form of a safety formula",
            ),
            (
                {"exclusions": (Exclusion(formula=Formula("G r"), reason=""),)},
                "exclusions.0.formula: not learned here: got 'r'",
            ),
            (
                {"transitions": (Transition(source=None, target=(), count=1),) * 2},
                "transitions.1: the transition stands here a second time",
            ),
        ],
    )
    def test_contents_that_do_not_fit(self, path: Path, changes: dict[str, object], message: str) -> None:
        write_learned_world(path, self.read(path).model_copy(update=changes))
        with pytest.raises(InputError) as caught:
            self.read(path)
        assert message in str(caught.value)
