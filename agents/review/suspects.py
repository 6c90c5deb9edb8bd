"""Code that could falsify what is measured: seeds, clocks, processes, patched modules, a look at the future or a judge.

A construct counts only if the base's file doesn't hold the same one, so that old code is never blamed on a
patch.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from agents.records import Issue, Severity
from agents.review.sources import Source
from agents.settings import Target

Finding = tuple[Severity, ast.AST, str, str]

_SEEDING = {
    *("random.seed", "random.setstate", "numpy.random.seed", "numpy.random.set_state", "torch.seed"),
    *(
        "torch.manual_seed",
        "torch.random.manual_seed",
        "torch.cuda.manual_seed",
        "torch.cuda.manual_seed_all",
    ),
    *("torch.set_rng_state", "torch.random.set_rng_state", "torch.cuda.set_rng_state"),
}
_OUTSIDE = {
    *("socket", "subprocess", "ctypes", "urllib", "http", "requests", "cffi", "pty"),
    *("os.system", "os.popen", "os.fork", "os.kill", "os.execv", "os.execve", "os.spawnv", "os.posix_spawn"),
    *("eval", "exec", "__import__", "builtins.eval", "builtins.exec"),
}
_OBSERVING = {
    *(
        "time.time",
        "time.perf_counter",
        "time.monotonic",
        "time.process_time",
        "time.time_ns",
        "datetime.datetime.now",
    ),
    *("inspect.stack", "inspect.currentframe", "sys._getframe", "traceback.extract_stack", "gc.get_objects"),
    *("open", "os.open", "os.environ", "os.getenv", "os.listdir", "pathlib.Path", "torch.load", "numpy.load"),
    *(
        "pickle.load",
        "pickle.loads",
        "importlib.import_module",
        "multiprocessing",
        "threading",
        "setattr",
        "globals",
    ),
}
_BUILTINS = {"eval", "exec", "__import__", "open", "setattr", "globals"}
_SWITCHES = ("torch.backends.", "torch._dynamo.config.", "torch._inductor.config.", "os.environ")


def suspect_issues(source: Source, target: Target) -> Iterator[Issue]:
    """The findings in a file that its base does not have."""
    known = Counter(_key(finding) for finding in _findings(source.before, target))
    for finding in _findings(source.after, target):
        if known[_key(finding)]:
            known[_key(finding)] -= 1
            continue
        severity, node, issue, fix = finding
        yield Issue(severity=severity, file=source.path, line=getattr(node, "lineno", None), issue=issue, fix=fix)
    yield from _lost_seeds(source)


def _key(finding: Finding) -> tuple[str, str]:
    return ast.dump(finding[1]), finding[2]


def _findings(tree: ast.Module, target: Target) -> Iterator[Finding]:
    imported = _imported(tree)
    reported = {target.metric.name, target.metric.value.split(".")[-1], "metrics"}
    files = {PurePosixPath(file).name for file in target.evaluation.tokens.values()}
    judges = files | (target.evaluation.tokens.keys() - {"hidden"})  # which names layers, and no run is given
    for node in ast.walk(tree):
        yield from _reach(node, imported)
        yield from _binding(node, imported, reported)
        if isinstance(node, ast.Call):
            yield from _seeding(node, imported)
            yield from _future(node)
        elif isinstance(node, ast.Constant) and node.value in judges:
            what = f"`{_brief(node)}` names a split that judges: only the evaluation may read it."
            yield "CRITICAL", node, what, "Train on the training split alone."
        elif isinstance(node, ast.Subscript) and _shifted(node):
            yield (
                "WARNING",
                node,
                f"`{_brief(node)}` shifts a sequence: it may show the model its target.",
                "Check the shift.",
            )


def _imported(tree: ast.Module) -> dict[str, str]:
    """Local names of imported things -> their full dotted names."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                names[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module or ''}.{alias.name}" for alias in node.names}
    return names


def _dotted(node: ast.AST, imported: dict[str, str]) -> str:
    """The full name of `module.part` or of a bare name, and '' for any other expression."""
    if isinstance(node, ast.Name):
        return imported.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value, imported)):
        return f"{owner}.{node.attr}"
    return ""


