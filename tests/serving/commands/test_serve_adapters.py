import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from verilora.serving.adapters.adapter_manager import JOBS
from verilora.serving.commands.serve_adapters import AdapterOptions
from verilora.specs.files.errors import InputError

from tiny_models import base_model, save_tiny_adapter


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("run") / "adapter", base_model())


def test_named_adapters_may_be_in_the_directory_of_a_run(adapter: Path) -> None:
    options = AdapterOptions(named=(f"one={adapter}", f"team/two={adapter.parent}"), roots=(adapter,))
    assert options.folders("base") == {"one": adapter.resolve(), "team/two": adapter.resolve()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"named": ("fleet",)}, "--adapter: got 'fleet', expected NAME=DIR"),
        ({"named": ("fleet=",)}, "--adapter: got 'fleet=', expected NAME=DIR"),
        ({"named": ("=x",)}, "--adapter: got '=x', expected NAME=DIR: as the name got '', expected at most"),
        (
            {"named": ("../a={adapter}",)},
            "--adapter: got '../a=.*, expected NAME=DIR: as the name got '../a', expected at most",
        ),
        ({"named": ("base={adapter}",)}, "--adapter: got 'base=.*: as the name got 'base', which is the base model's"),
        ({"named": ("a={adapter}", "a={adapter}")}, "--adapter: got 'a' twice"),
        ({"named": ("a=/nowhere",)}, "/nowhere: got nothing there"),
        ({"database": "sqlite://"}, "--database: is given, expected --state, too"),
        ({"roots": (Path("/nowhere"),)}, "--adapter-root: got '/nowhere', expected a folder"),
        ({"resolver": Path("/nowhere")}, "--adapter-resolver: got '/nowhere', expected a folder"),
    ],
)
def test_options_that_cannot_be_used(adapter: Path, options: dict[str, Any], message: str) -> None:
    if named := options.get("named"):
        options = {"named": tuple(one.format(adapter=adapter) for one in named)}
    with pytest.raises(InputError, match=message):
        AdapterOptions(**options).folders("base")


def test_the_front_and_the_host_of_jobs_load_no_torch() -> None:
    code = (
        "import sys, verilora.serving.commands.serve_command, verilora.serving.workers.job_host as host\n"
        f"assert host.table([{JOBS!r}])\n"
        "sys.exit(' '.join({'torch', 'peft', 'transformers'} & {*sys.modules}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
