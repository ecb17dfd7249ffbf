"""Compiles a grammar for a model's tokens, in a process that is killed if that takes too long."""

import zlib
from pathlib import Path

import xgrammar

from ...specs.files.errors import InputError
from .compile_job import COMPILE, ToCompile
from .grammar import GrammarKind

JOBS = (COMPILE,)
MOST_BYTES = 2**28
"""Of a compiled grammar, before it is packed."""


def compiled(asked: ToCompile) -> bytes:
    """Return a grammar as the engine takes it; raises InputError for one that cannot be."""
    tokens = xgrammar.TokenizerInfo.deserialize_json(Path(asked.tokens).read_text())
    compiler = xgrammar.GrammarCompiler(tokens, max_threads=1, cache_enabled=False)
    content = asked.grammar.content
    try:
        if asked.grammar.kind is GrammarKind.SCHEMA:
            # Without blanks where JSON allows any number: small models would write nothing else.
            found = compiler.compile_json_schema(content, any_whitespace=False)
        else:
            found = compiler.compile_grammar(content)
    except RuntimeError as error:
        # The library tells the line of its own source first.
        reason = str(error).strip().partition("\n")[0].rpartition(": ")[2]
        raise InputError("grammar", f"cannot be compiled: {reason}") from None
    text = found.serialize_json().encode()
    if len(text) > MOST_BYTES:
        raise InputError("grammar", f"has {len(text)} bytes when it is compiled, expected at most {MOST_BYTES}")
    return zlib.compress(text, 1)
