"""Group relative policy optimisation (Shao et al., 2024) of a LoRA adapter, with the verifier as its reward, with TRL.

The reward of an answer is its compliance (in paper mode the share of rules that it keeps); answers to one prompt are
compared with each other. It needs no pairs and samples as it goes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset, disable_progress_bars
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from ...specs.domain import Domain
from ...synth.models.chat import Chat
from ...synth.models.language_model import ignoring_renamed_property, load_model
from ...synth.models.prompt import Prompter
from ...verify.records.run import TrainingRow
from ...verify.records.run_files import RunFiles
from ..answers.samples import asks_of
from ..answers.verdict_cache import VerdictCache
from ..run.config import TrainConfig
from ..run.seeds import derived_seed
from .checkpoints import CompleteCheckpoints
from .trainer import (
    StepReport,
    first_model,
    learning_rate,
    save_adapter,
    shared_arguments,
    train_on,
    write_history,
)


class _Sampler(RepeatSampler):
    """TRL's order of prompts, also where training goes on: it draws an epoch's order after those of all before."""

    def set_epoch(self, epoch: int) -> None:
        """Be where a run that was never stopped begins an epoch."""
        self.generator.manual_seed(self.generator.initial_seed())
        for _ in range(epoch):
            torch.randperm(self.num_samples, generator=self.generator)


class _Trainer(CompleteCheckpoints, GRPOTrainer):
    def _get_train_sampler(self, dataset: Any = None) -> RepeatSampler:
        made = cast(RepeatSampler, super()._get_train_sampler(dataset))
        return _Sampler(
            data_source=made.data_source,
            mini_repeat_count=made.mini_repeat_count,
            batch_size=made.batch_size,
            repeat_count=made.repeat_count,
            shuffle=made.shuffle,
            seed=made.seed,
        )


@ignoring_renamed_property()
def train_grpo(
    run: RunFiles, config: TrainConfig, number: int, verdicts: VerdictCache, progress: Callable[[int], None]
) -> None:
    """Train the adapter of a round on the verifier's reward, from the last complete checkpoint on."""
    disable_progress_bars()
    domain = verdicts.verifier.domain
    chat = Chat(config.model)
    base = load_model(chat.folder, config.device, len(chat.tokenizer))
    rate = learning_rate(config, base)
    model, peft_config = first_model(base, run, config, number)
    prompter = Prompter(domain, chat.prompt_style, config.settings.reading)
    trainer = _Trainer(
        model=model,
        reward_funcs=_reward(verdicts, domain),
        args=_arguments(config, run.round(number), rate),
        train_dataset=_dataset(domain, prompter, config),
        processing_class=chat.tokenizer,
        peft_config=peft_config,
        callbacks=[StepReport(progress)],
    )
    train_on(trainer, run.round(number))
    write_history(run, number, [_row(number, row, config) for row in trainer.state.log_history if "reward" in row])
    save_adapter(trainer.model, run.round_adapter(number))


def _reward(verdicts: VerdictCache, domain: Domain) -> Callable[..., list[float | None]]:
    def reward(completions: list[Any], task_id: list[str], **_: Any) -> list[float | None]:
        texts = [messages[0]["content"] for messages in completions]
        found = verdicts.verify([(text, domain.task(name)) for text, name in zip(texts, task_id, strict=True)])
        return [entry.verdict.quality or 0.0 for entry in found]

    return reward


def _dataset(domain: Domain, prompter: Prompter, config: TrainConfig) -> Dataset:
    """Return the train prompts, repeated until they fill a step: TRL leaves out what does not fill one."""
    asks = asks_of(domain, "train", 1, prompter)
    asks *= -(-config.grpo.batch_size // (config.grpo.group_size * len(asks)))
    return Dataset.from_list([{"prompt": list(ask.conversation), "task_id": ask.task.id} for ask in asks])


def _arguments(config: TrainConfig, folder: Path, rate: float) -> GRPOConfig:
    return GRPOConfig(
        **shared_arguments(config, folder, rate),
        seed=derived_seed(config.seed, "grpo") % 2**31,
        beta=config.grpo.beta,
        max_steps=config.grpo.num_steps,
        num_generations=config.grpo.group_size,
        per_device_train_batch_size=config.grpo.batch_size,
        temperature=config.temperature,
        top_p=config.top_p,
        max_completion_length=config.max_new_tokens,
    )


def _row(number: int, logged: dict[str, Any], config: TrainConfig) -> TrainingRow:
    """Return a step's figures: the mean reward instead of DPO's accuracy and margin, and the tokens it sampled."""
    return TrainingRow(
        round=number,
        step=logged["step"],
        epoch=logged["epoch"],
        loss=logged["loss"],
        reward=logged["reward"],
        num_tokens=round(logged["completions/mean_length"] * config.grpo.batch_size),
        learning_rate=logged["learning_rate"],
    )
