import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file

from verilora.serving.engine.generator import Generator
from verilora.specs.files.errors import InputError
from verilora.synth.models.chat import Chat
from verilora.synth.models.language_model import load_peft
from verilora.synth.models.model_files import model_digest, model_folder, tokenizer_digest

from tiny_gguf import save_gguf
from tiny_models import base_model, save_tiny_adapter, save_tiny_model, tiny_tokenizer


def served(model: Path, adapter: Path) -> object:
    return Generator(model, adapter=adapter)


def trained(model: Path, adapter: Path) -> object:
    return load_peft(base_model(model), adapter)


def change(path: Path, **entries: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def spoil(path: Path, name: str, value: float) -> None:
    tensors = load_file(path)
    tensors[name].view(-1)[-1] = value
    save_file(tensors, path, metadata={"format": "pt"})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda folder: (folder / "config.json").unlink(),
            r"model: expected config.json in this folder, got .*model.safetensors",
            id="no configuration",
        ),
        pytest.param(
            lambda folder: (folder / "config.json").write_text("{"),
            r"config.json:1: not JSON: Expecting property name",
            id="broken configuration",
        ),
        pytest.param(
            lambda folder: (folder / "config.json").write_text("[]"),
            r"config.json: expected a JSON object, got list",
            id="a list",
        ),
        pytest.param(
            lambda folder: change(folder / "config.json", model_type="mamba"),
            r"config.json: unsupported architecture: got 'mamba', expected one of llama, mistral, qwen2, qwen3",
            id="architecture",
        ),
        pytest.param(
            lambda folder: change(folder / "config.json", quantization_config={"quant_method": "awq", "bits": 4}),
            r"config.json: quantization_config: got 'awq', expected weights that are not quantised",
            id="quantised",
        ),
        pytest.param(
            lambda folder: (folder / "model.safetensors").unlink(),
            r"model: expected \*.safetensors in this folder, got .*config.json",
            id="no weights",
        ),
        pytest.param(
            lambda folder: cut(folder / "model.safetensors"),
            "model.safetensors: cannot be read: .*expected a whole",
            id="cut weights",
        ),
        pytest.param(
            lambda folder: change(folder / "config.json", num_hidden_layers=3),
            "model: its weights do not fit its configuration: missing keys model.layers.2",
            id="a layer too many",
        ),
        pytest.param(
            lambda folder: change(folder / "config.json", num_hidden_layers=1),
            "model: its weights do not fit its configuration: unexpected keys model.layers.1",
            id="a layer too few",
        ),
        pytest.param(
            lambda folder: change(folder / "config.json", intermediate_size=32),
            "model: its model cannot be loaded: ",
            id="other sizes",
        ),
        pytest.param(
            lambda folder: (folder / "tokenizer.json").unlink(),
            "model: its tokenizer cannot be loaded: ",
            id="no tokenizer",
        ),
        pytest.param(
            lambda folder: (folder / "tokenizer.json").write_text("{}"),
            "model: its tokenizer cannot be loaded: ",
            id="broken tokenizer",
        ),
        pytest.param(
            lambda folder: change(folder / "tokenizer_config.json", eos_token=None),
            "model: its tokenizer has no token that ends a response: expected an eos_token",
            id="no end",
        ),
    ],
)
def test_models_that_cannot_be_loaded(
    tmp_path: Path, chat_model: Path, damage: Callable[[Path], object], message: str
) -> None:
    folder = shutil.copytree(chat_model, tmp_path / "model")
    damage(folder)
    with pytest.raises(InputError, match=message):
        Generator(folder)


