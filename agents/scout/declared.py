"""The settings that a training script declares: of its command line, its environment, a Python or a YAML file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agents.declarations import declared
from agents.errors import TargetError
from agents.records import FlagValue
from agents.settings import Flags, Style, flag_value

_ENVIRONMENT = re.compile(r"^(os\.)?(environ\.get|getenv|environ\[\])$")
_YAML_NAME = re.compile(r"\.(ya?ml|json)$")
_LOCAL_CONFIG = re.compile(r"(config|settings|hparams|hyperparameters|params|options)[^/]*$")
SEED = re.compile(r"^(random|global|manual|rng|np|torch)?_?(seed|random_state)$")
OUTPUT = re.compile(
    r"^(output|out|save|log|logging|result|results|checkpoint|ckpt|run|work|exp|experiment|model|metrics)_?"
    r"(dir|directory|folder|path|root|to)$|^(output|out|logdir|outdir|workdir|savedir|rundir)$"
)
LENGTHS = (
    r"^(train|num|max|total|n)_(train_)?(tokens|samples)$",
    r"^((max|num|train|total|n|training)_)*(steps|iters|iterations|iter|updates|batches|rounds)$",
    r"^((max|num|train|total|n|training)_)*epochs$",
    r"^n_estimators$|^num_boost_round$|^trees$",
)


@dataclass(frozen=True)
class Setting:
    """One setting: its name as it is set, its default if it is a plain value, and where it is set."""

    name: str
    default: FlagValue | None
    style: Style
    choices: tuple[FlagValue, ...] = ()
    bare: bool = False
    file: str = ""
    dataclass: str = ""

    @property
    def word(self) -> str:
        """Its name without the place, as one would compare it with another's."""
        return self.name.rpartition(".")[2].replace("-", "_").lower()


def settings_of(files: Mapping[str, str], script: str) -> list[Setting]:
    """Return all settings that a script's own modules declare; `files` are the texts of Python, YAML and JSON files."""
    modules = _modules(files, script)
    trees = {name: tree for name in modules if (tree := _tree(files[name])) is not None}
    words = [setting for tree in trees.values() for setting in _arguments(tree)]
    found = words + [setting for tree in trees.values() for setting in _variables(tree)]
    if any(_takes_fields(tree) for tree in trees.values()):
        found += [setting for name, tree in trees.items() for setting in _fields(name, tree)]
    found += _yaml_settings(files, script, trees)
    found += [setting for name in modules[1:] if _LOCAL_CONFIG.search(name) for setting in _assigned(name, files[name])]
    if not any(is_seed(setting) for setting in found):
        found += _assigned(script, files[script])
    return found


def is_seed(setting: Setting) -> bool:
    """Whether a setting is named as one names a seed."""
    return bool(SEED.match(setting.word))


def is_output(setting: Setting) -> bool:
    """Whether a setting is named as one names the folder of a run's output."""
    return bool(OUTPUT.match(setting.word)) and not isinstance(setting.default, bool | int | float)


def length_rank(setting: Setting) -> int | None:
    """How well a setting's name says how long a run is, 0 the best: tokens, steps, epochs, trees; None: not at all."""
    ranks = (rank for rank, pattern in enumerate(LENGTHS) if re.match(pattern, setting.word))
    return next(ranks, None) if type(setting.default) in (int, float, type(None)) else None


def _tree(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _modules(files: Mapping[str, str], script: str) -> list[str]:
    """The script, and what it imports of the repository, directly or not."""
    found, waiting = list[str](), [script]
    while waiting:
        name = waiting.pop(0)
        if name in found:
            continue
        found.append(name)
        tree = _tree(files[name])
        for module in _imported(tree) if tree else ():
            path, folder = module.replace(".", "/"), name.rpartition("/")[0]
            places = [f"{above}{path}{end}" for above in (f"{folder}/" if folder else "", "") for end in _ENDS]
            waiting += [place for place in places if place in files]
    return found


_ENDS = (".py", "/__init__.py")


def imports_from_root(files: Mapping[str, str], script: str) -> bool:
    """Whether a script in a folder imports what lies at the root, and not beside it."""
    folder, tree = script.rpartition("/")[0], _tree(files[script])
    tops = {module.partition(".")[0] for module in _imported(tree)} if tree and folder else set()

    def lies_in(place: str, top: str) -> bool:
        return any(name == f"{place}{top}.py" or name.startswith(f"{place}{top}/") for name in files)

    return any(lies_in("", top) and not lies_in(f"{folder}/", top) for top in tops)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _arguments(tree: ast.Module) -> Iterator[Setting]:
    """What argparse's add_argument and click's option declare."""
    for call in _calls(tree, ("add_argument", "option")):
        named = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        long = [word.split("/")[0] for word in named if word.startswith("--")]
        if not long:
            continue
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        default, choices = _plain(keywords.get("default")), _several(keywords.get("choices"))
        action = _plain(keywords.get("action"))
        bare = action == "store_true" or _plain(keywords.get("is_flag")) is True
        yield Setting(long[0][2:], False if bare and default is None else default, "arguments", choices, bare)


def _takes_fields(tree: ast.Module) -> bool:
    """Whether flags are made of something else's names, as a dataclass's fields are."""
    return any(call.args and isinstance(call.args[0], ast.JoinedStr) for call in _calls(tree, ("add_argument",)))


def _fields(file: str, tree: ast.Module) -> Iterator[Setting]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(mark) for mark in node.decorator_list):
            for name, value in declared(ast.unparse(tree), Flags(file=file, dataclass=node.name)).items():
                yield Setting(name, value, "arguments", file=file, dataclass=node.name)


def _variables(tree: ast.Module) -> Iterator[Setting]:
    """What is read of the environment."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _ENVIRONMENT.match(ast.unparse(node.func)):
            name, default = _plain(node.args[0]), _plain(node.args[1]) if len(node.args) > 1 else None
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            name, default = _plain(node.slice), None
        else:
            continue
        if isinstance(name, str) and name.isidentifier():
            yield Setting(name, flag_value(default) if isinstance(default, str) else default, "environment")


def _yaml_settings(files: Mapping[str, str], script: str, trees: Mapping[str, ast.Module]) -> list[Setting]:
    """The names of the first YAML file that the code itself names."""
    folder = script.rpartition("/")[0]
    for tree in trees.values():
        for node in ast.walk(tree):
            word = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            places = (word, f"{folder}/{word}") if _YAML_NAME.search(word) else ()
            for place in (place for place in places if place in files):
                try:
                    values = declared(files[place], Flags(style="yaml", file=place))
                except TargetError:
                    continue
                return [Setting(name, value, "yaml", file=place) for name, value in values.items()]
    return []


def _assigned(file: str, text: str) -> list[Setting]:
    """What a module assigns: one of settings, or a script that has its own at its top."""
    try:
        values = declared(text, Flags(style="python", file=file, dataclass=""))
    except TargetError:
        return []
    return [Setting(name, value, "python", file=file) for name, value in values.items() if not name.startswith("_")]


def _calls(tree: ast.Module, names: tuple[str, ...]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
            yield node


def _plain(node: ast.expr | None) -> FlagValue | None:
    try:
        value = ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _several(node: ast.expr | None) -> tuple[FlagValue, ...]:
    values = (_plain(item) for item in node.elts) if isinstance(node, ast.List | ast.Tuple) else ()
    return tuple(value for value in values if value is not None)
