"""A GGUF file as a plain Hugging Face folder, of the same bytes each time."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ...specs.files.errors import InputError
from ...synth.gguf.gguf_model import read_gguf
from ...synth.models.chat import Chat
from ...synth.models.language_model import load_model
from ...synth.models.model_files import CONFIG, GENERATION_CONFIG, WHOLE_WEIGHTS


def write_plain_folder(path: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file as Hugging Face has them, the weights in fp16.

    Raises InputError for a file that cannot be used, and for one whose chat template does not end an answer as the
    tokenizer does: trained on, such a model would learn an end that sampling does not know.
    """
    model, chat = read_gguf(path), Chat(path)
    check_end(chat)
    folder.mkdir(parents=True)
    loaded = load_model(path, "cpu", 0)
    weights = loaded.state_dict()
    if model.config["tie_word_embeddings"]:
        del weights["lm_head.weight"]
    halves = {name: tensor.to(torch.float16).contiguous() for name, tensor in sorted(weights.items())}
    save_file(halves, folder / WHOLE_WEIGHTS, metadata={"format": "pt"})
    # What transformers would write names its version, and more with each.
    described = {"architectures": [type(loaded).__name__], **model.config, "hidden_act": "silu", "dtype": "float16"}
    _write_json(folder / CONFIG, described)
    _write_json(
        folder / GENERATION_CONFIG,
        {name: model.config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )
    backend = chat.tokenizer.backend_tokenizer
    (folder / "tokenizer.json").write_text(backend.to_str(pretty=True) + "\n", encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model.config["max_position_embeddings"],
            "clean_up_tokenization_spaces": False,
            **model.special_tokens,
        },
    )
    if model.chat_template is not None:
        (folder / "chat_template.jinja").write_text(model.chat_template, encoding="utf-8")
    for written in folder.iterdir():
        # Safetensors writes for the owner alone.
        written.chmod(0o644)


def check_end(chat: Chat) -> None:
    """Raise InputError unless what the chat template writes behind an answer begins with the tokenizer's end token."""
    answer, end = "an answer", chat.tokenizer.eos_token
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": answer}]
    behind = chat.tokenizer.apply_chat_template(turns, tokenize=False).rpartition(answer)[2]
    if not behind.startswith(end):
        message = f"got {behind!r} behind an answer, expected the token {end!r} first, which ends one"
        raise InputError(chat.folder, message, field="chat_template")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
