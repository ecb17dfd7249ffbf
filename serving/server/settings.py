"""The server's settings: its names, and limits that keep one request from hurting others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What a front is told when it starts.

    served_name        the base model's name in requests
    num_fronts         processes that accept connections
    hosts              what the server may be called in the header `Host`
    max_model_len      tokens of a prompt with its answer; None for the model's own context
    max_body_bytes     of a request's body
    max_header_bytes   of all its headers
    max_prompts        prompts in one request, and `max_candidates` answers in all
    max_stops          stop strings, each of at most `max_stop_chars`
    max_requests       that are being answered at a time; more are refused with 429
    queue_seconds      a request whose first token does not come by then is given up with 503
    grammar_seconds    how long a grammar may be compiled
    drain_seconds      how long running requests may go on once the server is asked to end
    """

    served_name: str
    num_fronts: int = 1
    hosts: tuple[str, ...] = ("127.0.0.1", "::1", "localhost")
    max_model_len: int | None = None
    max_body_bytes: int = 8 * 2**20
    max_header_bytes: int = 64 * 2**10
    max_prompts: int = 64
    max_candidates: int = 64
    max_stops: int = 16
    max_stop_chars: int = 256
    max_requests: int = 1024
    queue_seconds: float = 120.0
    grammar_seconds: float = 5.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not self.served_name:
            raise ValueError("served_name, got '', expected a name")
        positive = ("num_fronts", "max_body_bytes", "max_header_bytes", "max_prompts", "max_candidates", "max_requests")
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}, got {getattr(self, name)}, expected at least 1")
        if self.max_model_len is not None and self.max_model_len < 2:
            raise ValueError(f"max_model_len, got {self.max_model_len}, expected at least 2")
        if not self.queue_seconds > 0:
            raise ValueError(f"queue_seconds, got {self.queue_seconds}, expected seconds over 0")
        if not self.drain_seconds >= 0:
            raise ValueError(f"drain_seconds, got {self.drain_seconds}, expected 0 or more")
