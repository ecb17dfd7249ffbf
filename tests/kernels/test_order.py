"""How a kernel file reads: what one may call first, then its reference, the kernel, and what launches it."""

import ast
from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[2] / "kernels"


def functions(path: Path) -> list[str]:
    return [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]


def launched(path: Path) -> list[str]:
    """Return the public calls of a kernel file, in the order in which their launches stand."""
    return [name.removeprefix("launch_") for name in functions(path) if name.startswith("launch_")]


FILES = [path for path in sorted(KERNELS.rglob("*.py")) if launched(path)]


def is_head(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_public_calls_stand_first(path: Path) -> None:
    body = [node for node in ast.parse(path.read_text()).body if not is_head(node)]
    calls = launched(path)
    assert [getattr(node, "name", None) for node in body[: len(calls)]] == calls


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_reference_kernel_and_launch_follow(path: Path) -> None:
    names = functions(path)
    kernels = [names.index(name) for name in names if name.endswith("_kernel")]
    for call in launched(path):
        reference, launch = names.index(f"{call}_reference"), names.index(f"launch_{call}")
        assert names.index(call) < reference < launch
        # SGMV's kernels stand in files of their own, one for each phase.
        assert all(reference < kernel < launch for kernel in kernels)
