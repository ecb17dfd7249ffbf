"""What is refused before any route sees it."""

from starlette.types import Scope

from .api.api_error import ApiError
from .settings import ServerSettings


def refusal_of(scope: Scope, settings: ServerSettings) -> ApiError | None:
    """Return why a request is refused at the door, None if it is not."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    most = settings.max_header_bytes
    if sum(len(name) + len(value) for name, value in headers) > most:
        return ApiError(431, f"the headers have over {most} bytes", code="headers_too_large")
    # A page of another site whose name was made to lead here would say that name.
    for host in (value.decode("latin-1") for name, value in headers if name == b"host"):
        if _without_port(host) not in settings.hosts:
            return ApiError(403, "this server has another name", code="host_not_allowed")
    return None


def _without_port(host: str) -> str:
    """Return a host's name; that of IPv6 stands in brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
