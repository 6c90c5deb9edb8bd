"""The catalogue: every diff is an honest patch of this very tree, and the right variant is chosen for each cause."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.errors import ReplyRefused, UsageError
from agents.ports import Question
from agents.records import Analysis, Cause, Change, FlagValue, Plan, Review, Revision, Tried, Verdict
from agents.researchers.catalogue import Catalogue, Entry, Variant
from agents.review import mechanical_issues
from agents.review.flags import same
from agents.settings import load_target
from agents.workspace import GitWorkspace
from tests.commands import ROOT, git, scratch_repository

CATALOGUE = Catalogue()
VARIANTS = [(entry, variant) for entry in CATALOGUE.entries for variant in entry.variants]
SAMPLE = {
    "dropout/early",
    "muon-scale/rms",
    "output-bias/unigram",
    "partial-rotary/offset",
    "rope-base/thousand",
    "weight-averaging/fifth",
}
"""What the normal run trains; tests/attacks reviews every diff there, and the rest is for the long run."""
TRIED = [
    pytest.param(entry, variant, id=name, marks=() if name in SAMPLE else pytest.mark.long)
    for entry, variant in VARIANTS
    for name in [f"{entry.name}/{variant.name}"]
]
TOKENS = 8192
UNSEEN = 1e-5
"""How much a logit may move that a changed token is none of the business of: what rounding may do."""

TRAIN = """
import hashlib, json, sys
from pathlib import Path
import torch
from trainer.checkpoint import load_model
from trainer.flags import parse_configs
from trainer.loop import train

for number, given in enumerate(json.loads(sys.argv[1])):
    folder = Path(f"out{number}")
    configs = parse_configs([*given, "--output_dir", str(folder)], "test")
    losses = json.loads(train(configs).read_text())["history"]["val_losses"]
    weights = (folder / "checkpoints/model.safetensors").read_bytes()

    model, length = load_model(folder), configs.max_seq_len
    tokens = torch.arange(length).remainder(configs.vocab_size).repeat(length, 1)
    changed = tokens.clone()
    changed.diagonal().add_(length)  # row t has another token at t
    moved = (model(tokens) - model(changed)).abs().amax(-1)
    sees = [moved.tril(-1).max().item(), moved.diagonal().min().item()]
    print("RUN", json.dumps([losses, hashlib.sha256(weights).hexdigest(), sees]))
"""


@dataclass(frozen=True)
class Repository:
    """A repository that holds the training code of this working tree, and data for the smoke preset."""

    workspace: GitWorkspace
    base: str
    data: Path

    def commit(self, variant: Variant, diff: str) -> str:
        return self.workspace.commit_version(f"test/{variant.name}", self.base, diff, "A version").commit

    def train(self, commit: str, *flags: tuple[tuple[str, FlagValue], ...]) -> list[Any]:
        """Train the commit's tree once with each of the flags, in one process.

        Return of each run the losses, the weights' hash, and how far another token at one place moves the logits:
        the most before that place, and the least at it.
        """
        given = ["--preset", "smoke", "--train_tokens", str(TOKENS), "--data_dir", str(self.data)]
        runs = [[*given, *(word for name, value in some for word in (f"--{name}", str(value)))] for some in flags]
        tree = self.workspace.export(commit)
        command = [sys.executable, "-c", TRAIN, json.dumps(runs)]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("RUN ")]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    root = scratch_repository(tmp_path_factory.mktemp("catalogue"))
    data = root / ".circle" / "data"
    prepare = [sys.executable, "-m", "trainer.data", "--preset", "smoke", "--output", str(data)]
    subprocess.run(prepare, cwd=root, check=True, capture_output=True)
    workspace = GitWorkspace(root)
    return Repository(workspace, workspace.head(), data)


@pytest.fixture(scope="module")
def baseline(repository: Repository) -> Any:
    """What the unpatched tree's run gave."""
    return repository.train(repository.base, ())[0]


def asked(entry: Entry, *versions: dict[str, Any], tried: tuple[Tried, ...] = (), **more: Any) -> Question:
    context = {
        "idea": {"name": entry.name, "text": entry.text},
        "versions": list(versions),
        "tried": [old.model_dump(mode="json") for old in tried],
        "rejection": "",
    }
    return Question("skill", "template", context | more, "")


def planned(variant: Variant, revision: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"n": 1, "plan": {"variant": variant.name}, "revision": revision}


def verdict(cause: Cause | None) -> dict[str, Any]:
    return Verdict(outcome="loss", cause=cause, row=4, finding="It was measured.").model_dump(mode="json")


def failure(entry: Entry, variant: Variant) -> Tried:
    return Tried(
        session="s",
        idea=entry.name,
        version=1,
        diff_sha256="0",
        flags=variant.flags_text,
        outcome="loss",
        cause="theory",
    )


@pytest.fixture
def mixing() -> Entry:
    return next(entry for entry in CATALOGUE.entries if entry.name == "local-mixing")


