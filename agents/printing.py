"""What commands print on standard output for a person: a session, a self-test, imported figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.plain_text import excerpt, plain
from agents.show import open_leaves

if TYPE_CHECKING:
    from agents.family import Step
    from agents.replay import Walked
    from agents.scout.initialise import Found

_STATE_LINES = 16


def print_found(found: Found, root: Path) -> None:
    """Print what `circle init` found: where the metric is, what two short runs gave, and what comes next."""
    target, (one, other, *_) = found.target, found.runs
    metric = target.metric
    place = f"what is printed, as {metric.pattern}" if metric.pattern else f"{metric.value} of {metric.file}"
    print(
        f"metric    {metric.name}, from {plain(place)}; {'lower' if metric.direction == 'min' else 'higher'} is better"
    )
    for run in (one, other):
        print(f"run       seed {run.seed}: {metric.name} {run.visible}, {run.train_seconds:.1f} s")
    print("repeated  the first seed gives the same again, bit for bit")
    if target.evaluation.self_reported:
        print("evaluator none: the metric is self-reported, and every report will say so ([evaluation] mends that)")
    if target.search:
        print(f"search    {', '.join(target.search)}: circle start tries values of them")
    if found.written:
        print(f"written   {root / 'circle.toml'}: read it, then, in {root}:")
        print("          git add circle.toml && git commit -m 'How Circle trains this'")
    else:
        print("checked   the circle.toml that was there; it is as it was")
    print("next      circle judge --null says how noisy the metric is; circle judge --flags '--name value' judges one")


def print_session(shown: dict[str, Any]) -> None:
    """Print how a session stands: a line or two for each version, and what came of it."""
    print(f"session   {shown['id']}  {shown['status']}")
    print(f"idea      {plain(shown['idea'])}")
    if shown["approve_scope"]:
        print(f"scope     {plain(', '.join(shown['approve_scope']))}, allowed by {plain(shown['scope_by'])}")
    for version in shown["versions"]:
        _print_version(version)
    if shown["status"] == "awaiting_approval":
        last = shown["versions"][-1]
        print(f"waiting   circle diff {shown['id']} shows the diff; to approve it, or to send it back:")
        for decision in (f"approve {shown['id']}", f"reject {shown['id']} --comment WORDS"):
            print(f"          circle {decision} --sha {last['diff_sha256']}")
    if shown["held"]:
        print(f"held      {shown['held']}")
    if won := shown["victory"]:
        print(f"victory   effect {won['effect']:+.4f}, 95 % [{won['ci'][0]:+.4f}, {won['ci'][1]:+.4f}]")
        print(f"branch    {won['branch']}\npaper     git show {won['branch']}:{won['paper']}")
        if won["checkpoint"]:
            print(f"weights   {won['checkpoint']}")
    if shown["conclusion"]:
        print(f"concluded {plain(shown['conclusion'])}")
    spend = shown["spend"]
    seconds = f"{spend['train_seconds']:.0f} s of training, {spend['wall_seconds']:.0f} s in all"
    print(f"spent     {spend['runs']} runs, {seconds}")
    if spend["model_calls"]:
        tokens = f"{spend['input_tokens']:,} tokens in and {spend['output_tokens']:,} out"
        print(f"model     {shown['model']}: {spend['model_calls']} calls, {tokens}, ${spend['usd']:.4f}")


def print_pictures(shown: dict[str, Any]) -> None:
    """Print what a session measured as pictures, as wide as the terminal."""
    from agents.terminal_plots import pictures
    from agents.text_plot import terminal_of

    for picture in pictures(shown, terminal_of(sys.stdout)):
        print(f"\n{picture}")


def print_effects(shown: dict[str, Any]) -> None:
    """Print what came of each version of a session as one picture."""
    from agents.terminal_plots import effects
    from agents.text_plot import terminal_of

    if picture := effects(shown, terminal_of(sys.stdout)):
        print(f"\n{picture}")


def _print_version(version: dict[str, Any]) -> None:
    verdict = version["verdict"]
    cause = f" ({verdict['cause']})" if verdict and verdict["cause"] else ""
    words = f"{verdict['outcome']}{cause}: {verdict['finding']}" if verdict else "no verdict yet"
    change = plain(f"{version['plan']['title']}, {version['flags']}")
    print(f"V{version['n']:<8} {change}\n          {plain(words)}")
    for edit in (attempt["edit"] for attempt in version["attempts"] if attempt["edit"]):
        why = f": {edit['comment']}" if edit["comment"] else ""
        said = f"edited by {edit['by']} at {edit['at']}{why}"
        print(f"          {plain(said)}")
    measured = version["experiment"] or {"ablations": [], "scales": []}
    for result in measured["ablations"] + measured["scales"]:
        print(f"          {plain(result['finding'])}")


def print_log(steps: Sequence[Step], family: list[dict[str, Any]], name: str) -> None:
    """Print a session's steps, and where it has forks, all of its family."""
    for step in steps:
        version = f"V{step.version}" if step.version else ""
        print(f"{step.number:>4}  {step.node:<12} {version:<4} -> {step.next}")
    for other in family if len(family) > 1 else ():
        origin = f"from step {other['step']}" if other["parent"] else "the first"
        mark = "  <- this one" if other["id"] == name else ""
        print(f"{'    ' * other['depth']}{other['id']}  {other['status']:<17} {origin}{mark}")


