"""What all ways to train an adapter share: where it begins, how fast it learns, how it is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback

from ...specs.files.atomic import replacing
from ...specs.files.errors import InputError
from ...specs.files.record_file import RecordFile
from ...synth.models.language_model import load_peft
from ...verify.records.run import TrainingRow
from ...verify.records.run_files import RunFiles
from ..run.config import TrainConfig
from .checkpoints import last_checkpoint, writing

SMALL = 20_000_000
# For adapters of models below and above that many parameters.
SMALL_LEARNING_RATE, LEARNING_RATE = 1e-3, 5e-5


class StepReport(TrainerCallback):
    """Tells after each step how many are done; raises InputError as soon as an adapter's weights are not finite."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        trained = [parameter for parameter in kwargs["model"].parameters() if parameter.requires_grad]
        # Asked at once: a GPU would be waited for at each of them.
        if not torch.stack([parameter.isfinite().all() for parameter in trained]).all():
            message = (
                f"training diverged: at step {state.global_step} the adapter's weights are no longer finite; expected "
                f"a lower --learning-rate than {args.learning_rate:g}"
            )
            raise InputError(args.output_dir, message)
        self._progress(state.global_step)


def first_model(model: Any, run: RunFiles, config: TrainConfig, number: int) -> tuple[Any, LoraConfig | None]:
    """Return what TRL begins a round with: the base model and a fresh adapter, or the adapter of the round before."""
    if number == 1:
        fresh = LoraConfig(
            r=config.lora.rank,
            lora_alpha=config.lora.alpha,
            lora_dropout=config.lora.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        return model, fresh
    return load_peft(model, run.round_adapter(number - 1), is_trainable=True), None


def learning_rate(config: TrainConfig, model: Any) -> float:
    """Return the learning rate that was chosen, or the default of the model's size."""
    if config.optimiser.learning_rate is not None:
        return config.optimiser.learning_rate
    return SMALL_LEARNING_RATE if model.num_parameters() < SMALL else LEARNING_RATE


def shared_arguments(config: TrainConfig, folder: Path, rate: float) -> dict[str, Any]:
    """Return what TRL is told alike for all ways to train; checkpoints go to a folder."""
    is_cpu = config.device == "cpu"
    return {
        "output_dir": str(folder),
        "use_cpu": is_cpu,
        "bf16": not is_cpu,
        # Activations are kept: TRL's default is to compute them twice. None, because transformers has renamed it.
        "gradient_checkpointing": None,
        "learning_rate": rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "save_strategy": "steps",
        "save_steps": config.optimiser.save_steps,
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
        "log_level": "error",
        "dataloader_pin_memory": not is_cpu,
    }


def train_on(trainer: Any, folder: Path) -> None:
    """Train from the last complete checkpoint in a folder on, or from the beginning."""
    # Without a bar of its own, the trainer would print a line for each step: we report progress.
    trainer.remove_callback(PrinterCallback)
    # What is incomplete is deleted: by one process, before the others look.
    with trainer.accelerator.main_process_first():
        checkpoint = last_checkpoint(folder)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def save_adapter(model: Any, folder: Path) -> None:
    """Write an adapter in PEFT's format; the folder is complete or does not exist."""
    config = model.peft_config["default"]
    if isinstance(config.target_modules, set):
        # PEFT writes a set in the order of its hashes, which is another one in every process.
        config.target_modules = sorted(config.target_modules)
    with writing(folder), replacing(folder) as unfinished:
        model.save_pretrained(str(unfinished), selected_adapters=["default"], save_embedding_layers=False)
        # PEFT's model card is a form that nobody has filled in.
        (unfinished / "README.md").unlink(missing_ok=True)


def write_history(run: RunFiles, number: int, rows: list[TrainingRow]) -> None:
    """Write what a round logged behind the rounds before it, in place of what stood there of it."""
    file = RecordFile(run.training, TrainingRow)
    file.write([*(row for row in file.read() if row.round < number), *rows])
