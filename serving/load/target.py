"""The server that is measured, and how it is asked."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from .choices import Route
from .workload.plan import PlannedRequest

_PATHS = {Route.COMPLETIONS: "completions", Route.CHAT: "chat/completions"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that speaks OpenAI's API at `url`, with or without the `/v1` at its end. The key is never printed."""

    url: str
    route: Route = Route.COMPLETIONS
    key: str | None = field(default=None, repr=False)
    ignore_eos: bool = False
    temperature: float = 0.0
    timeout: float = 600.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_usable = False
        if not is_usable:
            raise ValueError("url, expected http://HOST:PORT or https://HOST")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("url, got a user, a query or a fragment in it, expected http://HOST:PORT alone")
        if not 0 < self.timeout <= 86_400:
            raise ValueError(f"timeout, got {self.timeout}, expected more than 0 and at most 86400 seconds")
        if not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature, got {self.temperature}, expected 0 to 2")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and " " not in self.key):
            raise ValueError("key, expected printable ASCII without spaces")

    @property
    def base(self) -> str:
        """Where the routes begin."""
        return self.url.rstrip("/").removesuffix("/v1") + "/v1"

    @property
    def endpoint(self) -> str:
        """Where requests go."""
        return f"{self.base}/{_PATHS[self.route]}"

    @property
    def headers(self) -> dict[str, str]:
        """What is sent with each request."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "verilora-bench"}
        return headers | ({"Authorization": f"Bearer {self.key}"} if self.key else {})

    def body(self, request: PlannedRequest) -> bytes:
        """Return the body of a request, which asks for a stream that tells its usage."""
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.output_len,
            "temperature": self.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.route is Route.CHAT:
            body["messages"] = [{"role": "user", "content": request.prompt}]
        else:
            body["prompt"] = request.prompt
        if self.ignore_eos:
            body["ignore_eos"] = True
        return msgspec.json.encode(body)
