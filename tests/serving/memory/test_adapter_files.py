import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import config as lora_config
from safetensors.torch import load_file, save_file

from verilora.serving.engine.generator import Generator
from verilora.serving.memory.adapter_files import adapter_in_training, read_adapter
from verilora.serving.models.architecture import Architecture, architecture_of
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.specs.files.errors import InputError

from tiny_models import base_model, random_adapter, save_tiny_adapter, save_tiny_model, tiny_tokenizer

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LAYERS = "base_model.model.model.layers"
UP = f"{LAYERS}.0.mlp.up_proj.lora_A.weight"
PROMPT = tuple(range(5, 45))
SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """Return a model whose weights are large enough for each projection to count."""
    return save_tiny_model(tmp_path_factory.mktemp("model"), tiny_tokenizer(texts), initializer_range=0.2)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapter"), base_model(model), scale=0.5)


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """Return a model whose vocabulary has to grow, with an output layer of its own."""
    folder = tmp_path_factory.mktemp("untied")
    return save_tiny_model(folder, tiny_tokenizer(texts, chat=False), tie_word_embeddings=False)


def check_tokens(folder: Path, adapter: Path, adapted: torch.nn.Module) -> None:
    """Fail unless the engine continues as PEFT's own forward does, and otherwise than the base model."""
    generator = Generator(folder, adapter=adapter)
    banned = generator.chat.banned_ids
    params = SamplingParams(temperature=0, max_tokens=12, banned_ids=banned, logprobs=1)
    (served,) = generator.engine.generate([Request(prompt=PROMPT, params=params, adapter=str(adapter))])[0]
    token_ids = torch.tensor([PROMPT + served.token_ids])
    with torch.no_grad():
        base, logits = (
            model(input_ids=token_ids).logits[0, len(PROMPT) - 1 : -1] for model in (base_model(folder), adapted)
        )
    chosen = torch.tensor(served.token_ids)[:, None]
    before, expected = (each.log_softmax(-1).gather(1, chosen)[:, 0] for each in (base, logits))
    logits[:, list(banned)] = -torch.inf
    assert tuple(logits.argmax(-1).tolist()) == served.token_ids
    assert served.logprobs is not None
    got = torch.tensor([one.logprob for one in served.logprobs])
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert (got - before).abs().max() > 2e-3, "more than the tolerance"


SERVED: dict[str, dict[str, object]] = {
    "plain": {},
    "rsLoRA": {"use_rslora": True, "lora_alpha": 5},
    "patterns": {
        "rank_pattern": {"up_proj": 2, "layers.0.self_attn.q_proj": 7, r"layers\.1\..*k_proj": 1},
        "alpha_pattern": {"down_proj": 3, "layers.1.self_attn.q_proj": 40},
    },
    "patterns and rsLoRA": {"rank_pattern": {"up_proj": 2}, "alpha_pattern": {"up_proj": 9}, "use_rslora": True},
    "one layer": {"layers_to_transform": [1], "target_modules": ["q_proj", "down_proj"]},
    "a layer by number": {"layers_to_transform": 0, "layers_pattern": "layers", "target_modules": ["o_proj"]},
    "expression": {"target_modules": r".*layers\.1\..*(?:q|down)_proj"},
    "all but some": {"exclude_modules": ["gate_proj", "v_proj"]},
    "nothing named": {"target_modules": None},
    "rank over widths": {"r": 80},
}


@pytest.mark.parametrize("kind", SERVED.values(), ids=SERVED)
def test_an_adapter_is_served_as_peft_computes_it(tmp_path: Path, model: Path, kind: dict[str, object]) -> None:
    check_tokens(model, *random_adapter(tmp_path, model, kind))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(st.sampled_from(SEVEN), min_size=1), rank=st.integers(1, 20))
