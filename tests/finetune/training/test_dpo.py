"""Adapters of every supported architecture, trained by the real trainers from random checkpoints or the tiny base."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from verilora.finetune.answers.verdict_cache import VerdictCache
from verilora.finetune.evaluation.baselines import training_tokens
from verilora.finetune.run.config import GrpoConfig, OptimiserConfig, TrainConfig
from verilora.finetune.run.config_file import write_config
from verilora.finetune.training.dpo import num_steps, train_dpo
from verilora.finetune.training.grpo import train_grpo
from verilora.finetune.training.pairs import Pair
from verilora.serving.engine.generator import Generator
from verilora.specs.domain import Domain, load_domain
from verilora.specs.files.errors import InputError
from verilora.specs.files.record_file import RecordFile
from verilora.verify.records.run import Provenance, TrainingRow
from verilora.verify.records.run_files import RunFiles
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

from tiny_gguf import save_gguf
from tiny_models import base_model, save_tiny_model, tiny_tokenizer

GOOD = "1. wait until dry soil and no empty tank then open valve\n2. hold"
BAD = "1. open valve\n2. go to step 1"
DATA = Path(__file__).parents[2] / "data"
GREENHOUSE = load_domain("greenhouse", DATA)
ORIGIN = Provenance(
    rulebook_digest="",
    sentences_digest="",
    tasks_digest="",
    worlds={},
    model_digest="",
    tokenizer_digest="",
    versions={},
    started="2026-01-01T00:00:00+00:00",
)


class Stopped(Exception):
    """Stands for a kill."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def configuration(model: Path, **changes: object) -> TrainConfig:
    optimiser = OptimiserConfig(epochs=2, batch_size=2, learning_rate=1e-2, save_steps=1)
    config = TrainConfig(task="greenhouse", specs=str(DATA), rulebook="default", world=WorldKind.ABSTRACT)
    return replace(config, model=str(model), optimiser=optimiser, **changes)


def begin(path: Path, config: TrainConfig) -> RunFiles:
    run = RunFiles(path)
    write_config(run, config, ORIGIN)
    pair = Pair(
        round=1,
        task_id="warm-glasshouse",
        wording="Water the plants in the glasshouse",
        chosen=GOOD,
        rejected=BAD,
        chosen_rank=(1.0,),
        rejected_rank=(0.0,),
    )
    RecordFile(run.pairs, Pair).write(
        [pair.model_copy(update={"round": number}) for number in (1, 2) for _ in range(4)]
    )
    return run


def history(run: RunFiles) -> list[TrainingRow]:
    return RecordFile(run.training, TrainingRow).read()


def weights(run: RunFiles, number: int = 1) -> dict[str, torch.Tensor]:
    return load_file(run.round_adapter(number) / "adapter_model.safetensors")


