import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from verilora.serving.engine.generator import Generator
from verilora.specs.files.errors import InputError
from verilora.synth.models.base_model import EMBEDDED_FOLDER
from verilora.synth.models.generates import Sampling
from verilora.synth.models.language_model import load_peft
from verilora.synth.models.model_config import AdapterConfig, GenerationConfig, ModelConfig, read_config

from tiny_models import base_model, save_tiny_adapter, save_tiny_model, tiny_tokenizer

Damage = Callable[[Path], object]


def set_in(name: str, **entries: object) -> Damage:
    """Return what changes fields of a JSON file."""

    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))

    return damage


def written(name: str, text: str | bytes) -> Damage:
    """Return what writes a file."""
    return lambda folder: (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)


def sharded(folder: Path, *, missing: bool = False, **entries: object) -> None:
    """Cut a model's weights into shards, damage the index and take the last of them away."""
    model = base_model(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    if missing:
        sorted(folder.glob("*.safetensors"))[-1].unlink()
    set_in("model.safetensors.index.json", **entries)(folder)


MODELS = [
    (set_in("config.json", hidden_size="192"), r"config.json: hidden_size: got '192', expected a valid integer"),
    (set_in("config.json", hidden_size=32.0), r"config.json: hidden_size: got 32.0, expected a valid integer"),
    (set_in("config.json", hidden_size=True), r"config.json: hidden_size: got True, expected a valid integer"),
    (set_in("config.json", num_hidden_layers=None), r"config.json: num_hidden_layers: got None, expected a valid int"),
    (set_in("config.json", vocab_size=0), r"config.json: vocab_size: got 0, expected greater than or equal to 1"),
    (
        set_in("config.json", num_key_value_heads=3),
        r"config.json: num_key_value_heads: got 3, expected a divisor of .* 4",
    ),
    (set_in("config.json", rms_norm_eps=float("nan")), r"config.json: rms_norm_eps: got nan, expected a finite number"),
    (set_in("config.json", rms_norm_eps="1e-6"), r"config.json: rms_norm_eps: got '1e-6', expected a valid number"),
    (set_in("config.json", rope_theta=float("inf")), r"config.json: rope_theta: got inf, expected a finite number"),
    (set_in("config.json", rope_parameters=[]), r"config.json: rope_parameters: got \[\], expected a valid dict"),
    (
        set_in("config.json", eos_token_id="2"),
        r"config.json: eos_token_id: got '2', expected a valid int.* or a valid list",
    ),
    (set_in("config.json", eos_token_id=[2, "3"]), r"config.json: eos_token_id(.1)?: got "),
    (
        set_in("config.json", tie_word_embeddings="yes"),
        r"config.json: tie_word_embeddings: got 'yes', expected a valid b",
    ),
    (set_in("config.json", prompt_style="long"), r"config.json: prompt_style: got 'long', expected 'plain' or 'full'"),
    (set_in("config.json", hidden_act="abacus"), r"its model cannot be loaded: KeyError: 'abacus'"),
    (set_in("config.json", hidden_act=3), r"config.json: hidden_act: got 3, expected a valid string"),
    (set_in("config.json", model_type=["llama"]), r"config.json: unsupported architecture: got \"\['llama'\]\""),
    (written("config.json", "[" * 100_000), r"config.json: not JSON that can be read: it nests too deeply"),
    (written("config.json", '{"vocab_size": 1' + "0" * 5000 + "}"), r"config.json: not JSON that can be read: Exceeds"),
    (written("config.json", b"\xff{}"), r"config.json:1: expected UTF-8 text, got the byte 0xff"),
    (written("generation_config.json", "[]"), r"generation_config.json: expected a JSON object, got list"),
    (written("generation_config.json", "{"), r"generation_config.json:1: not JSON"),
    (set_in("generation_config.json", eos_token_id="2"), r"generation_config.json: eos_token_id: got '2', expected a "),
    (written("model.safetensors", b""), r"model.safetensors: cannot be read: .*expected a whole safetensors file"),
    (written("model.safetensors", struct.pack("<Q", 2**62)), r"model.safetensors: cannot be read: .*expected a whole"),
    (written("model.safetensors", struct.pack("<Q", 2) + b"[]"), r"model.safetensors: cannot be read: .*expected a wh"),
    (
        lambda folder: sharded(folder, missing=True),
        r"index.json: weight_map: got 'model-\S+', which is not there, expect",
    ),
    (lambda folder: sharded(folder, weight_map=[]), r"index.json: weight_map: got \[\], expected a valid dictionary"),
    (lambda folder: sharded(folder, weight_map={"a": 3}), r"index.json: weight_map.a: got 3, expected a valid string"),
    (written("tokenizer.json", "no JSON"), r"tokenizer.json:1: not JSON: Expecting value"),
    (written("tokenizer.json", "[]"), r"tokenizer.json: expected a JSON object, got list"),
    (set_in("tokenizer.json", model={"type": "BPE"}), r"its tokenizer cannot be loaded: "),
    (written("tokenizer_config.json", "[]"), r"tokenizer_config.json: expected a JSON object, got list"),
    (set_in("tokenizer_config.json", eos_token=7), r"its tokenizer cannot be loaded: "),
    (
        written("chat_template.jinja", "{% if %}"),
        r"chat_template.jinja: chat_template: cannot be rendered: TemplateSyntaxE",
    ),
    (written("chat_template.jinja", "{{ 1 / 0 }}"), r"chat_template.jinja: chat_template: .*: ZeroDivisionError"),
    (written("chat_template.jinja", "{{ raise_exception('no') }}"), r"jinja: chat_template: .*: TemplateError: no"),
]
ADAPTERS = [
    (written("adapter_config.json", "[]"), r"adapter_config.json: expected a JSON object, got list"),
    (written("adapter_config.json", "{"), r"adapter_config.json:1: not JSON"),
    (written("adapter_config.json", "{}"), r"adapter_config.json: peft_type: is missing"),
    (set_in("adapter_config.json", r="16"), r"adapter_config.json: r: got '16', expected a valid integer"),
    (set_in("adapter_config.json", r=0), r"adapter_config.json: r: got 0, expected greater than or equal to 1"),
    (set_in("adapter_config.json", r=8), r"its adapter cannot be loaded: RuntimeError: .*size mismatch"),
    (
        set_in("adapter_config.json", lora_alpha="8"),
        r"adapter_config.json: lora_alpha: got '8', expected a valid number",
    ),
    (
        set_in("adapter_config.json", lora_alpha=float("inf")),
        r"adapter_config.json: lora_alpha: got inf, expected a finit",
    ),
    (
        set_in("adapter_config.json", lora_dropout=2),
        r"adapter_config.json: lora_dropout: got 2, expected less than or eq",
    ),
    (
        set_in("adapter_config.json", target_modules=3),
        r"adapter_config.json: target_modules: got 3, expected a valid st",
    ),
    (set_in("adapter_config.json", target_modules=[3]), r"adapter_config.json: target_modules(.0)?: got "),
    (set_in("adapter_config.json", target_modules="("), r"its adapter cannot be loaded: "),
    (
        set_in("adapter_config.json", rank_pattern={"q": "2"}),
        r"adapter_config.json: rank_pattern.q: got '2', expected a v",
    ),
    (
        set_in("adapter_config.json", use_dora="no"),
        r"adapter_config.json: use_dora: got 'no', expected a valid boolean",
    ),
    (written("adapter_model.safetensors", b"cut"), r"adapter_model.safetensors: cannot be read: .*expected a whole"),
    (written("adapter_model.safetensors", struct.pack("<Q", 2) + b"{}"), r"is an adapter for another model"),
]


@pytest.mark.parametrize(("damage", "message"), MODELS, ids=[message[:60] for _, message in MODELS])
def test_a_models_file_that_cannot_be_used(tmp_path: Path, chat_model: Path, damage: Damage, message: str) -> None:
    folder = shutil.copytree(chat_model, tmp_path / "model")
    damage(folder)
    with pytest.raises(InputError, match=message):
        Generator(folder)


@pytest.mark.parametrize(("damage", "message"), ADAPTERS, ids=[message[:60] for _, message in ADAPTERS])
def test_an_adapters_file_that_cannot_be_used(tmp_path: Path, chat_model: Path, damage: Damage, message: str) -> None:
    adapter = save_tiny_adapter(tmp_path / "adapter", base_model(chat_model))
    damage(adapter)
    with pytest.raises(InputError, match=message):
        load_peft(base_model(chat_model), adapter)


def test_a_template_that_fails_later(tmp_path: Path, chat_model: Path) -> None:
    folder = shutil.copytree(chat_model, tmp_path / "model")
    written("chat_template.jinja", "{% if messages[0].content == 'Go' %}{{ 1 / 0 }}{% endif %}")(folder)
    generator = Generator(folder)
    with pytest.raises(InputError, match=r"chat_template: cannot be rendered: ZeroDivisionError"):
        generator.sample([({"role": "user", "content": "Go"},)], Sampling(), 0)


def test_of_several_templates_the_default_is_taken(tmp_path: Path, texts: list[str]) -> None:
    folder = save_tiny_model(tmp_path, tiny_tokenizer(texts))
    (folder / "chat_template.jinja").unlink()
    named = {"tool_use": "tools", "default": "{{ messages[0].content }} {{ enable_thinking }}"}
    both = [{"name": name, "template": template} for name, template in named.items()]
    set_in("tokenizer_config.json", chat_template=both)(folder)
    assert Generator(folder).chat.render(({"role": "user", "content": "Go"},)) == "Go False"
    set_in("tokenizer_config.json", chat_template=both[:1])(folder)
    with pytest.raises(InputError, match=r"chat_template: got templates tool_use, expected one named default"):
        Generator(folder)


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3"])
def test_what_the_libraries_write_can_be_used(tmp_path: Path, texts: list[str], model_type: str) -> None:
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts), model_type)
    assert read_config(folder / "config.json", ModelConfig).hidden_size == 32
    adapter = save_tiny_adapter(tmp_path / "adapter", base_model(folder))
    assert read_config(adapter / "adapter_config.json", AdapterConfig).r == 4
    assert read_config(folder / "generation_config.json", GenerationConfig).eos_token_id == 1


def test_the_embedded_model_can_be_used() -> None:
    assert read_config(EMBEDDED_FOLDER / "config.json", ModelConfig).prompt_style == "plain"
