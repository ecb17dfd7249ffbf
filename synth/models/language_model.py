"""A language model, its tokenizer and an adapter, from files; what would load silently wrong is checked."""

import itertools
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from ...specs.files.errors import InputError
from ..gguf.gguf_model import read_gguf
from .adapter_files import own_tensors, read_names
from .model_config import read_object
from .model_files import ADAPTER_WEIGHTS, WEIGHTS, weight_files
from .prompt import Conversation

PAD = "<|pad|>"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
# For a tokenizer without a chat template. It ends a prompt with a line end, which no tokenizer joins with a number.
PLAIN_TEMPLATE = (
    "{% if bos_token is defined and bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ ('' if loop.first else '\n') + message['content'] + '\n\nSteps:\n' }}{% endif %}{% endfor %}"
)


def load_tokenizer(folder: Path) -> Any:
    """Return a model's tokenizer; a chat template and a token for padding, other than the end's, are added if missing.

    Raises InputError.
    """
    if folder.is_file():
        tokenizer = _loaded(folder, "tokenizer", lambda: _gguf_tokenizer(folder))
    else:
        for name in (TOKENIZER, TOKENIZER_CONFIG):
            if (folder / name).exists():
                read_object(folder / name)
        tokenizer = _loaded(folder, "tokenizer", lambda: AutoTokenizer.from_pretrained(folder))
    if tokenizer.eos_token is None:
        raise InputError(folder, "its tokenizer has no token that ends a response: expected an eos_token")
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        tokenizer.add_special_tokens({"pad_token": _spare_token(tokenizer)})
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
        if not isinstance(template, str):
            named = ", ".join(tokenizer.chat_template)
            raise InputError(folder, f"got templates {named}, expected one named default", field="chat_template")
    if not template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    elif "enable_thinking" in template:
        # A model that can think aloud first (Qwen3) answers at once, in training and afterwards.
        tokenizer.chat_template = "{%- set enable_thinking = false %}" + template
    tokenizer.padding_side = "left"
    render(tokenizer, folder, ({"role": "user", "content": "?"},))
    return tokenizer


def render(tokenizer: Any, folder: Path, conversation: Conversation) -> str:
    """Return a conversation as the text that a model continues; raises InputError for a template that cannot do it."""
    try:
        text = tokenizer.apply_chat_template(list(conversation), tokenize=False, add_generation_prompt=True)
    except Exception as error:
        # A template is a program of the model's maker: it fails in any way.
        beside = folder if folder.is_file() else folder / TOKENIZER_CONFIG
        path = next((path for path in sorted(folder.glob("chat_template*"))), beside)
        line = getattr(error, "lineno", None)
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}" + (
            f" (line {line})" if line else ""
        )
        message = f"cannot be rendered: {reason}; expected a Jinja template of conversations"
        raise InputError(path, message, field="chat_template") from None
    return str(text)


def _spare_token(tokenizer: Any) -> str:
    """Return a token for padding: one that no text holds, or a new one, for which the embeddings must grow."""
    if tokenizer.unk_token_id not in (None, tokenizer.eos_token_id):
        return str(tokenizer.unk_token)
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return next((token for token in special if "pad" in token or "reserved" in token), PAD)


def load_model(folder: Path, device: str, vocab_size: int) -> nn.Module:
    """Return a model, in bf16 on a GPU and fp32 on a CPU, with embeddings for that many tokens; raises InputError."""
    target = _device(device)
    if not folder.is_file():
        for path in weight_files(folder):
            if path.exists():
                read_names(path)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    dtype = torch.float32 if target.type == "cpu" else torch.bfloat16
    model, info = _loaded(folder, "model", lambda: _weights(folder, dtype))
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if info[problem]:
            names = ", ".join(str(key) for key in sorted(info[problem])[:4])
            raise InputError(folder, f"its weights do not fit its configuration: {problem.replace('_', ' ')} {names}")
    if vocab_size > model.get_input_embeddings().num_embeddings:
        # The new rows are random: the same at every load.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model.resize_token_embeddings(vocab_size, mean_resizing=False)
    _check_finite(folder, WEIGHTS, itertools.chain(model.named_parameters(), model.named_buffers()))
    loaded: nn.Module = model.to(target).eval()
    return loaded


def _weights(folder: Path, dtype: torch.dtype) -> Any:
    if not folder.is_file():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    # Imported here, so that machines without the package of GGUF can load other models.
    from ..gguf.weights import load_weights

    return load_weights(read_gguf(folder), dtype)


def _gguf_tokenizer(path: Path) -> Any:
    from ..gguf.weights import load_gguf_tokenizer

    return load_gguf_tokenizer(read_gguf(path))


@contextmanager
def ignoring_renamed_property() -> Iterator[None]:
    """Return a context, or a decorator, for making and training adapters: one warning of the libraries is not shown.

    PEFT, and TRL before it samples, ask a model for a property that transformers has renamed, and it warns (PEFT 0.21,
    TRL 1.16, transformers 5.23). No argument of ours keeps them from asking, and users can do nothing about it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning, r"transformers\.modeling_utils$"
        )
        yield


@ignoring_renamed_property()
def load_peft(model: nn.Module, folder: Path, *, is_trainable: bool = False) -> Any:
    """Return a model with an adapter as PEFT has them; raises InputError if the two do not fit."""
    own = own_tensors(folder, model)
    _check_finite(folder, ADAPTER_WEIGHTS, own.items())
    adapted = _loaded(
        folder, "adapter", lambda: PeftModel.from_pretrained(model, str(folder), is_trainable=is_trainable)
    )
    expected = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if own.keys() != expected:
        odd = sorted(own.keys() ^ expected)[0]
        raise InputError(folder, f"is an adapter for another model: {odd!r} is in only one of the two")
    return adapted


def _check_finite(folder: Path, pattern: str, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Raise InputError for weights that are not finite, with the file that holds them."""
    named = [(name, tensor) for name, tensor in tensors if tensor.is_floating_point()]
    # Asked at once: a GPU would be waited for at each of them.
    finite = torch.stack([tensor.isfinite().all() for _, tensor in named]).tolist() if named else []
    odd = next((name for (name, _), is_finite in zip(named, finite, strict=True) if not is_finite), None)
    if odd is not None:
        path = next((path for path in sorted(folder.glob(pattern)) if odd in read_names(path)), folder)
        raise InputError(path, "some weights are not finite, expected numbers; has its training diverged?", field=odd)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"device {name!r}", f"cannot be used here: {reason}: expected cpu, or cuda on a GPU") from None
    return device


def _loaded(folder: Path, what: str, load: Any) -> Any:
    try:
        return load()
    except InputError:
        raise
    except Exception as error:
        # The libraries fail in many ways: those in Rust raise a plain Exception.
        lines = [line for line in str(error).splitlines() if line.strip()]
        # Torch tells in the second line what it is that does not fit.
        reason = f"{type(error).__name__}: {' '.join(line.strip() for line in lines[:2]) or 'no reason given'}"
        raise InputError(folder, f"its {what} cannot be loaded: {reason}") from None
