"""Every kernel compiles ahead of time for sm_90 and sm_80, and what it uses is known: registers, shared memory, spills.

`signatures/*.py` hold the rows. Each kernel of the room must have one.
"""

import ast
import importlib
import os
import re
import runpy
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

KERNELS = Path(__file__).parents[2] / "kernels"
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
# What a block may have, in bytes (CUDA C programming guide, technical specifications by compute capability).
SHARED_LIMIT = {80: 163 * 1024, 90: 227 * 1024}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kernel with the types of its arguments, its constants and options as `launch_x` sets them.

    An argument's type is Triton's ("*bf16", "i32"); ":16" behind it says that it is a multiple of 16, as pointers are
    without it. `spills` explains local memory, which fails the test otherwise.
    """

    kernel: str
    signature: dict[str, str]
    constants: dict[str, Any] = field(default_factory=dict)
    options: dict[str, int] = field(default_factory=dict)
    targets: tuple[int, ...] = (80, 90)
    spills: str = ""
    note: str = ""


ROWS = [
    Row(**row)
    for path in sorted(Path(__file__).parent.glob("signatures/*.py"))
    for row in runpy.run_path(str(path))["ROWS"]
]
CASES = [pytest.param(row, target, id=f"{row.kernel}-{row.note}-sm{target}") for row in ROWS for target in row.targets]


def compiled(row: Row, target: int) -> tuple[bytes, int]:
    """Return the machine code of a row's kernel and the bytes of shared memory that it is started with."""
    module, name = row.kernel.split(".")
    folder = next(KERNELS.rglob(f"{module}.py")).parent.name
    function = getattr(importlib.import_module(f"verilora.kernels.{folder}.{module}"), name)
    if set(row.signature) | set(row.constants) != set(function.arg_names):
        odd = (set(row.signature) | set(row.constants)) ^ set(function.arg_names)
        raise ValueError(
            f"arguments of {row.kernel}, got a row that differs in {sorted(odd)}, expected the kernel's own"
        )
    types = {name: row.signature.get(name, "constexpr") for name in function.arg_names}
    aligned = [i for i, kind in enumerate(types.values()) if kind.startswith("*") or kind.endswith(":16")]
    source = ASTSource(
        fn=function,
        signature={name: kind.split(":")[0] for name, kind in types.items()},
        constexprs=row.constants,
        attrs={(i,): [["tt.divisibility", 16]] for i in aligned},
    )
    binary = triton.compile(source, target=GPUTarget("cuda", target, 32), options=dict(row.options))
    return bytes(binary.asm["cubin"]), int(binary.metadata.shared)


def used_resources(cubin: bytes, path: Path) -> dict[str, int]:
    """Return registers a thread (REG), fixed shared bytes (SHARED) and local bytes a thread (STACK, LOCAL)."""
    path.write_bytes(cubin)
    done = subprocess.run([CUOBJDUMP, "--dump-resource-usage", path], capture_output=True, check=True, text=True)
    return {name: int(value) for name, value in re.findall(r"\b(REG|STACK|SHARED|LOCAL):(\d+)", done.stdout)}


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="nothing compiles in an interpreting process")
@pytest.mark.parametrize(("row", "target"), CASES)
def test_a_kernel_compiles_without_spills(row: Row, target: int, tmp_path: Path, resources: list[str]) -> None:
    cubin, shared = compiled(row, target)
    used = used_resources(cubin, tmp_path / "kernel.cubin")
    used["SHARED"] += shared
    resources.append(f"{row.kernel} {row.note} sm_{target}: {used}")
    assert 0 < used["REG"] <= 255
    assert used["SHARED"] <= SHARED_LIMIT[target]
    local = used["STACK"] + used["LOCAL"]
    assert bool(local) == bool(row.spills), f"{local} bytes of local memory; the row explains: {row.spills!r}"


def test_every_kernel_has_a_row() -> None:
    """Functions that kernels call are compiled with them; what a `launch_x` starts must stand in a row."""
    trees = {path.stem: ast.parse(path.read_text()) for path in KERNELS.rglob("*.py")}
    nodes = [(module, node) for module, tree in trees.items() for node in ast.walk(tree)]
    defined = [(node.name, module) for module, node in nodes if isinstance(node, ast.FunctionDef)]
    kernels = [(name, module) for name, module in defined if name.endswith("_kernel")]
    home = dict(kernels)
    assert len(home) == len(kernels)
    # A kernel is started as `name[grid](...)`, perhaps in another file than it stands in.
    started = {
        f"{home[node.func.value.id]}.{node.func.value.id}"
        for _, node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Subscript)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in home
    }
    assert started
    assert started == {row.kernel for row in ROWS}