@pytest.mark.parametrize("chat", [True, False], ids=["chat template", "plain text"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_dpo_trains_an_adapter_of_any_model(tmp_path: Path, architecture: str, chat: bool, greenhouse: Domain) -> None:
    model = save_tiny_model(tmp_path / "model", tiny_tokenizer([GOOD, BAD], chat=chat), architecture)
    config = configuration(model)
    run = begin(tmp_path / "run", config)
    train_dpo(run, config, GREENHOUSE, 1)
    assert any(tensor.abs().sum() > 0 for name, tensor in weights(run).items() if "lora_B" in name)
    assert not any("embed" in name or "lm_head" in name for name in weights(run))
    written = json.loads((run.round_adapter(1) / "adapter_config.json").read_text())["target_modules"]
    assert written == sorted(written) != []
    curve = history(run)
    assert [row.step for row in curve] == [1, 2, 3, 4]
    assert curve[-1].margin > curve[0].margin == pytest.approx(0, abs=1e-4)
    Generator(model, adapter=run.round_adapter(1))


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_dpo_trains_an_adapter_of_a_gguf_file_as_of_the_folder(tmp_path: Path, architecture: str) -> None:
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer([GOOD, BAD]), architecture)
    path = save_gguf(tmp_path / "model.gguf", folder)
    adapters = []
    for model in (folder, path):
        config = configuration(model)
        run = begin(tmp_path / f"run of {model.name}", config)
        train_dpo(run, config, GREENHOUSE, 1)
        adapters.append(weights(run))
    assert adapters[0].keys() == adapters[1].keys()
    assert all(torch.equal(tensor, adapters[1][name]) for name, tensor in adapters[0].items())
    written = json.loads((run.round_adapter(1) / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == str(path)
    Generator(path, adapter=run.round_adapter(1))


def test_as_many_steps_are_announced_as_taken(tmp_path: Path) -> None:
    config = configuration(DATA / "greenhouse-base")
    config = replace(config, optimiser=replace(config.optimiser, batch_size=3, epochs=1.2))
    steps: list[int] = []
    train_dpo(begin(tmp_path, config), config, GREENHOUSE, 1, steps.append)
    assert steps == list(range(1, num_steps(4, config) + 1)) == [1, 2, 3]


def test_dpo_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    config = configuration(DATA / "greenhouse-base")
    whole, stopped = begin(tmp_path / "whole", config), begin(tmp_path / "stopped", config)
    train_dpo(whole, config, GREENHOUSE, 1)

    def stop(step: int) -> None:
        if step == 3:
            raise Stopped

    with pytest.raises(Stopped):
        train_dpo(stopped, config, GREENHOUSE, 1, stop)
    assert not stopped.round_adapter(1).exists()
    train_dpo(stopped, config, GREENHOUSE, 1)
    expected, found = weights(whole), weights(stopped)
    assert expected.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert [row.loss for row in history(stopped)] == [row.loss for row in history(whole)]


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """With gloo on CPUs; on GPUs accelerate starts the same module."""
    config = configuration(DATA / "greenhouse-base")
    alone, shared = begin(tmp_path / "alone", config), begin(tmp_path / "shared", config)
    train_dpo(alone, config, GREENHOUSE, 1)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "verilora.finetune.training.dpo", str(shared.path), "1", str(DATA)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)
    expected = [row.loss for row in history(alone)]
    assert [row.loss for row in history(shared)] == pytest.approx(expected, rel=0.01)
    assert expected[-1] < 0.9 * expected[0]
    assert weights(shared).keys() == weights(alone).keys()


def test_training_that_diverges_stops_at_once(tmp_path: Path, greenhouse: Domain) -> None:
    config = configuration(DATA / "greenhouse-base", grpo=GrpoConfig(num_steps=3, group_size=4, batch_size=8))
    config = replace(config, optimiser=replace(config.optimiser, learning_rate=1e30))
    message = r"round-1: training diverged: at step \d the adapter's weights are no longer finite; .*--learning-rate"
    run = begin(tmp_path / "dpo", config)
    with pytest.raises(InputError, match=message):
        train_dpo(run, config, GREENHOUSE, 1)
    assert not run.round_adapter(1).exists()


def test_a_second_round_goes_on_from_the_first_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same learning rate, although its model is the larger by the first round's adapter."""
    base = DATA / "greenhouse-base"
    monkeypatch.setattr("verilora.finetune.training.trainer.SMALL", base_model(base).num_parameters() + 1)
    config = configuration(base)
    config = replace(config, optimiser=replace(config.optimiser, learning_rate=None))
    whole, stopped = begin(tmp_path / "whole", config), begin(tmp_path / "stopped", config)

    def stop(step: int) -> None:
        if step == 3:
            raise Stopped

    for run in (whole, stopped):
        train_dpo(run, config, GREENHOUSE, 1)
    train_dpo(whole, config, GREENHOUSE, 2)
    with pytest.raises(Stopped):
        train_dpo(stopped, config, GREENHOUSE, 2, stop)
    train_dpo(stopped, config, GREENHOUSE, 2)
    first, second, resumed = weights(whole), weights(whole, 2), weights(stopped, 2)
    assert all(torch.equal(second[name], resumed[name]) for name in second)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    rows = history(whole)
    assert history(stopped) == rows
    rates = [max(row.learning_rate for row in rows if row.round == number) for number in (1, 2)]
    assert rates[0] == rates[1]


def test_grpo_learns_from_the_verifiers_reward(tmp_path: Path, greenhouse: Domain) -> None:
    grpo = GrpoConfig(num_steps=3, group_size=4, batch_size=32)
    config = configuration(DATA / "greenhouse-base", grpo=grpo, max_new_tokens=60)
    run = begin(tmp_path / "run", config)
    verdicts = VerdictCache(Verifier(greenhouse, greenhouse.rulebook(), config.settings), run.verdicts, 1)
    train_grpo(run, config, 1, verdicts, lambda step: None)
    curve = history(run)
    assert [row.step for row in curve] == [1, 2, 3]
    assert all(0 <= row.reward <= 1 for row in curve)
    assert all(32 <= row.num_tokens <= 32 * 60 for row in curve)
    assert training_tokens(run) == sum(row.num_tokens for row in curve)
    assert any(tensor.abs().sum() > 0 for name, tensor in weights(run).items() if "lora_B" in name)


@pytest.mark.parametrize("step", [3, 4], ids=["between epochs", "within an epoch"])
def test_grpo_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path: Path, greenhouse: Domain, step: int) -> None:
    grpo = GrpoConfig(num_steps=5, group_size=4, batch_size=8)
    config = configuration(DATA / "greenhouse-base", grpo=grpo, max_new_tokens=60)
    whole, stopped = begin(tmp_path / "whole", config), begin(tmp_path / "stopped", config)
    verdicts = VerdictCache(Verifier(greenhouse, greenhouse.rulebook(), config.settings), whole.verdicts, 1)
    train_grpo(whole, config, 1, verdicts, lambda step: None)

    def stop(number: int) -> None:
        if number == step:
            raise Stopped

    with pytest.raises(Stopped):
        train_grpo(stopped, config, 1, verdicts, stop)
    train_grpo(stopped, config, 1, verdicts, lambda step: None)
    assert [row.epoch for row in history(whole)] == [0.5, 1, 1.5, 2, 2.5]
    assert history(stopped) == history(whole)
    expected, found = weights(whole), weights(stopped)
    assert expected.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
