"""Graded scores: how probably each rule is kept, pending or violated within so many seconds of a learned world."""

from contextlib import suppress

from ...specs.domain import Domain
from ...specs.processes.deadline import Deadline
from ...specs.processes.forked import Unanswered
from ...specs.rulebook import Rulebook
from ...specs.task import Task
from ...synth.controllers.controller import Controller
from ..checking.compiled import Compiler
from ..checking.trace import TraceStatus
from ..records.verdict import Verdict
from ..worlds.probability import WeightedWorld

HorizonScores = dict[str, dict[TraceStatus, float]]
"""By rule; one that took too long is missing."""


class HorizonScorer:
    """Scores controllers in the learned worlds of a domain; keeps worlds and monitors between controllers."""

    def __init__(self, domain: Domain, rulebook: Rulebook, num_letters: int, time_limit: float) -> None:
        self.domain = domain
        self.rulebook = rulebook
        self.num_letters = num_letters
        self._compiler = Compiler(time_limit)
        self._worlds: dict[tuple[str, frozenset[str]], WeightedWorld] = {}

    def score(self, controller: Controller, task: Task, verdict: Verdict, deadline: Deadline) -> HorizonScores:
        """Return the scores of the rules that decide; none if the verdict does not rest on a learned world."""
        if not verdict.learned:
            return {}
        key = (task.world, frozenset(task.relevant))
        if key not in self._worlds:
            learned = self.domain.learned_world(task)
            assert learned is not None, "the verdict rests on it"
            description = self.domain.world(task.world)
            self._worlds[key] = WeightedWorld(learned, description, self.domain.vocabulary, self._compiler)
        formulas = {rule.id: rule.formula for rule in self.rulebook.rules}
        world, scores = self._worlds[key], {}
        for rule in verdict.deciding:
            formula = formulas[rule.rule_id]
            with suppress(Unanswered):
                scores[rule.rule_id] = world.status_probabilities(controller, formula, self.num_letters, deadline)
        return scores
