"""The command line without a process of its own, which takes seconds to start."""

import re
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
import torch

from verilora.__main__ import main


def run_main(*arguments: str | Path, text: bytes = b"") -> tuple[int, str, str]:
    """Return exit code, output and errors of `verilora` with these arguments and this standard input."""
    num_threads = torch.get_num_threads()
    streams = {name: TextIOWrapper(BytesIO(), "utf-8", write_through=True) for name in ("stdout", "stderr")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["verilora", *map(str, arguments)])
        patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(text), "utf-8"))
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        patch.setenv("COLUMNS", "160")
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            torch.set_num_threads(num_threads)
    code = ended.value.code
    assert isinstance(code, int), code
    out, err = (stream.buffer.getvalue().decode() for stream in streams.values())
    return code, out, err


def without_progress(err: str) -> str:
    """Return what a command says on standard error besides how far it is."""
    return re.sub(r"(?m)^rulebook .*, questions answered: \d+ of \d+\n", "", err)
