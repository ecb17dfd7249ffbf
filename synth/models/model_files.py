"""A language model's files: where they are, and the digests that name them. Needs no torch."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from ...specs.files.errors import InputError, expected_one_of
from ..gguf.gguf_model import read_gguf
from ..gguf.header import read_header
from .base_model import EMBEDDED_FOLDER
from .model_config import (
    AdapterConfig,
    GenerationConfig,
    ModelConfig,
    WeightIndex,
    parse_config,
    read_config,
    read_object,
)  # fmt: skip

# Those that the serving engine runs too.
MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
CONFIG, WEIGHTS = "config.json", "*.safetensors"
GENERATION_CONFIG = "generation_config.json"
WHOLE_WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
# All that decides what a model answers: which file holds which weights, and where an answer ends, too.
_MODEL = (CONFIG, WEIGHTS, "*.safetensors.index.json", GENERATION_CONFIG)
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_TOKENIZER = (
    "added_tokens.json", "chat_template*", "merges.txt", "special_tokens_map.json", "tokenizer*", "vocab.*",
)  # fmt: skip
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def model_folder(name: str | Path | None, *, is_offline: bool = False) -> Path:
    """Return the folder of a model: the embedded one (None), a folder, or one of the Hugging Face hub, downloaded.

    Offline one of the hub must have been downloaded before. A model in a GGUF file has no folder: the file stands for
    it. Raises InputError for a model that is not there or not of a supported architecture.
    """
    folder = EMBEDDED_FOLDER if name is None else Path(name)
    if folder.is_file():
        return read_gguf(folder).path
    if not folder.exists() and _HUB_ID.fullmatch(str(name)):
        folder = _download(str(name), is_offline=is_offline)
    _require(folder, CONFIG)
    config = read_object(folder / CONFIG)
    found = str(config.get("model_type"))
    if found not in MODEL_TYPES:
        raise InputError(folder / CONFIG, f"unsupported architecture: {expected_one_of(found, MODEL_TYPES)}")
    parse_config(config, ModelConfig, folder / CONFIG)
    if (folder / GENERATION_CONFIG).exists():
        read_config(folder / GENERATION_CONFIG, GenerationConfig)
    _require(folder, WEIGHTS)
    if (folder / ADAPTER_CONFIG).exists():
        # Transformers would load the base model that it names, wherever that is, instead of the one that stands here.
        message = "an adapter's file in a base model's folder, expected the two in folders of their own"
        raise InputError(folder / ADAPTER_CONFIG, message)
    return folder


def described(folder: Path) -> ModelConfig:
    """Return what is said of a model in its folder, or in its GGUF file; raises InputError."""
    if folder.is_file():
        return parse_config(read_gguf(folder).config, ModelConfig, folder)
    return read_config(folder / CONFIG, ModelConfig)


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a model's weights; raises InputError for an index of files that are not there."""
    index = folder / WEIGHTS_INDEX
    if (folder / WHOLE_WEIGHTS).exists() or not index.exists():
        return [folder / WHOLE_WEIGHTS]
    names = sorted(set(read_config(index, WeightIndex).weight_map.values()))
    for name in names:
        if not (folder / name).is_file():
            raise InputError(index, f"got {name!r}, which is not there, expected a file beside it", field="weight_map")
    return [folder / name for name in names]


def check_adapter(folder: Path) -> AdapterConfig:
    """Return an adapter's configuration; raises InputError if a folder holds no adapter in PEFT's format."""
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        _require(folder, name)
    return read_config(folder / ADAPTER_CONFIG, AdapterConfig)


def model_digest(folder: Path) -> str:
    """Return SHA-256 over a model's weights and its configuration, that of generation too.

    Of a GGUF file it is that of all its bytes, as `sha256sum` has it.
    """
    if folder.is_file():
        return _content_digest(folder)
    return _digest(folder, _MODEL)


def tokenizer_digest(folder: Path) -> str:
    """Return SHA-256 over a tokenizer's files, its chat template among them, or over what a GGUF file says of it."""
    if folder.is_file():
        return read_header(folder).tokenizer_digest
    return _digest(folder, _TOKENIZER)


def _digest(folder: Path, patterns: Iterable[str]) -> str:
    """Return SHA-256 over names and contents of the files that match."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        digest.update(f"{path.name}\0{_content_digest(path)}\n".encode())
    return digest.hexdigest()


def _content_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require(folder: Path, pattern: str) -> None:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        raise InputError(folder, f"got {found}, expected a model's or an adapter's folder")
    if not any(folder.glob(pattern)):
        files = ", ".join(sorted(path.name for path in folder.iterdir())[:16]) or "an empty folder"
        raise InputError(folder, f"expected {pattern} in this folder, got {files}")


def _download(hub_id: str, *, is_offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=[*_MODEL, *_TOKENIZER], local_files_only=is_offline))
    except Exception as error:
        # The hub's client fails in many ways: offline, unknown, not allowed.
        reason = str(error).strip().partition("\n")[0]
        message = f"no such folder, and not to be had from the Hugging Face hub: {type(error).__name__}: {reason}"
        raise InputError(hub_id, message) from None
