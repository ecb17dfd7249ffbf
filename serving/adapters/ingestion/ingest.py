"""The job that takes an adapter into the store: copied, checked, and there as a whole or not at all.

A folder of the store is named by the SHA-256 of what it holds: the configuration and the weights.
"""

import hashlib
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import msgspec

from ....specs.files.atomic import sync
from ....synth.models.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from ...models.projections import Projections
from ...workers.job import Job, Missing
from .check_files import check_files
from .copied import copy_file, read_file
from .rooted import opened_file, opened_folder
from .strict_json import strict_object

CERTIFICATE = "certificate.json"
# In the store, of what is not complete yet.
UNFINISHED = "unfinished"
MAX_CONFIG = MAX_CERTIFICATE = 2**20


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter that is to be taken in.

    path       where it lies, under one of the roots
    store      the folder of all that were taken in; `token` is a new name of a folder to work in
    max_rank, max_bytes  what is accepted
    """

    path: str
    roots: list[str]
    store: str
    token: str
    num_layers: int
    widths: dict[str, tuple[int, int]]
    max_rank: int
    max_bytes: int


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter that is in the store; `certificate` is the text that lay beside it, "" if there was none."""

    digest: str
    rank: int
    num_bytes: int
    certificate: str


def ingest(source: Source) -> Ingested:
    """Return what was taken into the store; raises InputError for what cannot be served."""
    store = Path(source.store)
    folder = store / UNFINISHED / source.token
    folder.mkdir(parents=True, mode=0o700)
    try:
        digest, certificate = _copy(source, folder)
        projections = Projections(num_layers=source.num_layers, widths=source.widths)
        checked = check_files(folder, projections, source.max_rank)
        _publish(folder, store / digest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Ingested(digest=digest, rank=checked.rank, num_bytes=checked.num_bytes, certificate=certificate)


def _copy(source: Source, target: Path) -> tuple[str, str]:
    """Copy an adapter's files into a folder; return the digest of their content, and the certificate beside them."""
    limits = {ADAPTER_CONFIG: MAX_CONFIG, ADAPTER_WEIGHTS: source.max_bytes}
    digest = hashlib.sha256()
    with opened_folder(source.path, map(Path, source.roots)) as folder:
        for name, max_bytes in limits.items():
            with ExitStack() as stack:
                file = opened_file(folder, name)
                stack.callback(os.close, file)
                digest.update(f"{name}\0{copy_file(file, target / name, max_bytes).digest}\n".encode())
        return digest.hexdigest(), _certificate(folder, target / CERTIFICATE)


def _certificate(folder: int, path: Path) -> str:
    try:
        file = opened_file(folder, CERTIFICATE)
    except Missing:
        return ""
    try:
        content = read_file(file, path, MAX_CERTIFICATE)
    finally:
        os.close(file)
    strict_object(content, path)
    return content.decode()


def _publish(folder: Path, target: Path) -> None:
    """Give a folder its place in the store, unless the same content stands there."""
    if target.is_dir():
        return
    for path in folder.iterdir():
        path.chmod(0o400)
    sync(folder)
    try:
        folder.rename(target)
    except OSError:
        # Another job may have been quicker.
        if not target.is_dir():
            raise
    sync(target.parent)


INGEST = Job("ingest", ingest, Source, Ingested)
JOBS = (INGEST,)
