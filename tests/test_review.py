"""The mechanical review: what it catches of seeded bugs, and that it lets honest patches pass.

A case in tests/seeded_bugs is a diff against the small trainer in its tree.diff, committed by git; its first
line is the plan's flags as JSON. No .py file lies there, so that nothing takes the tree for the trainer.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from agents.records import Flag, Issue, Plan
from agents.review import mechanical_issues
from agents.review.diff import read_diff
from agents.settings import Target

CASES = Path(__file__).parent / "seeded_bugs"
BUGS = {
    "sign": "operator or sign",
    "inverted_flag": "inverted",
    "inverted_choice": "inverted",
    "causal_leak": "not causal",
    "causal_mask_off": "not causal",
    "seed_edited": "the run's seed",
    "off_path": "Off-path",
    "off_path_lost": "no longer runs",
    "default_changed": "default of muon_momentum changed",
    "preset_changed": "CPU changed",
    "wrong_default": "plan's default is True",
    "dead_flag": "dead",
    "undeclared_flag": "not a field",
    "protected_file": "may not edit",
    "undefined_name": "F821",
    "patched_evaluation": "replaces a part of trainer",
}
HINTS = {"off_path", "off_path_lost"}  # only a run can tell these from honest code: a WARNING
HONEST = sorted(path.stem for path in (CASES / "honest").glob("*.diff"))
SMEAR = Flag(name="smear", default=False, value=True)
FIELD = '    smear: bool = setting(False, "mix the previous token in")\n'


class Patched:
    """A base tree and a version of it, both exported, with git's own diff between them."""

    def __init__(self, folder: Path) -> None:
        self.work, self.base, self.version = folder / "work", folder / "base", folder / "version"
        self.work.mkdir()
        self.git("init", "--quiet")
        self.git("apply", str(CASES / "tree.diff"))
        shutil.copytree(self.work, self.base, ignore=shutil.ignore_patterns(".git"))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "base")

    def git(self, *words: str) -> bytes:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "core.autocrlf=false")
        return subprocess.run(["git", *identity, *words], cwd=self.work, check=True, capture_output=True).stdout

    def write(self, name: str, text: str) -> Patched:
        (self.work / name).parent.mkdir(parents=True, exist_ok=True)
        (self.work / name).write_text(text, encoding="utf-8", newline="")
        return self

    def edit(self, name: str, old: str, new: str) -> Patched:
        text = (self.work / name).read_text(encoding="utf-8")
        assert text.count(old) == 1
        return self.write(name, text.replace(old, new))

    def review(self, *flags: Flag) -> tuple[Issue, ...]:
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", "version")
        diff = self.git("diff", "--binary", "HEAD~1", "HEAD")
        shutil.copytree(self.work, self.version, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        return mechanical_issues(base=self.base, version=self.version, diff=diff, plan=plan(*flags), target=target())


def plan(*flags: Flag) -> Plan:
    return Plan(title="", hypothesis="", method="", flags=flags or (SMEAR,), criteria="")


def target(settings: str = "trainer/config.py") -> Target:
    editable = ["trainer/*", "optimizers/*"]
    paths = {
        "editable": editable,
        "training": editable,
        "protected": ["trainer/evaluation.py", "trainer/seeds.py"],
    }
    return Target.model_validate(
        {
            "name": "tree",
            "paths": paths,
            "train": {"command": ["true"]},
            "presets": {"cpu": {"train_tokens": 100, "short_tokens": 10}},
            "preset": "cpu",
            "flags": {"file": settings},
            "metric": {
                "name": "val_loss",
                "direction": "min",
                "file": "metrics.json",
                "value": "final.val_loss",
            },
        }
    )


def review_case(case: Path, patched: Patched) -> tuple[Issue, ...]:
    flags = json.loads(case.read_text(encoding="utf-8").splitlines()[0])
    patched.git("apply", str(case))
    return patched.review(*(Flag(**flag) for flag in flags))


def found(issues: tuple[Issue, ...], severity: str, words: str) -> bool:
    return any(issue.severity == severity and words in issue.issue for issue in issues)


@pytest.fixture
def patched(tmp_path: Path) -> Patched:
    return Patched(tmp_path)


def test_every_seeded_bug_is_expected_to_be_caught() -> None:
    assert set(BUGS) == {path.stem for path in (CASES / "bugs").glob("*.diff")}
    assert len(HONEST) >= 10


@pytest.mark.parametrize("name", BUGS)
def test_a_seeded_bug_is_caught(name: str, patched: Patched) -> None:
    issues = review_case(CASES / "bugs" / f"{name}.diff", patched)
    severity = "WARNING" if name in HINTS else "CRITICAL"
    assert found(issues, severity, BUGS[name]), issues
    assert {issue.severity for issue in issues if issue.severity == "CRITICAL"} == ({severity} - {"WARNING"})


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_patch_passes(name: str, patched: Patched) -> None:
    issues = review_case(CASES / "honest" / f"{name}.diff", patched)
    assert not [issue for issue in issues if issue.severity == "CRITICAL"]


def test_a_module_that_is_named_as_its_flag_is_not_the_flag(patched: Patched) -> None:
    schedule = '    schedule: str = setting("constant", "shape of the learning rate")\n'
    patched.edit("trainer/config.py", schedule, schedule + FIELD)
    embedding = "        self.embedding = nn.Embedding(vocab_size, configs.d_model)\n"
    made = "        self.smear = RMSNorm(configs.d_model) if configs.smear else None\n"
    patched.edit("trainer/model.py", embedding, embedding + made)
    embedded = "        x = self.embedding(tokens)\n"
    used = "        if self.smear is not None:\n            x = self.smear(x)\n"
    issues = patched.edit("trainer/model.py", embedded, embedded + used).review()
    assert not [issue for issue in issues if issue.severity == "CRITICAL"], issues


def test_flags_alone_pass_with_the_declared_or_the_presets_default(patched: Patched) -> None:
    assert (
        patched.review(
            Flag(name="muon_lr", default=0.024, value=0.03),
            Flag(name="schedule", default="wsd", value="constant"),
        )
        == ()
    )


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        (Flag(name="muon_lr", default=0.5, value=0.03), "plan's default is 0.5"),
        (Flag(name="muon_lr", default=0.024, value=0.024), "both arms are one"),
        (Flag(name="nothing", default=0, value=1), "not a field"),
    ],
)
def test_flags_alone_are_compared_with_their_declarations(flag: Flag, words: str, patched: Patched) -> None:
    assert found(patched.review(flag), "CRITICAL", words)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "trainer/sitecustomize.py",
        "trainer/Conftest.py",
        "optimizers/x.pth",
        "trainer/.gitattributes",
        "trainer/Model.py",
        "trainer/evaluation/__init__.py",
        "trainer/zero\u200bwidth.py",
        "trainer/tab\tname.py",
        "Trainer/new.py",
        "trainer/\u202eyp.py",
    ],
)
def test_a_name_that_may_not_be_added(name: str, patched: Patched) -> None:
    issues = patched.write(name, "x = 1\n").review()
    assert any(issue.severity == "CRITICAL" and issue.file.isprintable() for issue in issues), issues


