import os
import struct

import pytest

from verilora.serving.workers.frames import MAX_BYTES, FrameError, Frames, framed, write_all


@pytest.mark.parametrize("size", [1, 3, 4, 7, 100])
def test_messages_come_out_whole_however_they_are_cut(size: int) -> None:
    messages = [b"", b"a", b"bcd" * 30]
    stream = b"".join(map(framed, messages))
    frames = Frames()
    found = [one for at in range(0, len(stream), size) for one in frames.feed(stream[at : at + size])]
    assert found == messages


def test_a_length_that_none_may_have_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameError, match="expected at most"):
        list(Frames().feed(struct.pack("<I", MAX_BYTES + 1)))


def test_all_is_written_to_a_pipe_that_takes_little() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    if os.fork() == 0:
        write_all(writer, bytes(300_000))
        os._exit(0)
    os.close(writer)
    os.set_blocking(reader, True)
    with os.fdopen(reader, "rb") as file:
        assert len(file.read()) == 300_000
    os.wait()
