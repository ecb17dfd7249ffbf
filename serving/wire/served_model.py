"""The model of the engine's process, and what fronts are told of it."""

import gc

import torch
import xgrammar

from ...specs.files.errors import InputError
from ...synth.models.chat import Chat
from ..engine.engine import Engine
from ..engine.generator import load_decoder
from ..schedule.settings import EngineSettings
from .description import EngineDescription
from .messages import ModelCard


def load_served(description: EngineDescription) -> tuple[Engine, ModelCard, str]:
    """Return an engine with the model that a description names, the model's card, and what grammars are compiled for.

    Raises InputError.
    """
    chat = Chat(description.model)
    backend = getattr(chat.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(chat.folder, "got a tokenizer written in Python, expected one of the package tokenizers")
    backend.no_padding()
    backend.no_truncation()

    def detokenize(tokens: list[int]) -> str:
        # The same as in fronts, so that a stop string ends what people see of it.
        text: str = backend.decode(tokens, skip_special_tokens=True)
        return text

    decoder = load_decoder(chat, description.device)
    if description.max_model_len is not None:
        decoder = decoder.shortened(description.max_model_len)
    engine = Engine(decoder, _settings(description), end_ids=chat.end_ids, detokenize=detokenize)
    card = ModelCard(
        tokenizer=backend.to_str(),
        chat_template=chat.tokenizer.chat_template,
        special_tokens=_special_tokens(chat),
        banned_ids=tuple(sorted(chat.banned_ids)),
        vocab_size=engine.architecture.vocab_size,
        context_len=engine.architecture.context_len,
        num_pages=engine.pool.num_pages,
    )
    tokens = xgrammar.TokenizerInfo.from_huggingface(
        chat.tokenizer, vocab_size=card.vocab_size, stop_token_ids=sorted(chat.end_ids)
    )
    return engine, card, tokens.serialize_json()


def _special_tokens(chat: Chat) -> dict[str, str]:
    named: dict[str, object] = chat.tokenizer.special_tokens_map
    return {name: value for name, value in named.items() if isinstance(value, str)}


def _settings(description: EngineDescription) -> EngineSettings:
    memory_bytes = description.memory_bytes
    device = torch.device(description.device)
    if device.type == "cuda":
        # The model that the weights were taken from, a part of which they share.
        gc.collect()
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(device)
        memory_bytes = int(total * description.memory_utilization) - (total - free)
        if memory_bytes <= 0:
            message = f"got {description.memory_utilization}, expected more: other things take {total - free} bytes"
            raise InputError("--gpu-memory-utilization", message)
    rows = description.max_rows
    return EngineSettings(
        memory_bytes=memory_bytes,
        max_rows=rows,
        token_budget=max(2048, rows),
        max_loaded=description.max_loaded,
        max_rank=description.max_rank,
    )
