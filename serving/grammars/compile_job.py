"""The job that compiles a grammar, as those know it who ask for it: they load neither xgrammar nor torch."""

import importlib
from typing import Any

import msgspec

from ..workers.job import Job
from .grammar import Grammar

COMPILING = "verilora.serving.grammars.compiling"
"""The module that compiles, and whose table of jobs a host of them is started with, so that it has loaded xgrammar."""


class ToCompile(msgspec.Struct, frozen=True, array_like=True):
    """A grammar, and the file of the tokens that it is compiled for."""

    grammar: Grammar
    tokens: str


def _compile(asked: ToCompile) -> bytes:
    compiling: Any = importlib.import_module(COMPILING)
    compiled: bytes = compiling.compiled(asked)
    return compiled


COMPILE = Job("compile_grammar", _compile, ToCompile, bytes)
