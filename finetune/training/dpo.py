"""Direct preference optimisation (Rafailov et al., NeurIPS 2023) of a LoRA adapter on a round's pairs, with TRL.

Runs in the process of the pipeline, or, on several GPUs, as
`accelerate launch -m verilora.finetune.training.dpo RUN ROUND SPECS`.
"""

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset, disable_progress_bars
from torch import distributed
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from ...specs.domain import Domain, load_domain
from ...specs.files.record_file import RecordFile
from ...synth.models.chat import Chat
from ...synth.models.language_model import ignoring_renamed_property, load_model
from ...synth.models.prompt import Prompter
from ...verify.records.run import TrainingRow
from ...verify.records.run_files import RunFiles
from ..run.config import TrainConfig
from ..run.config_file import read_settings
from ..run.seeds import derived_seed
from .checkpoints import CompleteCheckpoints
from .pairs import Pair
from .trainer import (
    StepReport,
    first_model,
    learning_rate,
    save_adapter,
    shared_arguments,
    train_on,
    write_history,
)


class _Trainer(CompleteCheckpoints, DPOTrainer):
    pass


@ignoring_renamed_property()
def train_dpo(
    run: RunFiles, config: TrainConfig, domain: Domain, number: int, progress: Callable[[int], None] = lambda step: None
) -> None:
    """Train the adapter of a round on its pairs, from the last complete checkpoint on, and write it whole.

    Round 1 begins with a fresh adapter, a later one with that of the round before, which is also its reference.
    """
    disable_progress_bars()
    # TRL draws a bar of its own, on any stream, while it computes what the reference says.
    os.environ.setdefault("TQDM_DISABLE", "1")
    pairs = [pair for pair in RecordFile(run.pairs, Pair).read() if pair.round == number]
    chat = Chat(config.model)
    base = load_model(chat.folder, config.device, len(chat.tokenizer))
    rate = learning_rate(config, base)
    model, peft_config = first_model(base, run, config, number)
    trainer = _Trainer(
        model=model,
        args=_arguments(config, run.round(number), rate),
        train_dataset=_dataset(pairs, Prompter(domain, chat.prompt_style, config.settings.reading)),
        processing_class=chat.tokenizer,
        peft_config=peft_config,
        callbacks=[StepReport(progress)],
    )
    train_on(trainer, run.round(number))
    if trainer.is_world_process_zero():
        write_history(run, number, [_row(number, row) for row in trainer.state.log_history if "loss" in row])
        save_adapter(trainer.model, run.round_adapter(number))


def num_steps(num_pairs: int, config: TrainConfig) -> int:
    """Return how many optimiser steps DPO takes."""
    per_epoch = -(-num_pairs // config.optimiser.batch_size)
    return math.ceil(per_epoch * config.optimiser.epochs)


def _arguments(config: TrainConfig, folder: Path, rate: float) -> DPOConfig:
    optimiser = config.optimiser
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    return DPOConfig(
        **shared_arguments(config, folder, rate),
        seed=derived_seed(config.seed, "dpo") % 2**31,
        beta=optimiser.beta,
        disable_dropout=not config.lora.dropout,
        loss_type=list(optimiser.loss_type),
        loss_weights=list(optimiser.loss_weights),
        num_train_epochs=optimiser.epochs,
        # A step has the same pairs on any number of processes that divides them.
        per_device_train_batch_size=-(-optimiser.batch_size // num_processes),
        ddp_find_unused_parameters=False,
        max_length=optimiser.max_length,
        # With several processes TRL looks for what it computed in the wrong process's folder.
        precompute_ref_log_probs=num_processes == 1,
    )


def _dataset(pairs: list[Pair], prompter: Prompter) -> Dataset:
    """Return pairs as conversations; the chat template ends an answer with the end-of-sequence token."""
    return Dataset.from_list(
        [
            {
                "prompt": list(prompter.ask(pair.wording)),
                "chosen": [{"role": "assistant", "content": pair.chosen}],
                "rejected": [{"role": "assistant", "content": pair.rejected}],
            }
            for pair in pairs
        ]
    )


def _row(number: int, logged: dict[str, Any]) -> TrainingRow:
    return TrainingRow(
        round=number,
        step=logged["step"],
        epoch=logged["epoch"],
        loss=logged["loss"],
        accuracy=logged["rewards/accuracies"],
        margin=logged["rewards/margins"],
        learning_rate=logged["learning_rate"],
    )


def main() -> None:
    """Train one round of a run, as a process of its own."""
    run, number, specs = RunFiles(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
    config = read_settings(run)
    train_dpo(run, config, load_domain(config.task, specs), number)
    # Together, when the adapter is written: one that leaves early can abort, and its end is that of the others.
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