def _reach(node: ast.AST, imported: dict[str, str]) -> Iterator[Finding]:
    """Processes, networks and evaluated text; clocks, files, the environment and the stack."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and node.id in _BUILTINS | imported.keys()):
        names = [_dotted(node, imported)]
    for name in names:
        if name in _OUTSIDE or (name.split(".")[0] in _OUTSIDE and not isinstance(node, ast.Attribute)):
            yield "CRITICAL", node, f"Training code has no use for {name}.", "Leave it out."
        elif name in _OBSERVING:
            yield (
                "WARNING",
                node,
                f"{name} lets training depend on more than its configs and data.",
                "Leave it out.",
            )


def _binding(node: ast.AST, imported: dict[str, str], reported: set[str]) -> Iterator[Finding]:
    """Assignments, setattr, keywords and dictionaries that patch a module, set a seed or write what is reported."""
    for target, value in _bound(node):
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        root = target
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if root is not target and isinstance(root, ast.Name) and root.id in imported:
            dotted = _dotted(target.value if isinstance(target, ast.Subscript) else target, imported)
            severity: Severity = "WARNING" if dotted.startswith(_SWITCHES) else "CRITICAL"
            yield (
                severity,
                node,
                f"`{_brief(node)}` replaces a part of {imported[root.id]}.",
                "Leave other modules as they are.",
            )
        if name == "seed" and not _is_seed(value):
            derived = isinstance(value, ast.Call) and not isinstance(node, ast.AugAssign)
            yield (
                "WARNING" if derived else "CRITICAL",
                node,
                "The patch sets a seed.",
                "Seeds are handed in; leave them.",
            )
        if name in reported:
            yield (
                "WARNING",
                node,
                f"The patch writes {name}, which is what a run reports.",
                "Leave the report alone.",
            )


def _bound(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            yield from ((target, value) for target in targets)
        case ast.AugAssign(target=target, value=value):
            yield target, value
        case ast.AnnAssign(target=target, value=ast.expr() as value) if not isinstance(value, ast.Call):
            yield target, value
        case ast.Call(func=ast.Name(id="setattr"), args=[owner, ast.Constant(value=str(name)), value]):
            yield ast.Attribute(owner, name, ast.Store()), value
        case ast.Call(keywords=keywords):
            yield from ((ast.Name(k.arg, ast.Store()), k.value) for k in keywords if k.arg == "seed")
        case ast.Dict(keys=keys, values=values):
            named = zip(keys, values, strict=True)
            yield from ((ast.Name("seed", ast.Store()), v) for k, v in named if getattr(k, "value", None) == "seed")


def _seeding(node: ast.Call, imported: dict[str, str]) -> Iterator[Finding]:
    name = _dotted(node.func, imported)
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    literal = bool(node.args) and isinstance(node.args[0], ast.Constant)
    draws = method == "manual_seed" or name in (
        "numpy.random.default_rng",
        "numpy.random.RandomState",
        "random.Random",
    )
    if name in _SEEDING or (draws and literal):
        yield (
            "CRITICAL",
            node,
            f"`{_brief(node)}` sets the state of a random generator.",
            "Seeds are handed in; leave them.",
        )
    elif draws or method == "set_state" or name.startswith("numpy.random."):
        yield (
            "WARNING",
            node,
            f"`{_brief(node)}` makes random numbers of its own.",
            "Derive them from the run's seed.",
        )


def _is_seed(node: ast.AST | None) -> bool:
    return getattr(node, "attr", getattr(node, "id", "")) == "seed"


def _lost_seeds(source: Source) -> Iterator[Issue]:
    """Calls that were handed the run's seed and are gone, while seeds are still used: they got another."""
    used = [
        {
            ast.dump(node): node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and any(map(_is_seed, node.args))
        }
        for tree in (source.before, source.after)
    ]
    for dump, node in used[0].items():
        if dump not in used[1] and source.after.body:
            what = f"`{_brief(node)}` used the run's seed and is gone."
            line = next(
                (new.lineno for new in _calls(source.after) if ast.dump(new.func) == ast.dump(node.func)),
                None,
            )
            yield Issue(severity="CRITICAL", file=source.path, line=line, issue=what, fix="Restore it.")


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _future(node: ast.Call) -> Iterator[Finding]:
    """Attention without a causal mask, and calls that move later tokens to earlier places."""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    causal = given.get("is_causal")
    if name == "scaled_dot_product_attention" or causal is not None:
        masked = bool({"attn_mask", None} & given.keys()) or len(node.args) > 3
        denied = isinstance(causal, ast.UnaryOp) or (isinstance(causal, ast.Constant) and not causal.value)
        if causal is None or denied:
            severity: Severity = "WARNING" if masked else "CRITICAL"
            yield (
                severity,
                node,
                "This attention is not causal: it sees the tokens it predicts.",
                "Set is_causal=True.",
            )
        elif not isinstance(causal, ast.Constant):
            yield (
                "WARNING",
                node,
                "Whether this attention is causal depends on a value.",
                "Set is_causal=True.",
            )
    if name in ("roll", "flip", "fliplr"):
        yield (
            "WARNING",
            node,
            f"`{_brief(node)}` brings later tokens to earlier places.",
            "Pad and slice instead.",
        )


def _shifted(node: ast.Subscript) -> bool:
    """Whether a subscript is like x[:, 1:], which drops the first of a later dimension."""
    later = node.slice.elts[1:] if isinstance(node.slice, ast.Tuple) and isinstance(node.ctx, ast.Load) else []
    return any(
        isinstance(part, ast.Slice)
        and part.upper is None
        and isinstance(part.lower, ast.Constant)
        and part.lower.value == 1
        for part in later
    )


def _brief(node: ast.AST) -> str:
    return ast.unparse(node)[:80]
