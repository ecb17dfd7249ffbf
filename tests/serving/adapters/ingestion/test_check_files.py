import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from verilora.serving.adapters.ingestion.check_files import check_files
from verilora.serving.memory.adapter_files import read_adapter
from verilora.serving.models.architecture import architecture_of
from verilora.serving.models.projections import projections_of
from verilora.specs.files.errors import InputError
from verilora.synth.models.model_files import described

from damaged_adapters import CONFIG, REFUSED, UP, WEIGHTS, Damage, with_config
from tiny_models import base_model, random_adapter, save_tiny_adapter, save_tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), tiny_tokenizer(texts))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapter"), base_model(model))


@pytest.fixture
def copy(tmp_path: Path, adapter: Path) -> Path:
    return shutil.copytree(adapter, tmp_path / "adapter")


def check(folder: Path, model: Path, max_rank: int = 64) -> Any:
    return check_files(folder, projections_of(described(model)), max_rank)


KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "patterns": {"rank_pattern": {"up_proj": 2, r"layers\.1\..*k_proj": 1}, "alpha_pattern": {"down_proj": 3}},
    "one layer": {"layers_to_transform": [1], "target_modules": ["q_proj", "down_proj"]},
    "expression": {"target_modules": r".*layers\.1\..*(?:q|down)_proj", "use_rslora": True},
    "nothing named": {"target_modules": None},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_the_engine_serves_is_accepted_and_measured_alike(
    tmp_path: Path, model: Path, kind: dict[str, object]
) -> None:
    folder, adapted = random_adapter(tmp_path, model, kind)
    weights = read_adapter(folder, architecture_of(adapted.config, model), {})
    found = check(folder, model)
    assert (found.rank, found.num_bytes) == (weights.max_rank, weights.num_bytes)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_another_type(copy: Path, model: Path, dtype: torch.dtype) -> None:
    save_file({name: tensor.to(dtype) for name, tensor in load_file(copy / WEIGHTS).items()}, copy / WEIGHTS)
    assert check(copy, model).rank == 4


def test_a_copy_of_the_embeddings_is_left_to_the_engine_and_counts_nothing(copy: Path, model: Path) -> None:
    before = check(copy, model)
    tensors = {**load_file(copy / WEIGHTS), "base_model.model.model.embed_tokens.weight": torch.ones(400, 32)}
    save_file(tensors, copy / WEIGHTS)
    assert check(copy, model) == before


def test_embeddings_of_another_width_are_refused(copy: Path, model: Path) -> None:
    tensors = {**load_file(copy / WEIGHTS), "base_model.model.lm_head.weight": torch.ones(400, 33)}
    save_file(tensors, copy / WEIGHTS)
    with pytest.raises(InputError, match="holds embeddings other than the base model's"):
        check(copy, model)


# Links are not followed where files are opened, and embeddings are compared with the base model's by the engine.
ELSEWHERE = {"weights elsewhere", "configuration elsewhere", "a link to nothing", "other embeddings"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [both for name, both in REFUSED.items() if name not in ELSEWHERE],
    ids=[name for name in REFUSED if name not in ELSEWHERE],
)
def test_what_the_engine_refuses_is_refused(copy: Path, model: Path, damage: Damage, message: str) -> None:
    damage(copy)
    with pytest.raises(InputError) as refused:
        check(copy, model)
    # The same file is at fault, and where a field is named it is the same.
    assert message.partition(":")[0].replace("\\", "") in str(refused.value) or message.startswith("not finite")


def test_vllm_34186_an_adapter_that_matches_no_module(copy: Path, model: Path) -> None:
    with_config(target_modules=["c_attn"])(copy)
    renamed = {name.replace("up_proj", "c_attn"): one for name, one in load_file(copy / WEIGHTS).items() if name == UP}
    save_file(renamed, copy / WEIGHTS)
    with pytest.raises(InputError, match=r"lora_A.weight', expected lora_A or lora_B of a decoder layer's projection"):
        check(copy, model)


def test_vllm_34591_an_adapter_of_nothing(copy: Path, model: Path) -> None:
    save_file({}, copy / WEIGHTS)
    with pytest.raises(InputError, match="got no weights"):
        check(copy, model)


@pytest.mark.parametrize(
    "entries", [{"r": 10**6}, {"rank_pattern": {"up_proj": 10**6}}, {"r": 65}], ids=["rank", "pattern", "one more"]
)
def test_a_rank_beyond_the_limit(copy: Path, model: Path, entries: dict[str, object]) -> None:
    with_config(**entries)(copy)
    with pytest.raises(InputError, match=r"(r|rank_pattern): got \d+, expected at most 64"):
        check(copy, model)


NEVER_ENDS = "(?:(?:.*)*)*x"
PATTERNS: dict[str, dict[str, object]] = {
    "target_modules": {"target_modules": NEVER_ENDS},
    "exclude_modules": {"exclude_modules": NEVER_ENDS},
    "rank_pattern": {"rank_pattern": {NEVER_ENDS: 4}},
    "alpha_pattern": {"alpha_pattern": {NEVER_ENDS: 4.0}},
    "layers_pattern": {
        "layers_pattern": NEVER_ENDS, "layers_to_transform": [0, 1], "target_modules": ["q_proj"],
    },
    "many": {"rank_pattern": {f".*x{number}.*y": 4 for number in range(30_000)}},
}  # fmt: skip


@pytest.mark.parametrize("entries", PATTERNS.values(), ids=PATTERNS)
def test_a_pattern_that_never_ends(copy: Path, model: Path, entries: dict[str, object]) -> None:
    with_config(**entries)(copy)
    with pytest.raises(InputError, match="its patterns take more than"):
        check(copy, model)


def test_duplicate_keys_hide_nothing(copy: Path, model: Path) -> None:
    text = (copy / CONFIG).read_text()
    (copy / CONFIG).write_text(text.replace("{", '{"r": 4,', 1))
    assert json.loads((copy / CONFIG).read_text())["r"] == 4
    with pytest.raises(InputError, match="r: stands twice"):
        check(copy, model)