def test_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing: got nothing there, expected a model's or an adapter's folder"):
        Generator(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: got a file that begins with b'', expected a model's folder or a GGUF"):
        Generator(tmp_path / "file")


def test_the_digests_of_a_gguf_file(tmp_path: Path, chat_model: Path) -> None:
    path, other = save_gguf(tmp_path / "model.gguf", chat_model), tmp_path / "other.gguf"
    assert model_folder(path) == path
    assert model_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    save_gguf(other, chat_model, more={"output_norm.weight": torch.zeros(32)})
    assert model_digest(other) != model_digest(path)
    assert tokenizer_digest(other) == tokenizer_digest(path)
    chat = Chat(path)
    assert (chat.digest, chat.tokenizer_digest) == (model_digest(path), tokenizer_digest(path))


def test_a_gguf_file_of_another_architecture(tmp_path: Path, chat_model: Path) -> None:
    path = save_gguf(tmp_path / "model.gguf", chat_model, changes={"general.architecture": "gemma3"})
    with pytest.raises(InputError, match=r"model.gguf: general.architecture: unsupported architecture: got 'gemma3'"):
        model_folder(path)


def test_a_model_that_the_hub_cannot_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route\nmore")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    message = "^nobody/nothing: no such folder, and not to be had from the Hugging Face hub: ConnectionError: no route$"
    with pytest.raises(InputError, match=message):
        Generator("nobody/nothing")


def test_all_files_of_a_sharded_model_come_from_the_hub(
    tmp_path: Path, chat_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, cache = tmp_path / "hub", tmp_path / "cache"
    whole = base_model(chat_model)
    whole.save_pretrained(hub, max_shard_size="20KB")
    for path in chat_model.iterdir():
        if not path.name.startswith("model"):
            shutil.copy(path, hub / path.name)
    (hub / "pytorch_model.bin").write_text("not wanted")

    def snapshot_download(hub_id: str, allow_patterns: list[str], *, local_files_only: bool) -> str:
        assert not local_files_only
        cache.mkdir()
        for name in filter_repo_objects([path.name for path in hub.iterdir()], allow_patterns=allow_patterns):
            shutil.copy(hub / name, cache / name)
        return str(cache)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert len(list(hub.glob("*.safetensors"))) > 2
    loaded = base_model("somebody/sharded").state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in whole.state_dict().items())
    assert {path.name for path in hub.iterdir()} - {path.name for path in cache.iterdir()} == {"pytorch_model.bin"}


def test_a_device_that_is_not_there(chat_model: Path) -> None:
    with pytest.raises(InputError, match=r"^device 'abacus': cannot be used here: .*expected cpu, or cuda on a GPU"):
        Generator(chat_model, device="abacus")


def test_adapters_that_do_not_fit(tmp_path: Path, chat_model: Path, texts: list[str]) -> None:
    tokenizer = tiny_tokenizer(texts)
    shallow = save_tiny_model(tmp_path / "shallow", tokenizer, num_hidden_layers=1)
    wider = save_tiny_model(tmp_path / "wider", tokenizer, hidden_size=64)
    adapter = save_tiny_adapter(tmp_path / "adapter", base_model(chat_model))
    message = r"base_model.model.model.layers.1\S+: is an adapter for another model: the base model has no such module"
    for load in (served, trained):
        with pytest.raises(InputError, match=rf"adapter_model.safetensors: {message}"):
            load(shallow, adapter)
    with pytest.raises(InputError, match=r"adapter: its adapter cannot be loaded: RuntimeError: .* size mismatch for "):
        trained(wider, adapter)
    (adapter / "adapter_model.safetensors").unlink()
    for load in (served, trained):
        with pytest.raises(InputError, match=r"adapter: expected adapter_model.safetensors in this folder, got "):
            load(chat_model, adapter)
        with pytest.raises(InputError, match="nowhere: got nothing there"):
            load(chat_model, tmp_path / "nowhere")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite(tmp_path: Path, chat_model: Path, value: float) -> None:
    adapter = save_tiny_adapter(tmp_path / "adapter", base_model(chat_model))
    tensor = "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight"
    spoil(adapter / "adapter_model.safetensors", tensor, value)
    message = "some weights are not finite, expected numbers"
    for load in (served, trained):
        with pytest.raises(InputError, match=rf"adapter_model.safetensors: {tensor}: {message}"):
            load(chat_model, adapter)
    folder = shutil.copytree(chat_model, tmp_path / "model")
    spoil(folder / "model.safetensors", "model.norm.weight", value)
    with pytest.raises(InputError, match=rf"model.safetensors: model.norm.weight: {message}"):
        Generator(folder)


def test_the_shard_of_a_weight_that_is_not_finite(tmp_path: Path, chat_model: Path) -> None:
    folder = shutil.copytree(chat_model, tmp_path / "model")
    whole = base_model(folder)
    (folder / "model.safetensors").unlink()
    with torch.no_grad():
        whole.get_parameter("model.layers.1.mlp.up_proj.weight")[0] = torch.nan
    whole.save_pretrained(folder, max_shard_size="20KB")
    with pytest.raises(InputError, match=r"model-\d+-of-\d+.safetensors: model.layers.1.mlp.up_proj.weight: some "):
        Generator(folder)


def test_a_base_model_with_an_adapter_in_its_folder(tmp_path: Path, chat_model: Path) -> None:
    folder = shutil.copytree(chat_model, tmp_path / "model")
    save_tiny_adapter(folder, base_model(chat_model))
    with pytest.raises(InputError, match=r"adapter_config.json: an adapter's file in a base model's folder"):
        Generator(folder)
