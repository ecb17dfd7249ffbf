import shutil
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

from damaged_adapters import CONFIG, REFUSED, WEIGHTS, Damage
from tiny_models import base_model, random_adapter, save_tiny_adapter, save_tiny_model, tiny_tokenizer

PROMPT = tuple(range(5, 45))
SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


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