def test_any_projections_may_be_adapted(
    tmp_path_factory: pytest.TempPathFactory, model: Path, names: set[str], rank: int
) -> None:
    kind = {"target_modules": sorted(names), "r": rank, "lora_alpha": 4 * rank}
    check_tokens(model, *random_adapter(tmp_path_factory.mktemp("some"), model, kind))


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3"])
def test_beside_biases_and_norms_of_heads(tmp_path: Path, texts: list[str], model_type: str) -> None:
    model = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts), model_type)
    check_tokens(model, *random_adapter(tmp_path / "adapter", model, {}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_another_type(tmp_path: Path, model: Path, dtype: torch.dtype) -> None:
    folder, adapted = random_adapter(tmp_path, model, {})
    halved = {name: tensor.to(dtype) for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(halved, folder / WEIGHTS)
    adapted.load_state_dict(
        {name.replace(".weight", ".default.weight"): tensor.float() for name, tensor in halved.items()}, strict=False
    )
    check_tokens(model, folder, adapted)


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_embeddings_that_peft_writes_along(tmp_path: Path, kind: str, plain_model: Path, untied: Path) -> None:
    base = untied if kind == "untied" else plain_model
    folder, adapted = random_adapter(tmp_path, base, {})
    adapted.save_pretrained(str(folder), save_embedding_layers=True)
    names = {name for name in load_file(folder / WEIGHTS) if "lora_" not in name}
    assert len(names) == 2
    check_tokens(base, folder, adapted)


def initialised(model: Path, folder: Path, kind: str) -> torch.nn.Module:
    """Return a model with an adapter that begins with what it takes from the base model, saved as it begins."""
    settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=kind)
    adapted = get_peft_model(base_model(model), settings)
    adapted.peft_config["default"].init_lora_weights = True
    adapted.save_pretrained(str(folder))
    adapted.peft_config["default"].init_lora_weights = kind
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for name, weights in adapted.named_parameters():
            if "lora_" in name:
                weights += 0.3 * torch.randn_like(weights)
    return adapted.eval()


@pytest.mark.parametrize("kind", ["pissa", "olora"])
def test_what_begins_in_the_base_model_is_served_once_converted(tmp_path: Path, model: Path, kind: str) -> None:
    adapted = initialised(model, tmp_path / "first", kind)
    adapted.save_pretrained(str(tmp_path / "raw"))
    with pytest.raises(
        InputError, match=rf"{CONFIG}: init_lora_weights: got '{kind}', .* not served: expected .* saved"
    ):
        Generator(model, adapter=tmp_path / "raw")
    adapted.save_pretrained(
        str(tmp_path / "converted"), path_initial_model_for_weight_conversion=str(tmp_path / "first")
    )
    check_tokens(model, tmp_path / "converted", initialised(model, tmp_path / "again", kind))


@pytest.mark.parametrize("kind", [kind for name, kind in SERVED.items() if name != "nothing named"])
def test_what_trains_is_what_is_saved(tmp_path: Path, model: Path, kind: dict[str, object]) -> None:
    folder, adapted = random_adapter(tmp_path, model, kind)
    architecture = tiny_architecture(model)
    trained = adapter_in_training(adapted, architecture)
    assert trained.digest == read_adapter(folder, architecture, {}).digest
    with torch.no_grad():
        for weights in adapted.parameters():
            weights += 1
    assert trained.digest == read_adapter(folder, architecture, {}).digest, "a copy"


def tiny_architecture(model: Path) -> Architecture:
    return architecture_of(base_model(model).config, model)


def with_config(**entries: object) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / CONFIG
        path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))

    return damage


def with_tensor(name: str, tensor: torch.Tensor) -> Damage:
    return lambda folder: save_file({**load_file(folder / WEIGHTS), name: tensor}, folder / WEIGHTS)


def with_value(value: float) -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        tensors[UP].view(-1)[-1] = value
        save_file(tensors, folder / WEIGHTS)

    return damage


