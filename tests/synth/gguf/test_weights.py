import shutil
from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM

from verilora.serving.engine.generator import Generator
from verilora.specs.files.errors import InputError
from verilora.synth.models.chat import Chat
from verilora.synth.models.generates import Sampling
from verilora.synth.models.language_model import load_model

from tiny_gguf import save_gguf
from tiny_models import END, base_model, save_tiny_model, tiny_tokenizer

QUESTION = ({"role": "user", "content": "turn right at the traffic light"},)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2", "qwen3"])
def test_the_logits_are_those_of_the_folder(tmp_path: Path, texts: list[str], architecture: str, tied: bool) -> None:
    changes = {"head_dim": 16, "rope_theta": 50_000.0, "tie_word_embeddings": tied, "rms_norm_eps": 1e-5}
    if architecture == "qwen2":
        # There it has no name of its own.
        changes["head_dim"] = 8
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts), architecture, **changes)
    path = save_gguf(tmp_path / "model.gguf", folder)
    ours, theirs = base_model(path), load_model(folder, "cpu", 0)
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
    tokens = torch.tensor(Chat(folder).encode([QUESTION]))
    with torch.inference_mode():
        assert torch.equal(ours(tokens).logits, theirs(tokens).logits)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("llama", "Q8_0"), ("llama", "Q4_1"), ("llama", "BF16"), ("llama", "F16"), ("qwen2", "Q5_0"), ("qwen3", "Q4_0")],
)
def test_quantised_weights_are_those_that_transformers_reads(
    tmp_path: Path, texts: list[str], architecture: str, kind: str
) -> None:
    # Transformers' own reader knows no other width of a head.
    sizes = {"hidden_size": 64, "head_dim": 128 if architecture == "qwen3" else 16}
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts), architecture, **sizes)
    path = save_gguf(tmp_path / "model.gguf", folder, quantised=gguf.GGMLQuantizationType[kind])
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32).state_dict()
    ours = base_model(path).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(ours[name], base_model(folder).state_dict()[name])


@pytest.mark.parametrize("has_chat", [True, False], ids=["chat template", "plain text"])
def test_the_tokenizer_is_that_of_the_folder(tmp_path: Path, texts: list[str], has_chat: bool) -> None:
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts, chat=has_chat))
    ours, theirs = Chat(save_gguf(tmp_path / "model.gguf", folder)), Chat(folder)
    assert ours.encode([QUESTION]) == theirs.encode([QUESTION])
    assert ours.tokenizer.get_vocab() == theirs.tokenizer.get_vocab()
    assert (ours.end_ids, ours.banned_ids) == (theirs.end_ids, theirs.banned_ids)
    assert ours.text([5, 6, 7, *ours.end_ids]) == theirs.text([5, 6, 7, *theirs.end_ids])


def test_the_files_beside_it_are_left_alone(tmp_path: Path, texts: list[str], chat_model: Path) -> None:
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer(["quite another text"], chat=False))
    path = save_gguf(folder / "model.gguf", chat_model)
    assert Chat(path).encode([QUESTION]) == Chat(chat_model).encode([QUESTION])


def test_the_special_tokens_are_those_that_the_file_names(tmp_path: Path, chat_model: Path) -> None:
    tokens = Chat(chat_model).tokenizer
    begin = tokens.convert_tokens_to_ids("<|user|>")
    names = {"tokenizer.ggml.bos_token_id": begin, "tokenizer.ggml.eot_token_id": begin + 1}
    chat = Chat(save_gguf(tmp_path / "model.gguf", chat_model, changes=names))
    assert (chat.tokenizer.bos_token_id, chat.tokenizer.eos_token) == (begin, END)
    assert chat.end_ids == {tokens.eos_token_id, begin + 1}


def test_it_answers_as_the_folder_does(tmp_path: Path, chat_model: Path) -> None:
    path = save_gguf(tmp_path / "model.gguf", chat_model)
    sampling = Sampling(temperature=0.7, max_new_tokens=12)
    assert Generator(path).sample([QUESTION] * 3, sampling, 4) == Generator(chat_model).sample(
        [QUESTION] * 3, sampling, 4
    )


def test_the_global_random_state_is_left_alone(tmp_path: Path, chat_model: Path) -> None:
    path = save_gguf(tmp_path / "model.gguf", chat_model)
    state = torch.get_rng_state()
    base_model(path)
    assert torch.equal(state, torch.get_rng_state())


def test_it_can_be_saved_as_a_folder(tmp_path: Path, chat_model: Path) -> None:
    path = save_gguf(tmp_path / "model.gguf", chat_model)
    base_model(path).save_pretrained(tmp_path / "saved")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(chat_model / name, tmp_path / "saved" / name)
    saved = base_model(tmp_path / "saved").state_dict()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in base_model(path).state_dict().items())


def test_a_layer_that_is_not_there(tmp_path: Path, chat_model: Path) -> None:
    path = save_gguf(tmp_path / "model.gguf", chat_model, without=["blk.1.ffn_up.weight"])
    message = r"model.gguf: its weights do not fit its configuration: missing keys model.layers.1.mlp.up_proj.weight"
    with pytest.raises(InputError, match=message):
        load_model(path, "cpu", 0)


def test_weights_that_are_not_finite(tmp_path: Path, chat_model: Path) -> None:
    norm = {"output_norm.weight": torch.full((32,), torch.nan)}
    path = save_gguf(tmp_path / "model.gguf", chat_model, more=norm)
    with pytest.raises(InputError, match=r"model.gguf: model.norm.weight: some weights are not finite"):
        load_model(path, "cpu", 0)


def test_a_tokenizer_of_an_unknown_kind(tmp_path: Path, chat_model: Path) -> None:
    path = save_gguf(tmp_path / "model.gguf", chat_model, changes={"tokenizer.ggml.model": "abacus"})
    with pytest.raises(InputError, match=r"model.gguf: its tokenizer cannot be loaded: \w+: .*abacus"):
        Chat(path)