def print_replay(shown: dict[str, Any]) -> None:
    """Print what came of a replay."""
    if shown["identical"]:
        done = "nothing was asked, trained or committed" if not shown["runs"] else "nothing was asked or committed"
        print(f"Identical: {shown['steps']} steps, {shown['wall_seconds']:.2f} s; {done}.")
    else:
        found = shown["first_divergence"]
        print(f"Diverged at step {found['step']}, {found['node']}: {plain(found['what'])}")
    if shown["runs"]:
        print(f"Trained again: {shown['rerun_identical']} of {shown['runs']} runs are the same bit for bit.")
        for name in shown["rerun_different"]:
            print(f"    different: {name}")
        if shown["rerun_different"]:
            print("Equivalent in the mean." if shown["rerun_equivalent"] else "Not equivalent in the mean.")


def print_step(walked: Walked, *, ended: bool) -> None:
    """Print a step of a replay: what it was asked and given, what was run, and how it left the version.

    What the hidden split says is left out unless the session has `ended`.
    """
    versions = walked.values.get("versions", [])
    about = f" V{len(versions)}" if versions else ""
    print(f"\n=== step {walked.number}: {walked.node}{about}")
    for kind, body in walked.taken:
        _print_taken(kind, body, ended=ended)
    if versions and (verdict := versions[-1]["verdict"]):
        print(f"verdict {verdict['outcome']}: {plain(verdict['finding'])}")
    changes = walked.changes if ended else open_leaves(walked.changes)
    new = [(path, leaf) for path, leaf in changes.items() if leaf not in (None, "", [], {})]
    print("--- the state after it has")
    for path, leaf in new[:_STATE_LINES]:
        print(f"{plain(path)} = {plain(json.dumps(leaf, ensure_ascii=False))}")
    if len(new) > _STATE_LINES:
        print(f"… and {len(new) - _STATE_LINES} more new values")
    if walked.divergence:
        print(f"DIVERGED: {plain(walked.divergence.what)}")


def _print_taken(kind: str, body: Any, *, ended: bool) -> None:
    """Print what a step was given from the record."""
    if kind == "reply":
        print(f"--- {body['skill']} was asked\n{excerpt(body['question'])}")
        _print_reply(body.get("reply", body.get("halted")))
    elif kind == "run":
        splits = ("visible", "hidden") if ended else ("visible",)
        value = next((body[split] for split in splits if body[split] is not None), body["status"])
        print(f"run {body['stage']} {body['arm']} seed {body['seed']}: {value}, {body['train_seconds']:.1f} s")
    elif kind == "diff":
        print(f"--- diff\n{excerpt(body)}")
    elif kind in ("commit", "documents"):
        print(f"{kind} {body.get('commit', body.get('refused'))}")
    elif kind == "answer":
        print(f"a person's answer: {plain(str(body))}")


