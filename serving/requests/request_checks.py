"""What a request must be before it is let in: a wrong one is refused here, with its field, and not in a step."""

from .request import Request


def check_request(request: Request, *, vocab_size: int, context_len: int, has_text: bool) -> None:
    """Raise ValueError for a request that this model cannot serve. `has_text` says whether tokens can become text."""
    params = request.params
    if not request.prompt:
        raise ValueError("prompt, got no tokens, expected at least one")
    if len(request.prompt) >= context_len:
        raise ValueError(
            f"a prompt has {len(request.prompt)} tokens, expected fewer than the model's context of {context_len}"
        )
    for name, ids in (
        ("prompt", request.prompt),
        ("logit_bias", params.logit_bias),
        ("banned_ids", params.banned_ids),
        ("stop_token_ids", params.stop_token_ids),
        ("forced_ids", params.forced_ids),
    ):
        if ids and not 0 <= min(ids) <= max(ids) < vocab_size:
            odd = next(token for token in ids if not 0 <= token < vocab_size)
            raise ValueError(f"{name}, got token {odd}, expected 0 to {vocab_size - 1}")
    if params.logprobs is not None and params.logprobs > vocab_size:
        raise ValueError(f"logprobs, got {params.logprobs}, expected at most the vocabulary's {vocab_size}")
    if params.stop and not has_text:
        raise ValueError("stop, got strings, expected none: this engine was made without a tokenizer")
    if request.deadline is not None and not request.deadline > 0:
        raise ValueError(f"deadline, got {request.deadline}, expected seconds over 0")
