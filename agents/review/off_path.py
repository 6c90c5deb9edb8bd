"""Whether changed code can run with the plan's flags off: an approximation from the syntax trees.

Code is compared function by function as statements without their place, so that moving one into an `if` is no
change. A changed statement is harmless when a test of a flag guards it, or when it hands a flag on. The
regression run decides bitwise, so only clear cases are CRITICAL: an inverted flag, and an operator that was
swapped.
"""

from __future__ import annotations

import ast
import copy
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from agents.records import Issue
from agents.review.paths import critical
from agents.review.sources import Source

UNKNOWN = object()
Off = Mapping[str, object]  # what the flags, and the names derived from them, are with the flags off
Guard = tuple[ast.expr, bool]  # a test, and whether the guarded statement runs when it is true
Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
State = Literal["always", "on", "off"]  # when a statement runs: whatever the flags, with them on, only with them off

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_IDLE = (ast.Import, ast.ImportFrom, ast.Pass, ast.Assert, ast.Global, ast.Nonlocal)
_COMPARE: dict[type[ast.cmpop], Callable[[object, object], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,  # type: ignore[dict-item]  # a TypeError is an answer: the value is unknown
    ast.LtE: operator.le,  # type: ignore[dict-item]
    ast.Gt: operator.gt,  # type: ignore[dict-item]
    ast.GtE: operator.ge,  # type: ignore[dict-item]
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}


def off_path_issues(sources: list[Source], flags: Off, settings: str) -> Iterator[Issue]:
    """Review every changed function; the settings themselves are declarations, reviewed elsewhere."""
    known = {name for source in sources for name in _names(source.before)}
    off = _derived(sources, flags, known)
    for source in sources:
        before = dict(_scopes(source.before))
        for name, scope in _scopes(source.after):
            declares = source.path == settings and not isinstance(scope, _FUNCTIONS)
            if name in before and not declares:
                yield from _Changes(source.path, before[name], scope, off, known).issues()


class _Changes:
    """What changed in one scope: `fresh` are its statements that the base's scope did not have."""

    def __init__(self, path: str, before: Scope, after: Scope, off: Off, known: set[str]) -> None:
        self.path, self.before, self.after, self.off, self.known = path, before, after, off, known
        old, new = list(_steps(before.body)), list(_steps(after.body))
        old_heads, new_heads = {_head(s) for s, _ in old}, {_head(s) for s, _ in new}
        running = {_head(s) for s, guards in new if self._state(guards) != "on"}
        self.fresh = [(s, guards) for s, guards in new if _head(s) not in old_heads and not self._idle(s)]
        gone = [(s, guards) for s, guards in old if _head(s) not in running and not self._idle(s)]
        self.lost = [s for s, guards in gone if self._state(guards) != "on"]
        self.vanished = [s for s, _ in gone if _head(s) not in new_heads]

    def issues(self) -> Iterator[Issue]:
        yield from self._signature()
        replaced = False
        for statement, guards in self.fresh:
            state, swapped = self._state(guards), self._swapped(statement)
            branches = isinstance(statement, ast.If | ast.While) and _mentions(statement.test, self.off)
            if state == "on" or (branches and not swapped):
                continue  # the test of a flag is harmless; what it leads to has its own turn
            replaced = True
            if swapped:
                yield self._critical(statement, "Only an operator or sign differs from the base.", "Restore it.")
            elif self._inverted(statement, guards) or any(map(self._inverted_choice, ast.walk(statement))):
                yield self._critical(statement, "The flag is inverted: this runs with it off.", "Turn the test.")
            elif state == "off" or not _mentions(statement, self.off):
                yield self._warning(statement, "Off-path computation: this runs with the flag off.")
        if self.lost and not replaced:
            where = self.after if isinstance(self.after, ast.stmt) else self.lost[0]
            yield self._warning(where, f"`{_brief(self.lost[0])}` no longer runs with the flag off.")

    def _signature(self) -> Iterator[Issue]:
        if not (isinstance(self.before, _FUNCTIONS) and isinstance(self.after, _FUNCTIONS)):
            return
        old, new = _parameters(self.before), _parameters(self.after)
        changed = [name for name, default in old.items() if new.get(name) != default]
        required = [name for name in new.keys() - old.keys() if new[name] is None and name not in self.off]
        if changed or required:
            yield self._warning(self.after, f"The parameter {min(changed + required)} changed for every caller.")
        if [*map(ast.dump, self.before.decorator_list)] != [*map(ast.dump, self.after.decorator_list)]:
            yield self._warning(self.after, "The decorators changed, whatever the flag.")

    def _state(self, guards: tuple[Guard, ...]) -> State:
        flagged = [(_value(test, self.off), taken) for test, taken in guards if _mentions(test, self.off)]
        if not flagged:
            return "always"
        return "off" if all(v is not UNKNOWN and bool(v) == taken for v, taken in flagged) else "on"

    def _idle(self, statement: ast.stmt) -> bool:
        """Whether a statement computes nothing: an import, a docstring, a definition, a new constant."""
        if isinstance(statement, (*_IDLE, *_FUNCTIONS, ast.ClassDef)):
            return True
        if isinstance(statement, ast.Expr):
            return isinstance(statement.value, ast.Constant)
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            return False
        new = not any(name in self.known for target in _targets(statement) for name in target)
        value = statement.value
        if isinstance(value, ast.Subscript) and ast.unparse(value.value).split(".")[-1] == "Literal":
            return True
        constant = value is None or isinstance(value, ast.Constant)
        return new and (constant or not isinstance(self.after, _FUNCTIONS))

    def _swapped(self, statement: ast.stmt) -> bool:
        return _unsigned(statement) in {_unsigned(old) for old in self.vanished}

    def _inverted(self, statement: ast.stmt, guards: tuple[Guard, ...]) -> bool:
        """Whether new code runs only with the flag off, none runs with it on, and nothing was replaced."""
        if self._state(guards) != "off" or self.vanished:
            return False
        if isinstance(statement, _LEAVES) and not any(isinstance(n, ast.Call) for n in ast.walk(statement)):
            return False
        tests = {(id(test), not taken) for test, taken in guards}
        return not any(tests & {(id(t), taken) for t, taken in other} for _, other in self.fresh)

    def _inverted_choice(self, node: ast.AST) -> bool:
        """Whether `a if test else b` takes something new with the flag off and the base's own with it on."""
        if not isinstance(node, ast.IfExp) or not _mentions(node.test, self.off):
            return False
        truth = _value(node.test, self.off)
        if truth is UNKNOWN:
            return False
        off, on = (node.body, node.orelse) if truth else (node.orelse, node.body)
        base = {ast.dump(old) for old in ast.walk(self.before) if isinstance(old, ast.expr)}
        if isinstance(on, ast.Constant) or not any(map(_computes, ast.walk(off))):
            return False
        return ast.dump(off) not in base and ast.dump(on) in base

    def _critical(self, statement: ast.stmt, issue: str, fix: str) -> Issue:
        return critical(self.path, f"`{_brief(statement)}`: {issue}", fix, statement.lineno)

    def _warning(self, node: ast.stmt, issue: str) -> Issue:
        what, fix = f"`{_brief(node)}`: {issue}", "Let a test of the flag guard it."
        return Issue(severity="WARNING", file=self.path, line=node.lineno, issue=what, fix=fix)


def _scopes(tree: Scope, prefix: str = "") -> Iterator[tuple[str, Scope]]:
    """Modules, classes and functions by their dotted names, the outer before the inner."""
    yield prefix, tree
    for statement, _ in _steps(tree.body):
        if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
            yield from _scopes(statement, f"{prefix}.{statement.name}")


def _steps(block: list[ast.stmt], guards: tuple[Guard, ...] = ()) -> Iterator[tuple[ast.stmt, tuple[Guard, ...]]]:
    """The statements of a scope with their guards; after `if t: return`, the rest runs if not t."""
    for statement in block:
        yield statement, guards
        if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
            continue
        if isinstance(statement, ast.If | ast.While):
            yield from _steps(statement.body, (*guards, (statement.test, True)))
            yield from _steps(statement.orelse, (*guards, (statement.test, False)))
        else:
            yield from _steps(_inner(statement), guards)
        if isinstance(statement, ast.If):
            if isinstance(statement.body[-1], _LEAVES):
                guards = (*guards, (statement.test, False))
            elif statement.orelse and isinstance(statement.orelse[-1], _LEAVES):
                guards = (*guards, (statement.test, True))


def _inner(statement: ast.stmt) -> list[ast.stmt]:
    """The statements directly inside a loop, a with, a try or a match."""
    inner: list[ast.stmt] = []
    for name in _BLOCKS:
        for part in getattr(statement, name, []):
            inner += [part] if isinstance(part, ast.stmt) else part.body
    return inner


def _head(statement: ast.stmt) -> str:
    """A statement without its place and its blocks, as comparable text."""
    return ast.dump(_without_blocks(statement))


def _without_blocks(statement: ast.stmt) -> ast.stmt:
    shallow = copy.copy(statement)
    for name in _BLOCKS:
        if hasattr(shallow, name):
            setattr(shallow, name, [])
    return shallow


class _Unsigned(ast.NodeTransformer):
    """Forgets what a slip of a sign changes: + or -, * or /, < or >, = or not, and unary minus and not."""

    _PAIRS: Mapping[type[ast.AST], type[ast.AST]] = {
        ast.Sub: ast.Add,
        ast.Div: ast.Mult,
        ast.Gt: ast.Lt,
        ast.GtE: ast.Lt,
        ast.LtE: ast.Lt,
        ast.NotEq: ast.Eq,
        ast.IsNot: ast.Is,
    }

    def visit(self, node: ast.AST) -> ast.AST:
        node = super().generic_visit(node)
        if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Invert):
            return node.operand
        return self._PAIRS.get(type(node), lambda: node)()