def only(keep: Callable[[str], bool]) -> Damage:
    def damage(folder: Path) -> None:
        save_file(
            {name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if keep(name)}, folder / WEIGHTS
        )

    return damage


def written(content: bytes) -> Damage:
    return lambda folder: (folder / WEIGHTS).write_bytes(content)


def cut(folder: Path) -> None:
    os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size - 100)


def linked(name: str) -> Damage:
    """Return what moves a file out of the folder and links to it."""

    def damage(folder: Path) -> None:
        away = folder.parent / f"away-{name}"
        (folder / name).rename(away)
        (folder / name).symlink_to(away)

    return damage


ROWS = torch.ones(4, 32)
HEADER = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
ALONE = "expected an adapter of lora_A and lora_B alone"
REFUSED: dict[str, tuple[Damage, str]] = {
    "DoRA": (with_config(use_dora=True), rf"{CONFIG}: use_dora: got True, which scales .* is not served: {ALONE}"),
    "lora_bias": (with_config(lora_bias=True), rf"{CONFIG}: lora_bias: got True, which adds a bias .*{ALONE}"),
    "bias": (with_config(bias="all"), rf"{CONFIG}: bias: got 'all', which replaces the base model's biases .*{ALONE}"),
    "bias of some": (with_config(bias="lora_only"), rf"{CONFIG}: bias: got 'lora_only', .*{ALONE}"),
    "modules_to_save": (
        with_config(modules_to_save=["lm_head"]),
        rf"{CONFIG}: modules_to_save: got \['lm_head'\], .*{ALONE}",
    ),
    "target_parameters": (
        with_config(target_parameters=["experts.gate"]),
        rf"{CONFIG}: target_parameters: got \['experts.gate'\], .*{ALONE}",
    ),
    "trainable_token_indices": (
        with_config(trainable_token_indices=[1]),
        rf"{CONFIG}: trainable_token_indices: got \[1\], .*{ALONE}",
    ),
    "KaSA": (with_config(kasa_config={"beta": 1.0}), rf"{CONFIG}: kasa_config: got .*{ALONE}"),
    "VeLoRA": (with_config(velora_config={"scale": 1.0}), rf"{CONFIG}: velora_config: got .*{ALONE}"),
    "MonteCLoRA": (with_config(monteclora_config={"num_samples": 2}), rf"{CONFIG}: monteclora_config: got .*{ALONE}"),
    "QALoRA": (with_config(use_qalora=True), rf"{CONFIG}: use_qalora: got True, .*{ALONE}"),
    "BD-LoRA": (with_config(use_bdlora={"nblocks": 2}), rf"{CONFIG}: use_bdlora: got \{{'nblocks': 2\}}, .*{ALONE}"),
    "another kind": (with_config(peft_type="LOHA"), rf"{CONFIG}: peft_type: got 'LOHA', expected 'LORA'"),
    "LoftQ": (with_config(init_lora_weights="loftq"), rf"{CONFIG}: init_lora_weights: got 'loftq', .* not served"),
    "PiSSA by iteration": (
        with_config(init_lora_weights="pissa_niter_4"),
        rf"{CONFIG}: init_lora_weights: got 'pissa_n",
    ),
    "no expression": (with_config(target_modules="("), rf"{CONFIG}: target_modules: got '\(', expected a regular exp"),
    "no pattern": (with_config(rank_pattern={"[": 2}), rf"{CONFIG}: rank_pattern: got '\[', expected a regular exp"),
    "no pattern of layers": (with_config(layers_pattern=["*"]), rf"{CONFIG}: layers_pattern: got '\*', expected a reg"),
    "another rank": (
        with_config(r=8),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.down_proj.lora_A.weight: got shape \(4, 64\), expected \(8, 64\)",
    ),
    "another rank of some": (
        with_config(rank_pattern={"up_proj": 2}),
        rf"{WEIGHTS}: {UP}: got shape \(4, 32\), expected \(2, 32\): rank 2 by",
    ),
    "more than is named": (
        with_config(target_modules=["q_proj"]),
        rf"{WEIGHTS}: .*: got weights that target_modules of {CONFIG} does not",
    ),
    "less than is named": (
        only(lambda name: "layers.1.self_attn.o_proj" not in name),
        rf"{WEIGHTS}: {LAYERS}.1.self_attn.o_proj.lora_A.weight: is missing, expected it, since target_modules",
    ),
    "half a pair": (only(lambda name: name != UP), rf"{WEIGHTS}: .*\(0, 'up'\), got \['B'\], expected A and B"),
    "no weights": (only(lambda name: False), rf"{WEIGHTS}: got no weights, expected lora_A and lora_B"),
    "LoRA of embeddings": (
        with_tensor("base_model.model.model.embed_tokens.lora_embedding_A", torch.ones(4, 400)),
        rf"{WEIGHTS}: base_model.model.model.embed_tokens.lora_embedding_A: is no part of an adapter that is served",
    ),
    "LoRA of the output layer": (
        with_tensor("base_model.model.lm_head.lora_A.weight", torch.ones(4, 32)),
        rf"{WEIGHTS}: .*'base_model.model.lm_head.lora_A.weight', expected lora_A or lora_B of a decoder layer's proj",
    ),
    "other embeddings": (
        with_tensor("base_model.model.model.embed_tokens.weight", torch.ones(400, 32)),
        rf"{WEIGHTS}: base_model.model.model.embed_tokens.weight: holds embeddings other than the base model's",
    ),
    "a norm": (
        with_tensor("base_model.model.model.norm.weight", torch.ones(32)),
        rf"{WEIGHTS}: base_model.model.model.norm.weight: is no part of an adapter",
    ),
    "a base weight": (
        with_tensor(f"{LAYERS}.0.mlp.up_proj.base_layer.weight", torch.ones(64, 32)),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.up_proj.base_layer.weight: is no part of an adapter",
    ),
    "a magnitude": (
        with_tensor(f"{LAYERS}.0.mlp.up_proj.lora_magnitude_vector", torch.ones(64)),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.up_proj.lora_magnitude_vector: is no part of an adapter",
    ),
    "a diagonal": (
        with_tensor(f"{LAYERS}.0.mlp.up_proj.lora_diag", torch.ones(4)),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.up_proj.lora_diag: is no part of an adapter",
    ),
    "a bias of its own": (
        with_tensor(f"{LAYERS}.0.mlp.up_proj.lora_B.bias", torch.ones(64)),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.up_proj.lora_B.bias: is no part of an adapter",
    ),
    "two adapters": (
        with_tensor(f"{LAYERS}.0.mlp.up_proj.lora_A.other.weight", torch.ones(4, 32)),
        rf"{WEIGHTS}: adapter weights, got .* and .*lora_A.other.weight', expected those of one adapter",
    ),
    "a layer too many": (
        lambda folder: [
            with_tensor(UP.replace(".0.", ".7.").replace("_A", half), ROWS)(folder) for half in ("_A", "_B")
        ],
        rf"{WEIGHTS}: {LAYERS}.7.mlp.up_proj.lora_A.weight: is an adapter for another model: .*expected layers 0 to 1",
    ),
    "another width": (with_tensor(UP, torch.ones(4, 48)), rf"{WEIGHTS}: {UP}: got shape \(4, 48\), expected \(4, 32\)"),
    "three dimensions": (with_tensor(UP, torch.ones(4, 32, 1)), rf"{WEIGHTS}: {UP}: got shape \(4, 32, 1\), expected"),
    "none at all": (with_tensor(UP, torch.ones(0, 32)), rf"{WEIGHTS}: {UP}: got shape \(0, 32\), expected \(4, 32\)"),
    "whole numbers": (
        with_tensor(UP, torch.ones(4, 32, dtype=torch.int8)),
        rf"{WEIGHTS}: {UP}: got numbers of type torch.int8, expected",
    ),
    "eight bits": (
        with_tensor(UP, torch.ones(4, 32).to(torch.float8_e4m3fn)),
        rf"{WEIGHTS}: {UP}: got numbers of type torch.float8",
    ),
    "NaN": (with_value(torch.nan), rf"{WEIGHTS}: {UP}: some weights are not finite, expected numbers; has its"),
    "infinite": (with_value(-torch.inf), rf"{WEIGHTS}: {UP}: some weights are not finite, expected numbers"),
    "a product that overflows": (
        lambda folder: (with_value(1e30)(folder), with_config(lora_alpha=1e38)(folder)),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.\w+.lora_B.weight: some weights are not finite once lora_alpha 1e\+38 scales them",
    ),
    "a scale that overflows": (with_config(lora_alpha=1e300), r"not finite once lora_alpha 1e\+300 scales them"),
    "cut": (cut, rf"{WEIGHTS}: cannot be read: .*expected a whole safetensors file"),
    "empty": (written(b""), rf"{WEIGHTS}: cannot be read: .*expected a whole safetensors file"),
    "a header too large": (written(struct.pack("<Q", 2**62)), rf"{WEIGHTS}: cannot be read: .*expected a whole"),
    "a header over its file": (
        written(struct.pack("<Q", len(HEADER)) + HEADER),
        rf"{WEIGHTS}: cannot be read: .*expected a whole",
    ),
    "weights elsewhere": (linked(WEIGHTS), rf"{WEIGHTS}: is a link that leaves its folder, expected the adapter's own"),
    "configuration elsewhere": (linked(CONFIG), rf"{CONFIG}: is a link that leaves its folder, expected the adapter's"),
    "a link to nothing": (
        lambda folder: (linked(WEIGHTS)(folder), (folder.parent / f"away-{WEIGHTS}").unlink()),
        rf"{WEIGHTS}",
    ),
}