@pytest.mark.parametrize(("entry", "variant"), TRIED)
def test_a_variant_is_an_honest_patch(entry: Entry, variant: Variant, repository: Repository, baseline: Any) -> None:
    own = {"flags": variant.flags, "ablations": variant.ablations}
    plan = CATALOGUE.ask(asked(entry), Plan).model_copy(update=own)
    change = CATALOGUE.ask(asked(entry, version={"plan": {"variant": variant.name}}), Change)
    commit = repository.commit(variant, change.diff)
    base, tree = (repository.workspace.export(at) for at in (repository.base, commit))
    diff = repository.workspace.diff(repository.base, commit)
    target = load_target(repository.workspace.root)
    issues = mechanical_issues(base=base, version=tree, diff=diff, plan=plan, target=target)
    critical = [issue for issue in issues if issue.severity == "CRITICAL"]
    assert not critical, critical

    on = tuple((flag.name, flag.value) for flag in variant.flags)
    off, live = repository.train(commit, (), on) if change.diff else (baseline, *repository.train(commit, on))
    assert off == baseline
    assert live[0][-1] != baseline[0][-1]
    assert live[1] != baseline[1]
    before, at = live[2]
    assert before <= UNSEEN < at, "a token is seen by places before it, or not by its own"


@pytest.mark.parametrize(("entry", "variant"), TRIED)
def test_a_variant_names_what_it_touches(entry: Entry, variant: Variant, repository: Repository) -> None:
    change = CATALOGUE.ask(asked(entry, version={"plan": {"variant": variant.name}}), Change)
    commit = repository.commit(variant, change.diff)
    touched = git(repository.workspace.root, "diff", "--name-only", repository.base, commit)
    assert sorted(variant.files) == touched.splitlines()


@pytest.mark.parametrize(("entry", "variant"), TRIED)
def test_a_patched_tree_is_clean(entry: Entry, variant: Variant, repository: Repository) -> None:
    change = CATALOGUE.ask(asked(entry, version={"plan": {"variant": variant.name}}), Change)
    tree = repository.workspace.export(repository.commit(variant, change.diff))
    config = ("--config", str(ROOT / "pyproject.toml"), "--no-cache")
    for command in (("check", *config), ("format", "--check", *config)):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=tree, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("entry", CATALOGUE.entries, ids=lambda entry: entry.name)
def test_an_entry_knows_no_outcome_and_can_go_on(entry: Entry) -> None:
    first, *others = entry.variants
    assert entry.source
    assert not first.answers
    assert others and all(variant.answers for variant in others)
    assert len({(variant.flags_text, variant.diff) for variant in entry.variants}) == len(entry.variants)
    told = {"name", "answers", "title", "hypothesis", "method", "files", "flags", "diff", "ablations"}
    assert set(Variant.model_fields) == told


def test_a_default_that_exists_is_the_presets_own() -> None:
    """A flag that a preset sets has that value off, or the regression run would call it moved."""
    tree = ast.parse((ROOT / "trainer" / "config.py").read_text(encoding="utf-8"))
    cpu = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "CPU"
    )
    assert isinstance(cpu, ast.Call)
    preset = {word.arg: ast.literal_eval(word.value) for word in cpu.keywords}
    for _, variant in VARIANTS:
        assert all(same(flag.default, preset[flag.name]) for flag in variant.flags if flag.name in preset)


@pytest.mark.parametrize("entry", CATALOGUE.entries, ids=lambda entry: entry.name)
def test_an_entrys_own_words_mean_it(entry: Entry) -> None:
    text_alone = entry.model_copy(update={"name": "", "keywords": "", "variants": ()})
    assert [other.name for other in CATALOGUE.entries if text_alone.words <= other.words] == [entry.name]
    assert CATALOGUE.idea(entry.text, ()).name == entry.name
    for variant in entry.variants:
        assert CATALOGUE.idea(variant.title, ()).name == entry.name


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("Canon layers", "local-mixing"),
        ("try a short causal convolution", "local-mixing"),
        ("Dropout", "dropout"),
        ("use depth recurrence", "looped-blocks"),
        ("a different RoPE base", "rope-base"),
        ("a bigger model", "wider-model"),
        ("value embeddings", "value-memory"),
        ("ResFormer", "value-memory"),
        ("x0 lambdas", "embedding-shortcut"),
        ("SwiGLU", "gated-feed-forward"),
        ("parallel attention and feed-forward", "parallel-blocks"),
        ("an attention sink", "attention-gate"),
        ("a sparse attention gate", "attention-gate"),
        ("q-gain", "attention-temperature"),
        ("partial key offset", "partial-rotary"),
        ("LayerScale", "residual-damping"),
        ("DeepNet", "residual-damping"),
        ("RMSNorm after the embedding", "embedding-norm"),
        ("logit softcap", "logit-cap"),
        ("z-loss", "z-loss"),
        ("label smoothing", "softer-targets"),
        ("multi-token prediction", "second-token"),
        ("unigram bias", "output-bias"),
        ("momentum warm-up for Muon", "muon-momentum"),
        ("NorMuon", "normalized-muon"),
        ("cautious weight decay", "cautious-steps"),
        ("RMS-matched update scale for Muon", "muon-scale"),
        ("EMA of the weights", "weight-averaging"),
        ("cosine schedule", "cooldown-shape"),
        ("Lion", "lion-tables"),
        ("Muon for the head", "muon-head"),
        ("Adam epsilon", "epsilon"),
        ("a smaller batch size", "small-batches"),
    ],
)
def test_an_idea_is_found_by_a_persons_words(words: str, name: str) -> None:
    idea = CATALOGUE.idea(words, ())
    assert (idea.name, idea.text) == (name, words)


