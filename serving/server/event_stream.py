"""Server-sent events: one class for every stream."""

from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec
from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from .api.api_error import error_of
from .departure import ClientGone, while_there

DONE = b"data: [DONE]\n\n"


def event(content: object) -> bytes:
    """Return an event whose data is JSON."""
    return b"data: " + msgspec.json.encode(content) + b"\n\n"


class EventStream(Response):
    """Sends events as they come, and [DONE] behind the last. An error becomes an event, since the status is sent.

    When the client goes, the events are closed, and with them what makes them.
    """

    media_type = "text/event-stream"

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        super().__init__(None, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._rest = rest

    @classmethod
    async def begun(cls, request: Request, events: AsyncGenerator[bytes, None]) -> "EventStream":
        """Return a stream whose first event is there: what fails before it is answered with a status.

        Raises ClientGone, and what fails.
        """
        return cls(await while_there(request.receive, anext(events)), events)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        # Then there is nobody to tell.
        with suppress(ClientGone, OSError):
            try:
                await while_there(receive, self._send(send))
            finally:
                await self._rest.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        try:
            async for one in self._rest:
                await send({"type": "http.response.body", "body": one, "more_body": True})
            last = DONE
        except OSError:
            raise
        except Exception as error:
            last = event(error_of(error).answer)
        await send({"type": "http.response.body", "body": last, "more_body": False})
