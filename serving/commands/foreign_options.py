"""Options that users of other servers know, and what is to be said of each."""

from collections.abc import Sequence
from pathlib import Path

from ...specs.files.errors import InputError, expected_one_of

REASONS = {
    "--quantization": "base weights are served as their files have them, in bf16 on a GPU",
    "--load-format": "base weights are read from safetensors, or from a GGUF file",
    "--dtype": "weights are bf16 on a GPU and fp32 on a CPU",
    "--kv-cache-dtype": "the KV cache has the type of the weights",
    "--speculative-config": "there is no speculative decoding",
    "--speculative-model": "there is no speculative decoding",
    "--tensor-parallel-size": "an engine runs on one GPU",
    "--pipeline-parallel-size": "an engine runs on one GPU",
    "--data-parallel-size": "an engine runs on one GPU",
    "--enable-lora": "adapters are always served; leave the option out",
    "--lora-modules": "name adapters by --adapter NAME=DIR",
    "--tokenizer": "the tokenizer is the model's own",
    "--chat-template": "the chat template is the model's own",
    "--trust-remote-code": "no code of a model is ever run",
    "--api-key": "there are no keys yet; the server answers on this machine alone",
    "--enable-auto-tool-choice": "tools are not served",
    "--tool-call-parser": "tools are not served",
    "--reasoning-parser": "answers are served as they are",
    "--enable-prefix-caching": "prefixes are always kept; leave the option out",
    "--enforce-eager": "steps on a GPU are always graphs",
}


def refuse_foreign(arguments: Sequence[str], known: Sequence[str]) -> None:
    """Raise InputError for the first of some arguments that the command does not know, with the reason if one is."""
    for argument in arguments:
        option = argument.partition("=")[0]
        if option in REASONS:
            raise InputError(Path(option), f"not supported: {REASONS[option]}")
        if option.startswith("-"):
            raise InputError(Path("serve"), f"option: {expected_one_of(option, known)}")
        raise InputError(Path("serve"), f"got {argument!r}, expected options only")