def _print_reply(reply: Any) -> None:
    """Print what was said, and a diff in it as one."""
    rest = {name: part for name, part in reply.items() if name != "diff"} if isinstance(reply, dict) else reply
    print(f"--- it said\n{excerpt(json.dumps(rest, indent=1, ensure_ascii=False))}")
    if rest != reply:
        print(f"--- diff\n{excerpt(reply['diff'] or '(flags alone)')}")


def print_ideas(found: list[dict[str, Any]], sought: bool) -> None:
    """Print what was tried, with what came of it and what it taught; whether it counts for the present code."""
    bases = {True: "the present code", False: "other code", None: "code that cannot be compared"}
    for tried in found:
        cause = f" by {tried['cause']}" if tried["cause"] else ""
        effect = f", effect {tried['effect']:+.4g}" if tried["effect"] is not None else ""
        span = " [{:+.4g}, {:+.4g}]".format(*tried["ci"]) if tried["effect"] is not None and tried["ci"] else ""
        dropped = ", dropped before its confirmation" if tried["ended"] == "dropped" else ""
        title = plain(tried["title"] or tried["idea"])
        print(f"{title}  V{tried['version']}  {tried['outcome']}{cause}{effect}{span}{dropped}")
        where = f"session {tried['session']} on {bases[tried['current_base']]} ({tried['base'][:12]})"
        print(f"    {plain(' '.join(tried['flags']))}; {where}")
        for lesson in tried["lessons"]:
            print(f"    {plain(lesson)}")
    if not found:
        print("Nothing was tried that has these words." if sought else "Nothing was tried here yet.")


def print_imported(figures: list[dict[str, Any]], together: dict[str, Any]) -> None:
    """Print the imported figures, as a table on a terminal and a line each elsewhere, and what they are good for."""
    from agents.published import row

    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table("file", "val_loss", "tokens", "seed", "it does not say", title="Imported, for reference only")
        for figure in figures:
            table.add_row(*(Text(cell, overflow="fold") for cell in row(figure, together["preset_tokens"])))
        Console().print(table)
    else:
        for figure in figures:
            file, loss, tokens, seed, missing = row(figure, together["preset_tokens"])
            print(f"imported, for reference only: {file}  {loss}  tokens {tokens}  seed {seed}  does not say {missing}")
    for group in together["groups"]:
        spread = f" ± {group['std']:.4f}" if group["std"] is not None else ""
        span = f"{group['mean']:.4f}{spread}, from {group['low']:.4f} to {group['high']:.4f}"
        print(f"{group['train_tokens']:,} tokens: {group['n']} figure{'s'[: group['n'] > 1]}, {span}")
    print(f"{together['can']}\n{together['cannot']}")


def print_null_test(shown: dict[str, Any]) -> None:
    """Print how often each rule is fooled by the target's own noise, and what that noise looks like."""
    print(
        f"noise     {shown['metric']} {shown['mean']:.4f} ± {shown['std']:.4f} over {shown['n']} seeds, skewness "
        f"{shown['skewness']:+.2f}, normal by Shapiro-Wilk with p = {shown['shapiro_p']:.2f}"
    )
    same = "gives the same result, bit for bit" if shown["identical"] else "DOES NOT give the same result"
    print(f"identical the same seed in the experiment's arm {same}")
    print(f"{'how often arms that do not differ win':<44} {'an idea':>18} {'a session of 60':>18}")
    for rule in shown["rules"]:
        idea = f"{rule['claimed_per_idea']:.2%} (< {rule['upper_per_idea']:.2%})"
        session = f"{rule['sessions_with_a_claim']:.1%} (< {rule['upper_sessions']:.1%})"
        print(f"{rule['rule']:<44} {idea:>18} {session:>18}")
