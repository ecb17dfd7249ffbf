import asyncio
import json
import os
import resource
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from verilora.serving.adapters.ingestion.ingest import CERTIFICATE, INGEST, UNFINISHED, Ingested, Source, ingest
from verilora.serving.models.projections import projections_of
from verilora.serving.workers.host_client import JobHost
from verilora.serving.workers.job import Failure, JobFailed, Missing
from verilora.specs.files.errors import InputError
from verilora.synth.models.model_files import described

from damaged_adapters import CONFIG, WEIGHTS, with_config
from hosting import LONG, hosting
from tiny_models import base_model, save_tiny_adapter, save_tiny_model, tiny_tokenizer

TABLE = "verilora.serving.adapters.ingestion.ingest"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), tiny_tokenizer(texts))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapter"), base_model(model))


@pytest.fixture
def root(tmp_path: Path, original: Path) -> Path:
    """Return a root with an adapter in it; the store lies beside it."""
    shutil.copytree(original, tmp_path / "root" / "fleet")
    (tmp_path / "store").mkdir()
    return tmp_path / "root"


def source(root: Path, model: Path, **changes: Any) -> Source:
    projections = projections_of(described(model))
    fields = {
        "path": "fleet",
        "roots": [str(root)],
        "store": str(root.parent / "store"),
        "token": "token",
        "num_layers": projections.num_layers,
        "widths": dict(projections.widths),
        "max_rank": 64,
        "max_bytes": 2**24,
    }
    return Source(**{**fields, **changes})


def stored(root: Path) -> list[str]:
    """Return what the store holds, finished or not."""
    store = root.parent / "store"
    return sorted(path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file())


def test_an_adapter_lies_in_the_store_under_the_digest_of_its_content(root: Path, model: Path) -> None:
    found = ingest(source(root, model))
    assert stored(root) == [f"{found.digest}/{CONFIG}", f"{found.digest}/{WEIGHTS}"]
    for name in (CONFIG, WEIGHTS):
        copy = root.parent / "store" / found.digest / name
        assert copy.read_bytes() == (root / "fleet" / name).read_bytes()
    assert (len(found.digest), found.rank, found.certificate) == (64, 4, "")
    shutil.copytree(root / "fleet", root / "same")
    (root / "same" / "README.md").write_text("what is not served is not copied")
    assert ingest(source(root, model, path="same")) == found
    assert len(stored(root)) == 2
    with_config(lora_alpha=9)(root / "same")
    assert ingest(source(root, model, path="same")).digest != found.digest
    assert len(stored(root)) == 4


def test_a_certificate_comes_along_and_changes_no_digest(root: Path, model: Path) -> None:
    without = ingest(source(root, model))
    (root / "fleet" / CERTIFICATE).write_text('{"format": 2}')
    found = ingest(source(root, model))
    assert (found.certificate, found.digest) == ('{"format": 2}', without.digest)
    (root / "fleet" / CERTIFICATE).write_text('{"format": 2, "format": 3}')
    with pytest.raises(InputError, match=f"{CERTIFICATE}: format: stands twice"):
        ingest(source(root, model))
    (root / "fleet" / CERTIFICATE).unlink()
    (root / "fleet" / CERTIFICATE).symlink_to("/etc/hostname")
    with pytest.raises(InputError, match=f"{CERTIFICATE}: is a link"):
        ingest(source(root, model))


def test_what_is_refused_leaves_nothing(root: Path, model: Path) -> None:
    with pytest.raises(Missing):
        ingest(source(root, model, path="other"))
    with pytest.raises(InputError, match="expected at most 100"):
        ingest(source(root, model, max_bytes=100))
    with_config(modules_to_save=["lm_head"])(root / "fleet")
    with pytest.raises(InputError, match="modules_to_save"):
        ingest(source(root, model))
    (root / "fleet" / CONFIG).unlink()
    with pytest.raises(Missing, match="the file is not there"):
        ingest(source(root, model))
    assert stored(root) == []
    assert os.listdir(root.parent / "store" / UNFINISHED) == []


