"""What fronts say to each other arrives as it was said, and what is none of it is refused."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from verilora.serving.adapters.adapter_error import Refusal
from verilora.serving.adapters.adapter_record import AdapterRecord, AdapterState
from verilora.serving.server.fronts.figures import Family
from verilora.serving.server.fronts.messages import (
    Answer,
    Ask,
    Awake,
    Changed,
    Drain,
    EngineAt,
    Figures,
    FromFirst,
    FromOther,
    Noted,
    Serving,
    Start,
    TellFigures,
    Verb,
    decode_from_first,
    decode_from_other,
    encode,
)
from verilora.serving.server.fronts.pipe import opened_pipe
from verilora.serving.server.settings import ServerSettings
from verilora.serving.workers.frames import framed

RECORD = AdapterRecord(
    name="a/b",
    version=3,
    digest="0" * 64,
    rank=4,
    num_bytes=17,
    state=AdapterState.ACTIVE,
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
    folder=Path("store/x"),
)
START = Start(
    1, 7, ServerSettings(served_name="base", num_fronts=2), 5, None, "tokens", {"steps": "root"}, True, [RECORD]
)
FIRST: list[FromFirst] = [
    START,
    EngineAt("ipc://x"),
    EngineAt(None),
    Changed(1, "a/b", RECORD),
    Changed(2, "a/b", None),
    TellFigures(3),
    Drain(),
    Answer(4, b"{}", RECORD, Refusal.FILES, "no"),
]
OTHER: list[FromOther] = [
    Awake(),
    Serving(),
    Noted(1),
    Figures(2, [Family("n", "said", "gauge", [("n", {"front": "1"}, 1.5)])]),
    Ask(3, Verb.ADD, "a", "b"),
]


def heard(raw: bytes) -> list[FromFirst]:
    """Return what is heard of some bytes on a pipe whose other end is closed behind them."""

    async def hear() -> list[FromFirst]:
        source, into = os.pipe()
        back, target = os.pipe()
        with open(source, "rb", buffering=0) as reading, open(target, "wb", buffering=0) as writing:
            pipe = await opened_pipe(reading, writing, decode_from_first)
            found = []
            os.write(into, raw)
            os.close(into)
            while (message := await pipe.receive()) is not None:
                found.append(message)
            # Nobody is there any more.
            os.close(back)
            pipe.send(Awake())
            await asyncio.sleep(0)
            pipe.send(Awake())
            return found

    return asyncio.run(hear())


def test_all_arrives_in_order() -> None:
    assert heard(b"".join(framed(encode(message)) for message in FIRST)) == FIRST
    assert [decode_from_other(encode(message)) for message in OTHER] == OTHER


def test_a_message_that_was_cut_off_is_the_end() -> None:
    whole = framed(encode(FIRST[0]))
    assert heard(whole + whole[:-1]) == [START]


@pytest.mark.parametrize(
    "raw", [encode(Noted(1)), b"\x91\xa4what", b"\x80", b""], ids=["other's", "tag", "map", "empty"]
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        heard(framed(raw))
