import asyncio
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import insert

from verilora.serving.adapters.adapter_settings import AdapterSettings
from verilora.serving.adapters.ingestion.ingest import UNFINISHED
from verilora.serving.adapters.open_adapters import opened_registry
from verilora.serving.adapters.sql.database import database_url, open_database
from verilora.serving.adapters.sql.tables import adapter
from verilora.serving.models.projections import projections_of
from verilora.specs.files.errors import InputError
from verilora.synth.models.model_files import described

from damaged_adapters import CONFIG, WEIGHTS
from served_adapters import BASE, ListeningEngine, managing, settings_of, variant
from tiny_models import base_model, save_tiny_adapter, save_tiny_model, tiny_tokenizer

SUPPORT = Path(__file__).parents[2] / "support"
MANY = 2_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), tiny_tokenizer(texts))


@pytest.fixture
def settings(tmp_path: Path, model: Path) -> AdapterSettings:
    return settings_of(tmp_path, projections_of(described(model)))


def test_a_state_folder_serves_one_server(settings: AdapterSettings) -> None:
    with opened_registry(settings):
        again = (
            "from pathlib import Path; from verilora.specs.files.lock import held\n"
            f"with held(Path({str(settings.state)!r})): pass"
        )
        done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=False)
    assert "is written to by process" in done.stderr


def test_a_state_folder_that_cannot_be_made(settings: AdapterSettings) -> None:
    settings.state.write_text("a file")
    with pytest.raises(InputError, match="state: cannot be written"), opened_registry(settings):
        pass


def test_aibrix_1716_two_thousand_are_known_at_once_and_none_is_read(settings: AdapterSettings) -> None:
    settings.store.mkdir(parents=True)
    database = open_database(database_url(settings.state))
    row = {"version": 1, "rank": 8, "bytes": 1, "base_digest": BASE, "state": "active", "error": "", "certificate": ""}
    row |= {"certificate_state": "none", "created_at": 0}
    digests = [f"{number:064d}" for number in range(MANY)]
    with database.begin() as connection:
        rows = [{**row, "name": f"adapter-{digest[-4:]}", "digest": digest} for digest in digests]
        connection.execute(insert(adapter), rows)
    database.dispose()
    for digest in digests:
        (settings.store / digest).mkdir()
        # Whoever opens it waits for ever.
        os.mkfifo(settings.store / digest / WEIGHTS)

    async def run() -> None:
        engine = ListeningEngine()
        async with managing(settings, engine) as manager:
            assert [record.digest for record in manager.all()] == digests
            assert engine.loads == []

    asyncio.run(run())


def content_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        digest.update(f"{name}\0{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def test_a_kill_at_any_moment(tmp_path: Path, model: Path, settings: AdapterSettings) -> None:
    """What was said to be registered is, as a whole, and what was half done is gone."""
    original = save_tiny_adapter(tmp_path / "original", base_model(model))
    for number in range(5):
        variant(original, tmp_path / "root" / f"{number}", number)
    widths = [str(width) for both in settings.projections.widths.values() for width in both]
    command = [sys.executable, SUPPORT / "registering.py", settings.state, tmp_path / "root"]
    command += [str(settings.projections.num_layers), *widths]
    newest: dict[str, int] = {}
    for more in (0.0, 0.013, 0.057, 0.11):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(4)]
            time.sleep(more)
            process.kill()
            said += process.stdout.readlines()
        for name, version, _ in (line.split() for line in said if line.endswith("\n")):
            newest[name] = int(version)
        with opened_registry(settings) as registry:
            registry.recover()
            active = registry.active()
            assert {record.name for record in active} >= {*newest}
            # What was done just before the kill may not have been said any more.
            assert all(record.version >= newest.get(record.name, 0) for record in active)
            for record in active:
                assert record.folder is not None
                assert content_digest(record.folder) == record.digest
            newest = {record.name: record.version for record in active}
            assert not (settings.store / UNFINISHED).exists()
            assert {path.name for path in settings.store.iterdir()} == {record.digest for record in active}
