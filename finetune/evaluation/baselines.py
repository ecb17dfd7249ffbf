"""What the verifier reaches without training, at the same price: the best of n tries, and repair by counterexample.

DPO must earn its place against both (Yang et al. compare with neither). A try costs the tokens that it samples; what
a prompt costs to read is left out, as it is for DPO.
"""

from collections.abc import Sequence

from ...specs.files.record_file import RecordFile
from ...specs.task import Split
from ...verify.records.evaluation import Baseline
from ...verify.records.run import TrainingRow
from ...verify.records.run_files import RunFiles
from ...verify.verdicts.feedback import feedback_of
from ...verify.verdicts.verifier import Verifier
from ..answers.responder import Responder
from ..answers.samples import Ask, read_samples
from ..answers.score import by_prompt, mean_of, num_tokens, share_of, share_of_judged
from ..answers.scored_answer import ScoredAnswer
from ..run.config import Budget


class Baselines:
    """The baselines of a run, on the validation prompts. `verifier` tells the witnesses that repair passes on.

    Answers are chosen by the verdicts to rank by, as in training, and what they are worth is what is reported.
    """

    def __init__(self, run: RunFiles, responder: Responder, verifier: Verifier) -> None:
        self.run = run
        self.responder = responder
        self.verifier = verifier
        self.prompter = responder.models.prompter()

    def compare(self, before: Sequence[ScoredAnswer], after: Sequence[ScoredAnswer]) -> dict[str, Baseline]:
        """Return what the base model, the best of n, repair and DPO reach.

        Short: n tries, of which the first ones stand in `before` already. Full: as many as the tokens that were
        sampled for training pay for.
        """
        config = self.responder.config
        num_tries = config.evaluation.num_tries
        tries = self.responder.ranked(before)
        if config.baselines is Budget.FULL:
            num_tries = max(num_tries, self._affordable(before))
            tries += self._more(before, num_tries)
        one, several = first_tries(tries, 1), first_tries(tries, num_tries)
        repaired, repair_tokens = self._repair(one, num_tries)
        reported = self.responder.reported
        return {
            "base": baseline(reported(one), 1, num_tokens(one)),
            "best_of_n": baseline(reported(best_of(several)), num_tries, num_tokens(several)),
            "repair": baseline(reported(repaired), num_tries, repair_tokens),
            "dpo": baseline(first_tries(after, 1), 1, num_tokens(first_tries(after, 1))),
        }

    def _affordable(self, before: Sequence[ScoredAnswer]) -> int:
        """Return how many tries for each prompt cost what sampling for training did."""
        per_try = num_tokens(before) / len(before)
        num_prompts = len(by_prompt(before))
        return int(training_tokens(self.run) / (per_try * num_prompts))

    def _more(self, before: Sequence[ScoredAnswer], num_tries: int) -> list[ScoredAnswer]:
        """Return the further tries that the full budget pays for."""
        first = first_tries(before, 1)
        num_more = num_tries - len(before) // len(first)
        asks = [self._ask(response) for response in first] * max(0, num_more)
        return self.responder.answer(self.run.evaluated("best-of-n"), "more tries", asks, is_ranking=True)

    def _repair(self, first: Sequence[ScoredAnswer], num_tries: int) -> tuple[list[ScoredAnswer], int]:
        """Return the best response to each prompt after up to so many tries, and how many tokens were sampled.

        Each further try is told the last response and what it breaks; a response that keeps all is kept.
        """
        best = {response.prompt: response for response in first}
        last = dict(best)
        tokens = num_tokens(first)
        for number in range(2, num_tries + 1):
            asks = [self._ask_again(response) for response in last.values() if not response.verdict.all_kept]
            if not asks:
                break
            path, name = self.run.evaluated(f"repair-{number}"), f"repair, try {number}"
            answers = self.responder.answer(path, name, asks, is_ranking=True)
            for response in answers:
                key = response.prompt
                last[key] = response
                best[key] = max(best[key], response, key=lambda known: known.verdict.rank)
            tokens += num_tokens(answers)
        return list(best.values()), tokens

    def _ask(self, response: ScoredAnswer) -> Ask:
        sample = response.sample
        task = self.responder.domain.task(sample.task_id)
        return Ask(task, sample.wording, self.prompter.ask(sample.wording))

    def _ask_again(self, response: ScoredAnswer) -> Ask:
        """Return the question that tells a response and what it breaks; without anything to tell, the first one."""
        ask = self._ask(response)
        verdict = self.verifier.verify_text(response.sample.text, ask.task)
        feedback = feedback_of(verdict, self.responder.domain, self.verifier.rulebook)
        if feedback is None:
            return ask
        return Ask(ask.task, ask.wording, self.prompter.repair(ask.wording, response.sample.text, feedback))


def training_tokens(run: RunFiles) -> int:
    """Return how many tokens were sampled for training, in all rounds: before it, and by GRPO as it goes."""
    before = sum(sample.num_tokens for sample in read_samples(run.samples))
    return before + sum(row.num_tokens or 0 for row in RecordFile(run.training, TrainingRow).read())


def best_of(tries: Sequence[ScoredAnswer]) -> list[ScoredAnswer]:
    """Return the response to each prompt that ranks highest, the first of equals."""
    return [max(answers, key=lambda answer: answer.verdict.rank) for answers in by_prompt(tries)]


def baseline(answers: Sequence[ScoredAnswer], num_tries: int, num_tokens: int, split: Split = "validation") -> Baseline:
    """Return what one way to answer the prompts of a split reaches, and its price."""
    return Baseline(
        split=split,
        n=num_tries,
        num_responses=len(answers),
        num_tokens=num_tokens,
        compliance=mean_of(answers, lambda verdict: verdict.compliance),
        raw_share=mean_of(answers, lambda verdict: verdict.raw_share),
        all_kept=share_of_judged(answers, lambda verdict: verdict.all_kept),
        gate_rate=share_of(answers, lambda verdict: verdict.gates_kept),
    )


def first_tries(tries: Sequence[ScoredAnswer], num_tries: int) -> list[ScoredAnswer]:
    """Return the first tries of each prompt."""
    return [response for responses in by_prompt(tries) for response in responses[:num_tries]]
