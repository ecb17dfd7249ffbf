"""Compiles a grammar for a model's tokens, in a process that is killed if that takes too long."""

import zlib
from pathlib import Path

import xgrammar

from ...specs.files.errors import InputError
from .compile_job import COMPILE, ToCompile
from .grammar import GrammarKind
from .pattern_size import check_patterns

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
            check_patterns(content)
            # Without blanks where JSON allows any number: small models would write nothing else.
            found = compiler.compile_json_schema(content, any_whitespace=False)
        else:
            found = compiler.compile_grammar(content)
    except ValueError as error:
        raise InputError("grammar", f"cannot be compiled: {error}") from None
    except RuntimeError as error:
        # The library tells the line of its own source first.
        reason = str(error).strip().partition("\n")[0].rpartition(": ")[2]
        raise InputError("grammar", f"cannot be compiled: {reason}") from None
    if not _may_begin(found):
        raise InputError("grammar", "cannot be compiled: no answer follows it")
    text = found.serialize_json().encode()
    if len(text) > MOST_BYTES:
        raise InputError("grammar", f"has {len(text)} bytes when it is compiled, expected at most {MOST_BYTES}")
    return zlib.compress(text, 1)


def _may_begin(grammar: xgrammar.CompiledGrammar) -> bool:
    """Return whether any token may be the first of an answer: a schema may refer to itself and to nothing else."""
    bits = xgrammar.allocate_token_bitmask(1, grammar.tokenizer_info.vocab_size)
    is_bound = xgrammar.GrammarMatcher(grammar).fill_next_token_bitmask(bits)
    return not is_bound or bool(bits.any())
