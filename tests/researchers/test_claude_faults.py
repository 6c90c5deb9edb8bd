"""What one question survives of its model's server: every case of benchmarks/model_faults.py, on a real socket."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import BudgetSpent, CircleError, Paused, Unanswered, UsageError
from agents.journal import Journal
from agents.ledger import Ledger, used
from agents.ports import Question
from agents.records import Budget, Plan
from agents.researchers.claude import Claude, World
from agents.researchers.claude.prices import cost, price_of, worst_case
from agents.settings import Model, parse_target
from benchmarks.messages import MessagesServer
from benchmarks.model_faults import CASES, DEAD, PRICE, SETTINGS, Case, answering, billed, broke_off, complaints, run
from tests.commands import TARGETS

QUESTION = Question("experiment-planner", "plan", {}, "Plan the first version.")
ENDS = {"concluded with the reason": Unanswered, "an error in a sentence": CircleError}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def world(journal: Journal, budget: Budget | None = None) -> World:
    """A session's world around a journal."""
    folder = TARGETS / "plain"
    target = parse_target((folder / "circle.toml").read_text() + SETTINGS, "a test")
    return World(
        model=target.model,
        secret="5e",
        journal=journal,
        budget=budget or Budget(),
        target=target,
        base_tree=folder,
        remember=lambda words: "nothing",
        report=lambda event, **details: None,
        stopped=lambda: False,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_question_survives(case: Case, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered, or ends in the sentence that the case names; the account is the bill; nothing is asked twice."""
    with MessagesServer(answering(case.instead)) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        if case.ends in ENDS:
            with pytest.raises(ENDS[case.ends], match=case.words):
                Claude(world(journal)).ask(QUESTION, Plan)
        else:
            if case.ends.startswith("paused"):
                with pytest.raises(Paused, match=case.words):
                    Claude(world(journal)).ask(QUESTION, Plan)
            assert Claude(world(journal)).ask(QUESTION, Plan) == Plan.model_validate(DEAD)
            asked = len(server.requests)
            assert Claude(world(journal)).ask(QUESTION, Plan) == Plan.model_validate(DEAD)
            assert len(server.requests) == asked
        booked, bill = used(journal).usd, billed(server)
        broke = any(map(broke_off, case.instead))
        assert booked >= bill if broke else booked == pytest.approx(bill, abs=1e-9)


@pytest.mark.long
def test_a_whole_session_survives_every_case() -> None:
    """As above, through the graph: each ends as it would have without the fault, or as it must."""
    undisturbed = run(Case("nothing", ()))
    assert [(case.name, found) for case in CASES if (found := complaints(case, run(case), undisturbed))] == []


def test_a_call_that_was_killed_is_booked_at_its_worst_and_made_once_more(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reservation without an end is what a killed process leaves: its money may be gone, its reply never came."""
    with MessagesServer(answering()) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        Claude(world(journal)).ask(QUESTION, Plan)
        (key, worst) = next(iter(journal.bodies("reserved").items()))
        killed = Journal(tmp_path / "killed.sqlite")
        killed.once("reserved", key, lambda: worst)
        assert used(killed).usd == worst["usd"]
        assert Claude(world(killed)).ask(QUESTION, Plan) == Plan.model_validate(DEAD)
        assert len(server.requests) == 2 and len(killed.bodies("call")) == 2
        last = cost(PRICE, server.bill[-1]).usd
        assert used(killed).usd == pytest.approx(worst["usd"] + last)


@given(
    usd=st.floats(0.001, 0.5),
    tokens=st.integers(1_000, 200_000),
    calls=st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 8_000), st.floats(0, 1)), max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_no_sequence_of_calls_passes_the_budget(usd: float, tokens: int, calls: list[tuple[int, int, float]]) -> None:
    """Whatever a call turns out to use of its worst case, dollars and tokens stay within their limits."""
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.sqlite")
        ledger = Ledger(journal, Budget(max_usd=usd, max_tokens=tokens))
        for number, (asked, answered, share) in enumerate(calls):
            worst = worst_case(PRICE, asked, answered)
            with suppress(BudgetSpent):
                ledger.reserve(str(number), worst)
                if share > 0.1:
                    spent = {"input_tokens": int(asked * share), "output_tokens": int(answered * share)}
                    ledger.settle(str(number), cost(PRICE, spent), {})
        total = used(journal)
        assert total.usd <= usd and total.input_tokens + total.output_tokens <= tokens
        assert total.usd == pytest.approx(ledger.total.usd)
        journal.close()


def test_what_the_budget_has_no_room_for_is_not_asked(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes bound the tokens; where that is too much the server counts, and only then is a call refused."""
    with MessagesServer(answering()) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        with pytest.raises(BudgetSpent, match=r"0 model calls used \$0.0000 and 0 tokens"):
            Claude(world(journal, Budget(max_usd=0.05))).ask(QUESTION, Plan)
        assert server.requests == [] and used(journal).usd == 0
        assert Claude(world(journal, Budget(max_usd=0.12))).ask(QUESTION, Plan)
        assert journal.bodies("reserved").popitem()[1]["usd"] < 0.12


@pytest.mark.parametrize(
    ("model", "url", "limited", "words"),
    [
        ("claude-opus-9", "http://127.0.0.1:1", False, "is not known"),
        ("llama", "https://models.example.org", False, "is not known"),
        ("llama", "http://127.0.0.1:8080", True, "is not known"),
        ("llama", "http://127.0.0.1:8080", False, ""),
        ("claude-opus-5-5", "https://api.anthropic.com", True, ""),
        ("claude-haiku-4-5-20251001", "https://api.anthropic.com", True, ""),
    ],
)
def test_a_model_without_a_price_is_refused(model: str, url: str, limited: bool, words: str) -> None:
    """But for one on a machine of one's own, where no limit in dollars needs a price."""
    if not words:
        assert (price_of(Model(name=model), url, limited=limited).output == 0) == (model == "llama")
        return
    with pytest.raises(UsageError, match=words):
        price_of(Model(name=model), url, limited=limited)


def test_a_long_prompt_has_its_own_price() -> None:
    """All of a request over the bound costs more, output and cached tokens included."""
    price = price_of(Model(name="claude-haiku-5-5"), "https://api.anthropic.com", limited=True)
    at, over = ({"cache_read_input_tokens": tokens, "output_tokens": 1_000_000} for tokens in (100_000, 100_001))
    assert cost(price, at).usd == pytest.approx(0.001 + 0.5) and cost(price, over).usd == pytest.approx(0.005 + 2.5)
