from pathlib import Path

import gguf
import pytest
import torch

from verilora.finetune.base.plain_folder import write_plain_folder
from verilora.specs.files.errors import InputError
from verilora.synth.models.chat import Chat
from verilora.synth.models.model_files import model_digest, model_folder, tokenizer_digest

from tiny_gguf import save_gguf
from tiny_models import CHAT_TEMPLATE, base_model, save_tiny_model, tiny_tokenizer

TEXTS = ["Water the plants in the glasshouse"]
QUESTION = ({"role": "user", "content": TEXTS[0]},)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "model", tiny_tokenizer(TEXTS))


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_the_folder_is_the_model_of_the_file(tmp_path: Path, architecture: str, tied: bool) -> None:
    sizes = {"hidden_size": 64, "head_dim": 16, "tie_word_embeddings": tied}
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer(TEXTS), architecture, **sizes)
    path = save_gguf(tmp_path / "model.gguf", folder, quantised=gguf.GGMLQuantizationType.Q8_0)
    write_plain_folder(path, tmp_path / "plain")
    assert model_folder(tmp_path / "plain") == tmp_path / "plain"
    ours, theirs = base_model(tmp_path / "plain"), base_model(path)
    weights = theirs.state_dict()
    assert all(torch.equal(tensor, weights[name].half().float()) for name, tensor in ours.state_dict().items())
    assert ours.config.rope_parameters == theirs.config.rope_parameters
    plain, packed = Chat(tmp_path / "plain"), Chat(path)
    assert plain.encode([QUESTION]) == packed.encode([QUESTION])
    assert (plain.end_ids, plain.banned_ids) == (packed.end_ids, packed.banned_ids)


def test_it_has_the_same_bytes_each_time(tmp_path: Path, model: Path) -> None:
    path = save_gguf(tmp_path / "model.gguf", model)
    for name in ("one", "two"):
        write_plain_folder(path, tmp_path / name)
    assert model_digest(tmp_path / "one") == model_digest(tmp_path / "two")
    assert tokenizer_digest(tmp_path / "one") == tokenizer_digest(tmp_path / "two")
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


@pytest.mark.parametrize("behind", ["<|user|>", "\n<|end|>", ""])
def test_a_template_that_ends_an_answer_otherwise(tmp_path: Path, model: Path, behind: str) -> None:
    template = CHAT_TEMPLATE.replace("<|end|>", behind.replace("\n", "\\n"))
    path = save_gguf(tmp_path / "model.gguf", model, changes={"tokenizer.chat_template": template})
    message = r"model.gguf: chat_template: got .* behind an answer, expected the token '<\|end\|>' first"
    with pytest.raises(InputError, match=message):
        write_plain_folder(path, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_an_end_token_that_the_template_does_not_write(tmp_path: Path, model: Path) -> None:
    wrong = {"tokenizer.ggml.eos_token_id": 2}
    path = save_gguf(tmp_path / "model.gguf", model, changes=wrong)
    with pytest.raises(InputError, match=r"got '<\|end\|>' behind an answer, expected the token '<\|user\|>' first"):
        write_plain_folder(path, tmp_path / "plain")