def test_an_idea_that_it_does_not_have_is_refused_with_a_list_of_what_it_has() -> None:
    with pytest.raises(UsageError) as refusal:
        CATALOGUE.idea("mixture of experts routing", ())
    assert all(f"{entry.name}: {entry.text}" in str(refusal.value) for entry in CATALOGUE.entries)


def test_no_words_mean_the_first_idea_that_has_not_failed() -> None:
    first, second, *_ = CATALOGUE.entries
    assert CATALOGUE.idea("", ()).name == first.name
    failed = [failure(first, variant) for variant in first.variants]
    assert CATALOGUE.idea("", failed[1:]).name == first.name
    assert CATALOGUE.idea("", failed).name == second.name


def test_an_idea_whose_variants_all_failed_is_refused(mixing: Entry) -> None:
    failed = [failure(mixing, variant) for variant in mixing.variants]
    with pytest.raises(UsageError, match="no-memory"):
        CATALOGUE.idea(mixing.text, failed)
    everything = [failure(entry, variant) for entry, variant in VARIANTS]
    with pytest.raises(UsageError, match="All variants of all ideas"):
        CATALOGUE.idea("", everything)


def test_a_win_is_no_failure(mixing: Entry) -> None:
    won = [failure(mixing, variant).model_copy(update={"outcome": "win"}) for variant in mixing.variants]
    assert CATALOGUE.idea(mixing.text, won).name == mixing.name


def test_the_first_variant_that_was_not_tried_is_planned(mixing: Entry) -> None:
    first, second, _ = mixing.variants
    plan = CATALOGUE.ask(asked(mixing), Plan)
    assert (plan.variant, plan.title, plan.flags, plan.source) == (first.name, first.title, first.flags, mixing.source)
    assert CATALOGUE.ask(asked(mixing, tried=(failure(mixing, first),)), Plan).variant == second.name
    assert CATALOGUE.ask(asked(mixing, planned(first)), Plan).variant == second.name


def test_a_rejection_goes_into_the_method(mixing: Entry) -> None:
    plan = CATALOGUE.ask(asked(mixing, planned(mixing.variants[0]), rejection="Too many parts."), Plan)
    assert plan.method.endswith("A person rejected version 1: Too many parts.")


def test_two_causes_choose_two_variants(mixing: Entry) -> None:
    first = mixing.variants[0]
    chosen = {
        cause: CATALOGUE.ask(asked(mixing, planned(first), verdict=verdict(cause)), Revision).variant
        for cause in ("system", "theory")
    }
    assert chosen["system"] != chosen["theory"]
    for cause, name in chosen.items():
        variant = next(variant for variant in mixing.variants if variant.name == name)
        assert cause in variant.answers
        plan = CATALOGUE.ask(asked(mixing, planned(first, {"variant": name})), Plan)
        assert plan.variant == name


def test_a_revision_leaves_out_what_was_tried(mixing: Entry) -> None:
    first, second, _ = mixing.variants
    question = asked(mixing, planned(first), tried=(failure(mixing, second),), verdict=verdict("system"))
    revision = CATALOGUE.ask(question, Revision)
    assert revision.exhausted
    assert "system" in revision.change


def test_a_persons_own_diff_has_no_next_variant(mixing: Entry) -> None:
    stranger = mixing.model_copy(update={"name": "own-diff"})
    assert CATALOGUE.ask(asked(stranger, verdict=verdict("theory")), Revision).exhausted
    with pytest.raises(ReplyRefused, match="own-diff"):
        CATALOGUE.ask(asked(stranger), Plan)


def test_it_passes_reviews_and_words_each_cause_with_the_measured_number(mixing: Entry) -> None:
    assert CATALOGUE.ask(asked(mixing), Review).passed
    causes = ("theory", "system", "noise", "implementation", None)
    analyses = [CATALOGUE.ask(asked(mixing, verdict=verdict(cause)), Analysis) for cause in causes]
    assert len({analysis.reason for analysis in analyses}) == len({analysis.lessons for analysis in analyses}) == 5
    measured = verdict("system") | {"quantity": "gain at equal time", "value": -0.1114}
    (lesson,) = CATALOGUE.ask(asked(mixing, verdict=measured), Analysis).lessons
    assert lesson.startswith("Gain at equal time of -0.1114: ")


def test_a_folder_of_ones_own_replaces_the_ideas(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        Catalogue(tmp_path / "nothing")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "idea.toml").write_text('text = "no variants"\n')
    own = Catalogue(tmp_path)
    assert own.name == f"catalogue:{tmp_path}"
    with pytest.raises(ReplyRefused, match=r"(?s)broken.*variants"):
        own.idea("", ())
