"""Rounds: fresh samples from the last adapter, their verdicts, pairs, and an adapter trained on them."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..specs.files.errors import InputError
from ..specs.files.record_file import RecordFile
from ..verify.commands.terminal import progress
from ..verify.records.evaluation import Mean
from ..verify.records.run_files import RunFiles
from ..verify.records.verdict import Mode
from .answers.responder import Responder
from .answers.samples import asks_of
from .answers.score import mean_quality
from .answers.scored_answer import ScoredAnswer
from .evaluation.splits import Responses, evaluate
from .run.config import Algorithm, TrainConfig
from .training.pairs import Pair, make_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRound:
    """What a round made: its number, how many pairs, the answers with its adapter.

    `validation` is the mean quality of those to the validation split, which decides between rounds; so it rests on
    other recorded waits than what is reported.
    """

    number: int
    num_pairs: int
    responses: Responses
    validation: Mean


class Rounds:
    """The rounds of a run. The best by validation is kept; the first that does not improve on it is the last."""

    def __init__(self, run: RunFiles, responder: Responder) -> None:
        self.run = run
        self.responder = responder
        self.config = responder.config

    def train(self) -> list[TrainedRound]:
        """Return the rounds that were trained, the ones done earlier included; raises InputError without any pair."""
        done: list[TrainedRound] = []
        for number in range(1, self.config.rounds + 1):
            num_pairs = self._train(number)
            if not self.run.round_adapter(number).exists():
                break
            adapter = self.run.round_adapter(number)
            responses = evaluate(self.run, self.responder, f"after-{number}", adapter)
            validation = mean_quality(self.responder.ranked(responses["validation"]))
            done.append(TrainedRound(number=number, num_pairs=num_pairs, responses=responses, validation=validation))
            if best(done) is not done[-1]:
                break
        return done

    def _train(self, number: int) -> int:
        """Train the adapter of a round if it is not there, and return the number of its pairs; GRPO needs none.

        Without pairs a later round has nothing to learn, and leaves no adapter.
        """
        if self.config.algorithm is Algorithm.GRPO:
            self._train_grpo(number)
            return 0
        num_pairs = self._pair(number, self._sample(number))
        if num_pairs and not self.run.round_adapter(number).exists():
            self.responder.models.release()
            self._train_dpo(number, num_pairs)
        return num_pairs

    def _sample(self, number: int) -> list[ScoredAnswer]:
        config = self.config
        asks = asks_of(self.responder.domain, "train", config.samples, self.responder.models.prompter())
        adapter = self.run.round_adapter(number - 1) if number > 1 else None
        first = (number - 1) * len(asks)
        return self.responder.answer(self.run.samples, f"round {number}", asks, adapter, first=first, is_ranking=True)

    def _pair(self, number: int, samples: Sequence[ScoredAnswer]) -> int:
        """Write the pairs of a round if they are not there, and return how many there are."""
        config = self.config
        file = RecordFile(self.run.pairs, Pair)
        known = file.read()
        of_round = [pair for pair in known if pair.round == number]
        if of_round:
            return len(of_round)
        pairs = make_pairs(samples, config.mode, config.pairs, config.seed + number, number)
        if not pairs and number == 1:
            message = f"no pair: of {len(samples)} answers no two to one task are {_apart(samples, config)}"
            raise InputError(self.run.samples, f"{message}; no adapter was made")
        file.write([*known, *pairs])
        return len(pairs)

    def _train_dpo(self, number: int, num_pairs: int) -> None:
        from .training.dpo import num_steps, train_dpo

        num_devices = torch.cuda.device_count() if self.config.device == "cuda" else 0
        if num_devices > 1:
            with self.responder.times.stage(f"DPO, round {number}"):
                self._launch(number, num_devices)
            return
        out, steps = self.responder.out, num_steps(num_pairs, self.config)
        with self.responder.times.stage(f"DPO, round {number}"), progress(out, "  steps", steps) as report:
            train_dpo(self.run, self.config, self.responder.domain, number, report)

    def _launch(self, number: int, num_devices: int) -> None:
        """Train on several GPUs, one process each."""
        command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(num_devices)]
        command += ["--mixed_precision", "bf16", "-m", "verilora.finetune.training.dpo"]
        command += [str(self.run.path), str(number), self.config.specs]
        done = subprocess.run(command, check=False)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"training on {num_devices} GPUs ended with exit code {done.returncode}")

    def _train_grpo(self, number: int) -> None:
        from .training.grpo import train_grpo

        if self.run.round_adapter(number).exists():
            return
        self.responder.models.release()
        out, steps = self.responder.out, self.config.grpo.num_steps
        with self.responder.times.stage(f"GRPO, round {number}"), progress(out, "  steps", steps) as report:
            train_grpo(self.run, self.config, number, self.responder.ranking, report)


def _apart(samples: Sequence[ScoredAnswer], config: TrainConfig) -> str:
    """Return what two responses of a pair must be, and how good the best one is."""
    if config.mode is Mode.PAPER:
        most_kept = max(answer.verdict.raw_kept for answer in samples)
        return f"{config.pairs.margin:g} rules apart with a better one that parses (the best keeps {most_kept})"
    most = max(answer.verdict.compliance or 0.0 for answer in samples)
    least = config.pairs.min_chosen
    return f"{config.pairs.margin:g} apart with the better one at {least:g} or more (the best has {most:.2f})"


def best(rounds: Sequence[TrainedRound]) -> TrainedRound:
    """Return the best round by validation, the first of equals."""
    return max(rounds, key=lambda entry: entry.validation.mean)
