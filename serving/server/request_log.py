"""A line in the log and a count for each request: who asked is not known yet, and what was asked is never told."""

import logging
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .api.api_error import error_of
from .departure import ClientGone
from .front import Front
from .gate import refusal_of

_LOG = logging.getLogger(__name__)
REQUEST_ID = b"x-request-id"
GONE = 499
_WATCHED = ("/health", "/ready", "/metrics")


class RequestLog:
    """Gives each request an id, which its answer has in a header, and logs how it went."""

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self._app = app
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(16)
        started, status = time.monotonic(), GONE

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id.encode())]
            await send(message)

        try:
            await self._served(scope)(scope, receive, note)
        except ClientGone:
            # Nobody sees it; other servers log this number.
            status = GONE
        except Exception as error:
            answer = error_of(error)
            if status == GONE:
                await answer.response()(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            self._front.metrics.requests.labels(route, str(status)).inc()
            fields = {
                "request_id": request_id,
                "method": scope["method"],
                "route": route,
                "status": status,
                "seconds": round(time.monotonic() - started, 4),
            }
            # Who watches the server asks every few seconds.
            level = logging.DEBUG if route in _WATCHED else logging.INFO
            _LOG.log(level, "request", extra={"fields": fields})

    def _served(self, scope: Scope) -> ASGIApp:
        """Return what answers a request: the app, unless it is refused at the door."""
        refusal = refusal_of(scope, self._front.settings)
        return self._app if refusal is None else refusal.response()
