import json
import shutil
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import config
from safetensors.torch import load_file, save_file

from verilora.specs.files.errors import InputError
from verilora.synth.models.adapter_files import own_tensors
from verilora.synth.models.language_model import load_peft

from tiny_models import base_model, random_adapter, save_tiny_adapter, save_tiny_model, tiny_tokenizer

LAYERS = "base_model.model.model.layers"
# Not in every PEFT that we take.
NEWER = (("kasa_config", "KasaConfig"), ("monteclora_config", "MontecloraConfig"), ("velora_config", "VeloraConfig"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, chat_model: Path) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapter"), base_model(chat_model))


def with_tensor(adapter: Path, folder: Path, name: str, tensor: torch.Tensor) -> Path:
    """Copy an adapter and add a tensor to its file."""
    shutil.copytree(adapter, folder)
    path = folder / "adapter_model.safetensors"
    save_file({**load_file(path), name: tensor}, path, metadata={"format": "pt"})
    return folder


def test_the_tensors_of_an_adapter_are_its_own(adapter: Path, chat_model: Path) -> None:
    own = own_tensors(adapter, base_model(chat_model))
    assert len(own) == 2 * 2 * 7
    assert all(
        torch.equal(tensor, own[name]) for name, tensor in load_file(adapter / "adapter_model.safetensors").items()
    )


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("base_model.model.model.norm.weight", (32,), "is no part of an adapter, expected lora_A and lora_B"),
        (f"{LAYERS}.0.input_layernorm.weight", (32,), "is no part of an adapter"),
        (f"{LAYERS}.0.mlp.up_proj.base_layer.weight", (64, 32), "is no part of an adapter"),
        (f"{LAYERS}.0.mlp.up_proj.lora_A.default.weight", (4, 32), "is no part of an adapter"),
        (f"{LAYERS}.0.mlp.up_proj.lora_C.weight", (4, 32), "is no part of an adapter"),
        ("model.layers.0.mlp.up_proj.lora_A.weight", (4, 32), "is no part of an adapter"),
        (f"{LAYERS}.7.mlp.up_proj.lora_A.weight", (4, 32), "another model: the base model has no such module"),
        ("base_model.model.model.embed_tokens.weight", (400, 32), "holds embeddings other than the base model's"),
    ],
)
def test_a_tensor_that_is_not_the_adapters_own(
    tmp_path: Path, adapter: Path, chat_model: Path, name: str, shape: tuple[int, ...], message: str
) -> None:
    folder = with_tensor(adapter, tmp_path / "more", name, torch.ones(shape))
    base = base_model(chat_model)
    before = {key: tensor.clone() for key, tensor in base.state_dict().items()}
    with pytest.raises(InputError, match=rf"adapter_model.safetensors: {name}: .*{message}"):
        load_peft(base, folder, is_trainable=True)
    assert all(torch.equal(tensor, before[key]) for key, tensor in base.state_dict().items())


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param({"use_dora": True}, id="DoRA"),
        pytest.param({"use_rslora": True}, id="rsLoRA"),
        pytest.param({"rank_pattern": {"up_proj": 2}, "alpha_pattern": {"down_proj": 3}}, id="patterns"),
        pytest.param({"target_modules": ["q_proj", "embed_tokens"]}, id="embeddings"),
        pytest.param({"init_lora_weights": "pissa"}, id="PiSSA"),
        *(pytest.param({field: getattr(config, name)()}, id=name) for field, name in NEWER if hasattr(config, name)),
        pytest.param({"layers_to_transform": [1], "target_modules": ["q_proj"]}, id="one layer"),
    ],
)
def test_what_peft_trains_is_accepted(tmp_path: Path, texts: list[str], kind: dict[str, object]) -> None:
    model = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts), tie_word_embeddings=False)
    adapter, adapted = random_adapter(tmp_path / "adapter", model, kind)
    token_ids = torch.arange(20)[None]
    with torch.no_grad():
        expected = adapted(input_ids=token_ids).logits
        base = base_model(model)(input_ids=token_ids).logits
        got = load_peft(base_model(model), adapter).eval()(input_ids=token_ids).logits
    assert not torch.allclose(got, base, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:Model with `tie_word_embeddings=True`")
def test_an_adapter_of_tied_embeddings(tmp_path: Path, chat_model: Path) -> None:
    adapter, _ = random_adapter(tmp_path, chat_model, {"target_modules": ["q_proj", "embed_tokens"]})
    with pytest.raises(InputError, match=r"embed_tokens.lora_embedding_A: adapts one of .* embeddings, which are tied"):
        load_peft(base_model(chat_model), adapter)


UNSUPPORTED = [
    (
        {"modules_to_save": ["lm_head"]},
        r"modules_to_save: got \['lm_head'\], which is not supported, because it replaces",
    ),
    ({"trainable_token_indices": [1, 2]}, r"trainable_token_indices: got .*1, 2.*, which is not supported"),
    ({"layer_replication": [(0, 1), (0, 1)]}, r"layer_replication: got .*, which is not supported"),
    ({"alora_invocation_tokens": [1]}, r"alora_invocation_tokens: got \[1\], which is not supported"),
    ({"bias": "all"}, r"bias: got 'all', which is not supported, .* base_model\S+\.bias: expected 'none'"),
    ({"bias": "lora_only"}, r"bias: got 'lora_only', which is not supported, .* base_model\S+\.bias: expected 'none'"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "message"), UNSUPPORTED, ids=[next(iter(kind)) for kind, _ in UNSUPPORTED])
def test_what_is_not_supported_is_refused_by_its_field(
    tmp_path: Path, texts: list[str], kind: dict[str, object], message: str
) -> None:
    # Qwen2 has biases.
    model = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts), "qwen2", tie_word_embeddings=False)
    adapter, _ = random_adapter(tmp_path / "adapter", model, kind)
    with pytest.raises(InputError, match=rf"adapter_config.json: {message}") as refused:
        load_peft(base_model(model), adapter)
    assert "another model" not in str(refused.value)


def test_other_kinds_of_adapters_are_refused(tmp_path: Path, adapter: Path, chat_model: Path) -> None:
    for number, (field, value, expected) in enumerate(
        (("peft_type", "LOHA", "'LORA'"), ("task_type", "SEQ_CLS", "'CAUSAL_LM'"))
    ):
        folder = shutil.copytree(adapter, tmp_path / str(number))
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
        with pytest.raises(InputError, match=rf"adapter_config.json: {field}: got '{value}', expected {expected}"):
            load_peft(base_model(chat_model), folder)


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_biases_of_a_base_model_without_them(tmp_path: Path, chat_model: Path, bias: str) -> None:
    adapter, adapted = random_adapter(tmp_path, chat_model, {"bias": bias})
    token_ids = torch.arange(20)[None]
    with torch.no_grad():
        expected = adapted(input_ids=token_ids).logits
        got = load_peft(base_model(chat_model), adapter).eval()(input_ids=token_ids).logits
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("modules", [["q_proj", "v_proj"], ["up_proj"]], ids=["beside a bias", "alone"])
def test_a_bias_of_the_adapters_own(tmp_path: Path, texts: list[str], modules: list[str]) -> None:
    # Qwen2 has biases for queries, keys and values.
    model = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts), "qwen2")
    adapter, adapted = random_adapter(tmp_path / "adapter", model, {"lora_bias": True, "target_modules": modules})
    token_ids = torch.arange(20)[None]
    with torch.no_grad():
        expected = adapted(input_ids=token_ids).logits
        got = load_peft(base_model(model), adapter).eval()(input_ids=token_ids).logits
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