def test_vllm_5105_the_source_goes_away(root: Path, model: Path) -> None:
    found = ingest(source(root, model))
    shutil.rmtree(root / "fleet")
    assert len(stored(root)) == 2
    assert (root.parent / "store" / found.digest / WEIGHTS).stat().st_mode & 0o777 == 0o400


def test_what_is_checked_is_what_is_stored(root: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is swapped between check and load is not even looked at."""
    before, check = (root / "fleet" / WEIGHTS).read_bytes(), ingest.__globals__["check_files"]

    def swapping(*arguments: Any) -> Any:
        (root / "fleet" / WEIGHTS).write_bytes(b"swapped")
        return check(*arguments)

    monkeypatch.setitem(ingest.__globals__, "check_files", swapping)
    found = ingest(source(root, model))
    assert (root.parent / "store" / found.digest / WEIGHTS).read_bytes() == before


@asynccontextmanager
async def ingesting(**options: Any) -> AsyncIterator[JobHost]:
    async with hosting(TABLE, **options) as host:
        yield host


def run(asked: Source, deadline: float = LONG, **options: Any) -> Ingested:
    async def body() -> Ingested:
        async with ingesting(**options) as host:
            return await host.run(INGEST, asked, deadline=deadline)

    return asyncio.run(body())


def failure_of(asked: Source, **options: Any) -> tuple[Failure, str]:
    with pytest.raises(JobFailed) as failed:
        run(asked, **options)
    return failed.value.failure, str(failed.value)


def test_as_a_job_it_does_the_same_and_its_errors_name_no_path(root: Path, model: Path) -> None:
    assert run(source(root, model)) == ingest(source(root, model))
    failure, message = failure_of(source(root, model, path="other"))
    assert failure is Failure.MISSING
    assert "no adapter found" in message
    (root / "fleet" / CONFIG).write_text(json.dumps({"peft_type": "LOHA"}))
    assert failure_of(source(root, model)) == (
        Failure.REFUSED,
        f"ingest: {CONFIG}: peft_type: got 'LOHA', expected 'LORA'",
    )


def test_memory_does_not_grow_with_an_adapter(root: Path, model: Path) -> None:
    """A tensor of 128 MiB whose numbers are zeros, with 64 MiB to read it."""
    wide = 2**20
    header = {
        f"base_model.model.model.layers.0.self_attn.q_proj.lora_{half}.weight": {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [number * 2**27, (number + 1) * 2**27],
        }
        for number, (half, shape) in enumerate((("A", [32, wide]), ("B", [wide, 32])))
    }
    content = json.dumps(header).encode()
    with (root / "fleet" / WEIGHTS).open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        file.truncate(8 + len(content) + 2**28)
    with_config(target_modules=["q_proj"], r=32)(root / "fleet")
    wanted = source(root, model, max_bytes=2**30, num_layers=1, widths={"q": (wide, wide)})
    assert run(wanted, memory_bytes=2**26).num_bytes == 2**28


@contextmanager
def small_disk(store: Path) -> Iterator[None]:
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", store], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("mounting a file system needs rights that this user lacks")
    try:
        yield
        assert list(store.rglob("*")) == [store / UNFINISHED]
    finally:
        subprocess.run(["umount", store], check=True)


@contextmanager
def small_files(_store: Path) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("limit", "message"),
    [(small_disk, "No space left on device"), (small_files, "File too large")],
    ids=["a small disk", "a limit of files"],
)
def test_a_full_disk_leaves_nothing_half_there(root: Path, model: Path, limit: Any, message: str) -> None:
    with limit(root.parent / "store"):
        assert failure_of(source(root, model)) == (Failure.CRASHED, f"ingest: it failed: {message}")
    assert stored(root) == []
