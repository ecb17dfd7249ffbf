"""HTTP connections that are closed when the head of a request does not come in time; uvicorn waits for ever."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedProtocol(H11Protocol):
    """A connection whose next request must have its head within seconds of the last answer, or of its beginning.

    Whoever sends a byte now and then would keep it for ever. Bodies have a limit of their own.
    """

    head_seconds = 30.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def on_response_complete(self) -> None:
        """Begin to wait for the next head, unless it is there."""
        super().on_response_complete()
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._wait_no_more()
        self._deadline = self.loop.call_later(self.head_seconds, self._close_unless_asked)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_unless_asked(self) -> None:
        # Whoever has asked is waited for anew behind the answer.
        if self.conn.their_state is h11.IDLE:
            self.transport.close()
