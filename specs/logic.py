"""The one door to Spot (https://spot.lre.epita.fr): linear temporal logic, automata and decision diagrams.

Only this module imports `spot` and `buddy`; the other rooms take them from here. What has to be known about them
is dealt with here, once:

* Automata can be combined only if they share a dictionary, and parsed automata always use Spot's default one. So
  `DICTIONARY` is that one, and everything is made in it.
* A decision diagram is an integer that loses its meaning when the last automaton that uses its variables is freed.
  `_KEEPER` registers every proposition and lives as long as the process.
* The label of an edge or of a run's step points into the automaton or run it was read from: `owned` copies it.
* BuDDy is one global, unlocked kernel. The interpreter's lock serialises the calls, so threads are safe and gain
  nothing; an interpreter without that lock is refused. Work in parallel takes processes (`verify/verdicts/batch.py`).
* Neither formulas nor automata can be pickled. `Formula` can; automata travel as HOA text.
"""

import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

with warnings.catch_warnings():
    # Spot's types warn while they are made, and the process ends where that is an error (`python -W error`).
    warnings.simplefilter("ignore")
    import spot as spot
    from spot import buddy as buddy

if not getattr(sys, "_is_gil_enabled", lambda: True)():
    raise ImportError("verilora needs an interpreter with the global lock: Spot's BuDDy is not thread-safe")

Bdd = Any
Automaton = Any

DICTIONARY = spot._bdd_dict
_KEEPER = spot.make_twa_graph(DICTIONARY)
# Of a formula in a file. Spot recurses on formulas: at some 50,000 nested operators it ends the process.
MAX_LEN = 10_000
MAX_DEPTH = 100
NAME = re.compile(r"(?!(?:true|false|xor)$)[a-z][a-z0-9_]*")


class Formula:
    """An LTL formula over propositions and actions, as written and as parsed; equal when Spot finds them identical.

    `text` is what was written, `ltl` the `spot.formula`. Raises ValueError with the column of a syntax error.
    """

    __slots__ = ("ltl", "text")

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        try:
            self.ltl = spot.formula(self.text)
        except SyntaxError as error:
            raise ValueError(_syntax_message(self.text, str(error))) from None
        # Spot also reads prefix notation, which would break inside the parentheses of a conjunction or a negation.
        if spot.parse_infix_psl(self.text).format_errors(spot.ostringstream()):
            raise ValueError(f"{self.text!r} is in prefix notation, expected infix")
        if not self.ltl.is_ltl_formula():
            raise ValueError(
                f"{self.text!r} is not a formula of linear temporal logic (a regular expression operator?)"
            )
        if "X[!]" in str(self.ltl):
            raise ValueError(f"{self.text!r} uses 'X[!]', which is for finite traces only: expected 'X'")
        if _depth(self.ltl) > MAX_DEPTH:
            raise ValueError(f"operators nest deeper than {MAX_DEPTH} in '{self.text[:60]}…'")
        for name in sorted(self.propositions):
            if not NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} in {self.text!r} cannot name a proposition: expected lower-case letters, digits and '_'"
                )
            # Keep its variable, whatever becomes of the automata that are made from the formula.
            variable(name)

    @property
    def propositions(self) -> frozenset[str]:
        """The names that occur, actions included."""
        return frozenset(ap.ap_name() for ap in spot.atomic_prop_collect(self.ltl))

    @property
    def is_boolean(self) -> bool:
        """Whether it speaks of one instant only."""
        return bool(self.ltl.is_boolean())

    @property
    def manna_pnueli_class(self) -> str:
        """Name of the smallest class of Manna and Pnueli's hierarchy that holds it (safety, recurrence, ...)."""
        return str(spot.mp_class(self.ltl, "v"))

    @property
    def is_syntactic_safety(self) -> bool:
        """Whether its form alone shows that it is a safety formula, which takes no time to find out."""
        return bool(self.ltl.is_syntactic_safety())

    @property
    def is_safety(self) -> bool:
        """Whether each violation shows after finitely many steps."""
        return spot.mp_class(self.ltl) in "BS"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and bool(self.ltl == other.ltl)

    def __hash__(self) -> int:
        return hash(str(self.ltl))

    def __reduce__(self) -> tuple[type["Formula"], tuple[str]]:
        return Formula, (self.text,)

    def __repr__(self) -> str:
        return f"Formula({self.text!r})"

    def __str__(self) -> str:
        return self.text

    def __invert__(self) -> "Formula":
        return Formula(f"!({self.text})")

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: type, _handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.no_info_after_validator_function(cls, core_schema.str_schema(max_length=MAX_LEN))
        return core_schema.no_info_wrap_validator_function(
            lambda value, parse: value if isinstance(value, cls) else parse(value),
            written,
            serialization=core_schema.to_string_ser_schema(),
        )


def conjunction(formulas: Iterable[Formula]) -> Formula:
    """Return the conjunction, `true` of none."""
    return Formula(" & ".join(f"({formula.text})" for formula in formulas) or "true")


@cache
def variable(name: str) -> Bdd:
    """Return the decision diagram of a proposition; its variable stays valid for the life of the process."""
    return buddy.bdd_ithvar(_KEEPER.register_ap(name))


def cube(names: Iterable[str]) -> Bdd:
    """Return the conjunction of the propositions, which is also how BuDDy takes a set of variables."""
    diagram = buddy.bddtrue
    for name in names:
        diagram = diagram & variable(name)
    return diagram


def exactly_one(names: Iterable[str], chosen: str) -> Bdd:
    """Return "`chosen` and none of the other names"."""
    return letter_diagram((chosen,), (name for name in names if name != chosen))


def one_of(names: Sequence[str]) -> Bdd:
    """Return "exactly one of the names"."""
    diagram = buddy.bddfalse
    for name in names:
        diagram = diagram | exactly_one(names, name)
    return diagram


def owned(label: Bdd) -> Bdd:
    """Return a copy of a label that outlives the automaton or run it was read from."""
    return label & buddy.bddtrue


def boolean_diagram(formula: Any) -> Bdd:
    """Return the decision diagram of a Boolean `spot.formula`."""
    for ap in spot.atomic_prop_collect(formula):
        variable(ap.ap_name())
    return spot.formula_to_bdd(formula, DICTIONARY, _KEEPER)


def letter_diagram(true: Iterable[str], false: Iterable[str]) -> Bdd:
    """Return the cube of one (partial) letter."""
    diagram = cube(true)
    for name in false:
        diagram = diagram & -variable(name)
    return diagram


def new_automaton(names: Iterable[str]) -> Automaton:
    """Return an empty automaton in the shared dictionary that knows the propositions."""
    automaton = spot.make_twa_graph(DICTIONARY)
    for name in names:
        variable(name)
        automaton.register_ap(name)
    return automaton


def _depth(ltl: Any) -> int:
    """Return how deep operators nest, without recursion."""
    depth, level = 0, [ltl]
    while level:
        depth += 1
        if depth > MAX_DEPTH + 1:
            break
        level = [part for formula in level for part in formula]
    return depth - 1


def _syntax_message(text: str, spot_message: str) -> str:
    """Turn Spot's picture of an error (text, carets, reason) into one line with a column."""
    _, _, after = spot_message.partition(">>> ")
    lines = after.splitlines()
    carets, reason = (lines[1], lines[2]) if len(lines) > 2 else ("    ^", "not a formula")
    column = carets.index("^") - len(">>> ") + 1
    return f"syntax error at column {column} of {text!r}: {reason.removeprefix('syntax error, ')}"
