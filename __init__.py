"""VeriLoRA: fine-tune a language model with a model checker in the loop.

The names below are the public ones; docs/api.md has an example of each. They resolve when they are used, so that
`import verilora` costs nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .serving.engine.engine import Engine
    from .serving.engine.generator import Generator
    from .serving.requests.request import Output, Request
    from .serving.requests.sampling_params import SamplingParams
    from .serving.schedule.settings import EngineSettings
    from .specs.domain import SHIPPED, Domain, load_domain
    from .specs.files.errors import InputError
    from .specs.logic import Formula
    from .specs.rulebook import Rule, Rulebook
    from .synth.controllers.controller import Controller, Ending, Otherwise, Reading
    from .synth.controllers.drawing import draw_controller
    from .synth.controllers.steps import InvalidController
    from .synth.models.generates import Sampling
    from .verify.audits.audit import Audit
    from .verify.audits.drive import drive
    from .verify.certificates.certificate import Certificate, read_certificate
    from .verify.checking.check import Runs
    from .verify.records.run import Run, read_run
    from .verify.records.verdict import Mode, Status, Verdict, Witness
    from .verify.rulebooks.lint import RulebookLint, lint
    from .verify.verdicts.ranked_answer import RankedAnswer
    from .verify.verdicts.settings import Settings
    from .verify.verdicts.synthesize import synthesize
    from .verify.verdicts.verifier import Verifier, verify_text
    from .verify.worlds.world import WorldKind

    __version__: str

__all__ = [
    "SHIPPED",
    "Audit",
    "Certificate",
    "Controller",
    "Domain",
    "Ending",
    "Engine",
    "EngineSettings",
    "Formula",
    "Generator",
    "InputError",
    "InvalidController",
    "Mode",
    "Otherwise",
    "Output",
    "RankedAnswer",
    "Reading",
    "Request",
    "Rule",
    "Rulebook",
    "RulebookLint",
    "Run",
    "Runs",
    "Sampling",
    "SamplingParams",
    "Settings",
    "Status",
    "Verdict",
    "Verifier",
    "Witness",
    "WorldKind",
    "__version__",
    "draw_controller",
    "drive",
    "lint",
    "load_domain",
    "read_certificate",
    "read_run",
    "synthesize",
    "verify_text",
]

_NAMES = {
    "serving.engine.engine": ("Engine",),
    "serving.engine.generator": ("Generator",),
    "serving.requests.request": ("Output", "Request"),
    "serving.requests.sampling_params": ("SamplingParams",),
    "serving.schedule.settings": ("EngineSettings",),
    "specs.domain": ("SHIPPED", "Domain", "load_domain"),
    "specs.files.errors": ("InputError",),
    "specs.logic": ("Formula",),
    "specs.rulebook": ("Rule", "Rulebook"),
    "synth.controllers.controller": ("Controller", "Ending", "Otherwise", "Reading"),
    "synth.controllers.drawing": ("draw_controller",),
    "synth.controllers.steps": ("InvalidController",),
    "synth.models.generates": ("Sampling",),
    "verify.audits.audit": ("Audit",),
    "verify.audits.drive": ("drive",),
    "verify.certificates.certificate": ("Certificate", "read_certificate"),
    "verify.checking.check": ("Runs",),
    "verify.records.run": ("Run", "read_run"),
    "verify.records.verdict": ("Mode", "Status", "Verdict", "Witness"),
    "verify.rulebooks.lint": ("RulebookLint", "lint"),
    "verify.verdicts.ranked_answer": ("RankedAnswer",),
    "verify.verdicts.settings": ("Settings",),
    "verify.verdicts.synthesize": ("synthesize",),
    "verify.verdicts.verifier": ("Verifier", "verify_text"),
    "verify.worlds.world": ("WorldKind",),
}


def __dir__() -> list[str]:
    return sorted(__all__)


# Type checkers would take it for a promise that every name exists.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "__version__":
            return _version()
        for module, names in _NAMES.items():
            if name in names:
                from importlib import import_module

                return getattr(import_module(f".{module}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    """Return the version of this code: a checkout says it in pyproject.toml, an installed wheel in its metadata."""
    import tomllib
    from importlib.metadata import version
    from pathlib import Path

    project = Path(__file__).with_name("pyproject.toml")
    if project.is_file():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    return version(__name__)
