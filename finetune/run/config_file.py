"""The file that holds what a run does, `config.json`, in the form in which reports read it."""

from ...specs.files.atomic import write_json
from ...specs.files.errors import InputError
from ...verify.records.run import Provenance, RunConfig, read_config
from ...verify.records.run_files import RunFiles
from .config import TrainConfig


def write_config(files: RunFiles, config: TrainConfig, provenance: Provenance) -> None:
    """Make the directory of a run and its config.json, in the form in which reports read it."""
    files.evaluated("").parent.mkdir(parents=True, exist_ok=True)
    settings = config.to_json()
    content = RunConfig.model_validate({**settings, **provenance.model_dump()}).model_dump(mode="json")
    write_json(files.config, {**{name: content[name] for name in settings}, **content})


def read_settings(files: RunFiles) -> TrainConfig:
    """Return the settings in a run's config.json; raises InputError."""
    try:
        return TrainConfig.from_json(read_config(files).model_dump(mode="json"))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(files.config, f"not the configuration of a run: {error}") from None