def test_a_plain_new_file_with_an_unusual_name_is_no_issue_of_its_name(patched: Patched) -> None:
    issues = patched.write('optimizers/größe "one" two.py', "x = 1\n").review()
    assert issues
    assert not [issue for issue in issues if issue.file.startswith("optimizers")]


@pytest.mark.parametrize("mark", ["\u202e", "\u200b", "\u2066", "\x1b", "\x0c", "\U000e0041", "\r", "\u2028"])
def test_a_character_that_is_not_seen(mark: str, patched: Patched) -> None:
    issues = patched.write("optimizers/new.py", f"a = 1\nb = 2  # {mark} c\n").review()
    assert [(issue.severity, issue.line) for issue in issues] == [("CRITICAL", 2)]


def test_a_settings_file_that_does_not_compile(patched: Patched) -> None:
    assert found(patched.write("trainer/config.py", "class Configs(:\n").review(), "CRITICAL", "does not compile")


def test_links_modes_binaries_and_renames(patched: Patched) -> None:
    (patched.work / "optimizers/link.py").symlink_to("/etc/hostname")
    (patched.work / "optimizers/muon.py").chmod(0o755)
    (patched.work / "optimizers/weights.bin").write_bytes(bytes(range(256)))
    (patched.work / "trainer/loop.py").replace(patched.work / "trainer/evaluation.py")
    issues = patched.review()
    for file, words in [
        ("link.py", "symbolic link"),
        ("muon.py", "mode"),
        ("weights.bin", "binary"),
        ("evaluation.py", "may not"),
    ]:
        assert any(words in issue.issue and issue.file.endswith(file) for issue in issues), (file, issues)