def _unsigned(statement: ast.stmt) -> str:
    return ast.dump(_Unsigned().visit(copy.deepcopy(_without_blocks(statement))))


def _computes(node: ast.AST) -> bool:
    """Whether a node makes something of something; a call without arguments, as nn.Identity(), only builds."""
    return isinstance(node, ast.BinOp) or (isinstance(node, ast.Call) and bool(node.args or node.keywords))


def _brief(statement: ast.stmt) -> str:
    return ast.unparse(statement).splitlines()[0][:80]


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, str | None]:
    """The parameters with their defaults as text; None where there is none."""
    return {name: ast.dump(default) if default else None for name, default in _defaults(function.args)}


def _defaults(a: ast.arguments) -> Iterator[tuple[str, ast.expr | None]]:
    places = [*a.posonlyargs, *a.args]
    padded = [*[None] * (len(places) - len(a.defaults)), *a.defaults]
    yield from ((arg.arg, default) for arg, default in zip(places, padded, strict=True))
    yield from ((arg.arg, default) for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True))
    yield from ((arg.arg, None) for arg in (a.vararg, a.kwarg) if arg)


def _names(tree: ast.AST) -> Iterator[str]:
    """Every identifier of a tree, and every short string, which may name one (getattr)."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.Constant(value=str(name)):
                yield name


def _mentions(node: ast.AST, off: Off) -> bool:
    return any(name in off for name in _names(node))


def _targets(statement: ast.Assign | ast.AnnAssign) -> Iterator[set[str]]:
    """The names that an assignment binds, one set a target: x, self.x, or all of a tuple; empty for x[0]."""
    for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
        match target:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield {name}
            case _:
                yield set(_names(target))


def _derived(sources: list[Source], flags: Off, known: set[str]) -> Off:
    """The flags' off values, and those of the patch's own names that follow from them, to a fixed point."""
    off = dict(flags)
    bound = [binding for source in sources for binding in _bindings(source) if binding[0] not in known]
    size = -1
    while size != len(off):
        size = len(off)
        for name, value, guards in bound:
            if name in off:
                continue
            if any(_mentions(test, off) for test, _ in guards):
                off[name] = UNKNOWN
            elif value is not None and _mentions(value, off):
                off[name] = _value(value, off)
    for name, default in (parameter for source in sources for parameter in _new_parameters(source)):
        off.setdefault(name, UNKNOWN if name in known else _value(default, off))
    return off


def _new_parameters(source: Source) -> Iterator[tuple[str, ast.expr]]:
    """The parameters with defaults that functions of the base gained: they hand a flag on."""
    before = dict(_scopes(source.before))
    for place, scope in _scopes(source.after):
        earlier = before.get(place)
        if isinstance(scope, _FUNCTIONS) and isinstance(earlier, _FUNCTIONS):
            for name, default in _defaults(scope.args):
                if name not in _parameters(earlier) and default is not None:
                    yield name, default


def _bindings(source: Source) -> Iterator[tuple[str, ast.expr | None, tuple[Guard, ...]]]:
    """What may carry a flag on: assignments with their guards, and keywords of calls."""
    for _, scope in _scopes(source.after):
        for statement, guards in _steps(scope.body):
            if isinstance(statement, ast.Assign | ast.AnnAssign):
                for names in _targets(statement):
                    yield from ((name, statement.value, guards) for name in names)
    for node in ast.walk(source.after):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value, ()


def _value(node: ast.expr, off: Off) -> object:
    """What an expression is with the flags off, or UNKNOWN."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return off.get(name, UNKNOWN)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            truth = _value(operand, off)
            return UNKNOWN if truth is UNKNOWN else not truth
        case ast.BoolOp(op=op, values=parts):
            values = [_value(part, off) for part in parts]
            decides = isinstance(op, ast.Or)
            if any(value is not UNKNOWN and bool(value) == decides for value in values):
                return decides
            return UNKNOWN if UNKNOWN in values else not decides
        case ast.IfExp(test=test, body=body, orelse=orelse):
            truth = _value(test, off)
            return UNKNOWN if truth is UNKNOWN else _value(body if truth else orelse, off)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            pair = _value(left, off), _value(right, off)
            if pair[1] is None and pair[0] is not None:
                return UNKNOWN  # no flag is ever None: the name is that of something made from the flag
            try:
                return UNKNOWN if UNKNOWN in pair else _COMPARE[type(op)](*pair)
            except TypeError:
                return UNKNOWN
    return UNKNOWN