@pytest.fixture(scope="module")
def served(model: Path) -> Generator:
    return Generator(model)


@pytest.mark.parametrize(("damage", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_served_is_refused(
    tmp_path: Path, adapter: Path, served: Generator, damage: Damage, message: str
) -> None:
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    damage(folder)
    with pytest.raises(InputError, match=message) as refused:
        served.with_adapter(folder)
    assert str(folder) in str(refused.value)
    assert str(folder) not in served.engine.list_adapters()


NEWER = (("kasa_config", "KasaConfig"), ("monteclora_config", "MontecloraConfig"), ("velora_config", "VeloraConfig"))
KINDS: dict[str, dict[str, object]] = {
    "use_dora": {"use_dora": True},
    "lora_bias": {"lora_bias": True},
    "bias": {"bias": "all"},
    "embed_tokens": {"target_modules": ["q_proj", "embed_tokens"]},
    "lm_head": {"target_modules": ["q_proj", "lm_head"]},
    "modules_to_save": {"modules_to_save": ["lm_head"]},
    **{field: {field: getattr(lora_config, name)()} for field, name in NEWER if hasattr(lora_config, name)},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("field", "kind"), KINDS.items(), ids=KINDS)
def test_what_peft_writes_of_other_kinds_is_refused_by_name(
    tmp_path: Path, untied: Path, field: str, kind: dict[str, object]
) -> None:
    folder, adapted = random_adapter(tmp_path, untied, kind)
    with pytest.raises(InputError, match=field):
        read_adapter(folder, tiny_architecture(untied), {})
    with pytest.raises(InputError, match=field):
        adapter_in_training(adapted, tiny_architecture(untied))


def test_a_link_that_stays_in_its_folder(tmp_path: Path, adapter: Path, served: Generator) -> None:
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    (folder / WEIGHTS).rename(folder / "other.safetensors")
    (folder / WEIGHTS).symlink_to("other.safetensors")
    served.with_adapter(folder)
    assert str(folder) in served.engine.list_adapters()