def test_a_submodule(patched: Patched) -> None:
    head = patched.git("rev-parse", "HEAD").decode().strip()
    patched.git("update-index", "--add", "--cacheinfo", f"160000,{head},optimizers/module")
    diff = patched.git("diff", "--cached", "HEAD")
    issues = mechanical_issues(base=patched.base, version=patched.base, diff=diff, plan=plan(), target=target())
    assert found(issues, "CRITICAL", "submodule")


def test_lines_that_look_like_headers_are_lines() -> None:
    diff = b"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- a/y\n+++ b/z\n same\n"
    (file,) = read_diff(diff)
    assert file.names == {"x"}
    assert file.added == [(1, "++ b/z")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:\n    pass\n", "does not compile"),
        ("# coding: latin-1\nx = 1\n", "encoding"),
        ("x = y  # noqa: F821\n", "F821"),
        (f"x = {'-' * 5000}1\n", "cannot be read"),
    ],
)
def test_a_file_that_is_no_good_python(text: str, words: str, patched: Patched) -> None:
    assert any(
        words in i.issue and i.file == "optimizers/new.py" for i in patched.write("optimizers/new.py", text).review()
    )


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("torch.manual_seed(configs.n_layers)", "CRITICAL"),
        ("draw = torch.Generator().manual_seed(137)", "CRITICAL"),
        ("seed = configs.seed + 1", "CRITICAL"),
        ("import subprocess", "CRITICAL"),
        ("import os; os.system('true')", "CRITICAL"),
        ("eval('1')", "CRITICAL"),
        ("import time; time.perf_counter = None", "CRITICAL"),
        ("import time; setattr(time, 'time', None)", "CRITICAL"),
        ("F.cross_entropy = None", "CRITICAL"),
        ("import sys; sys.modules['trainer.evaluation'] = None", "CRITICAL"),
        ("import sys; sys._getframe(1)", "WARNING"),
        ("import time; print(time.time())", "WARNING"),
        ("print(open('x').read())", "WARNING"),
        ("import os; print(os.environ['X'])", "WARNING"),
        ("val_loss = 0.0; print(val_loss)", "WARNING"),
        ("inputs = targets[:, 1:]", "WARNING"),
        ("inputs = torch.roll(inputs, -1, dims=1)", "WARNING"),
        ("torch.backends.cudnn.benchmark = True", "WARNING"),
    ],
)
def test_suspect_lines_under_a_flag(line: str, severity: str, patched: Patched) -> None:
    patched.edit("trainer/config.py", "    grad_clip: float", FIELD + "    grad_clip: float")
    patched.edit(
        "trainer/loop.py",
        "        loss.backward()\n",
        f"        if configs.smear:\n            {line}\n        loss.backward()\n",
    )
    issues = [issue for issue in patched.review() if issue.file == "trainer/loop.py"]
    assert severity in {issue.severity for issue in issues}, issues
    assert severity == "CRITICAL" or "CRITICAL" not in {issue.severity for issue in issues}, issues


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('    grad_clip: float = setting(1.0, "largest norm of the gradient")\n', "", "grad_clip is gone"),
        ("PRESETS = {", 'PRESETS = {"x": CPU, ', "PRESETS changed"),
        ("BLUEBERRY = Configs()\n", "BLUEBERRY = Configs()\nsetattr(BLUEBERRY, 'seed', 1)\n", "statement"),
        (
            "    grad_clip: float",
            "    extra: int = setting(1, 'x')\n    grad_clip: float",
            "not a flag of the plan",
        ),
        ("    @property\n", "    d_model = 256\n\n    @property\n", "d_model changed"),
    ],
)
def test_settings_that_a_patch_may_not_touch(old: str, new: str, words: str, patched: Patched) -> None:
    assert found(patched.edit("trainer/config.py", old, new).review(), "CRITICAL", words)


def test_without_a_settings_file_any_flag_is_taken_as_given(patched: Patched) -> None:
    issues = mechanical_issues(base=patched.base, version=patched.base, diff=b"", plan=plan(), target=target(""))
    assert issues == ()


def test_code_that_is_nested_too_deeply_to_be_read(patched: Patched) -> None:
    issues = patched.write("optimizers/new.py", f"x = {' + '.join(['1'] * 3000)}\n").review()
    assert any(issue.severity == "CRITICAL" and "nested" in issue.issue for issue in issues), issues
