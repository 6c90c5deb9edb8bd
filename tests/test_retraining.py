"""When a slower version is held against a baseline that trains as long, on a laboratory whose losses are a formula."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace

import pytest

from agents.nodes.experiment import experiment
from agents.ports import Order
from agents.records import Baseline, Budget, Flag, Idea, Patch, Plan, Run, Session, Version
from agents.settings import Guards, Preset, Target, load_target
from agents.statistics import noise_floor
from tests.commands import TARGETS

TOKENS, KAPPA, GAIN = 100_000, 0.4, 0.05
BASE = "0" * 40


@dataclass
class Formula:
    """Losses fall by KAPPA per e-fold of tokens; the experiment gains GAIN and takes `ratio` times the time."""

    ratio: float
    ordered: list[Order] = field(default_factory=list)

    def run(self, orders: Sequence[Order]) -> list[Run]:
        self.ordered += orders
        return [self._train(order) for order in orders]

    def _train(self, order: Order) -> Run:
        new = order.arm == "experiment"
        noise = 0.01 * Random(order.seed).gauss(0, 1) + 0.001 * Random(order.key).gauss(0, 1)
        loss = 3.5 + noise - KAPPA * math.log(order.train_tokens / TOKENS) - GAIN * new
        return Run(
            **{name: getattr(order, name) for name in ("key", "arm", "stage", "seed", "commit", "train_tokens")},
            flags=(),
            status="done",
            visible=loss,
            hidden=loss,
            steps=100,
            train_seconds=10.0 * (self.ratio if new else 1.0),
            seconds_per_step=(self.ratio if new else 1.0) * math.exp(0.001 * Random(order.key).gauss(0, 1)),
        )


def target(time_limit: float | None) -> Target:
    """The plain target with a preset `p`, and with a bound of time if there is one."""
    plain = load_target(TARGETS / "plain")
    preset = Preset(train_tokens=TOKENS, short_tokens=1000)
    guards = Guards(time_ratio=time_limit)
    return plain.model_copy(update={"presets": {"p": preset}, "guards": guards})


def conducted(ratio: float, commit: str = "1" * 40, time_limit: float | None = None) -> tuple[list[Order], dict]:
    """Run the experiment of a version that is so much slower; return what it ordered and what it found."""
    laboratory = Formula(ratio)
    floor = laboratory.run([Order("baseline", "floor", seed, BASE, TOKENS) for seed in range(1, 9)])
    laboratory.ordered.clear()
    noise = noise_floor([run.visible for run in floor if run.visible is not None])
    session = Session(
        id="s",
        idea=Idea(text="i", name="i"),
        target="t",
        base=BASE,
        researcher="r",
        preset="p",
        train_tokens=TOKENS,
        sandbox="none",
        self_reported_metric=False,
        turbo=True,
        secret="00",
        fresh_baseline=True,
        minimum_effect=0.0,
        confidence="standard",
        workers=1,
        budget=Budget(),
        started_at="",
    )
    flag = Flag(name="f", default=False, value=True)
    version = Version(
        n=1,
        parent=None,
        plan=Plan(title="t", hypothesis="h", method="m", flags=(flag,), criteria="c"),
        patch=Patch(branch="b", commit=commit, diff_sha256="0", files=(), summary="s"),
    )
    baseline = Baseline(
        metric="loss", direction="min", n=8, mean=noise.mean, std=noise.std, key="k", reused=False, runs=tuple(floor)
    )
    context = SimpleNamespace(
        session=session,
        target=target(time_limit),
        laboratory=laboratory,
        clock=SimpleNamespace(elapsed=lambda moment: 0.0),
        record=lambda kind, key, body: body,
        report=lambda event, **details: None,
    )
    state = {
        "session": session.model_dump(mode="json"),
        "baseline": baseline.model_dump(mode="json"),
        "versions": [version.model_dump(mode="json")],
    }
    found = experiment(state, SimpleNamespace(context=context))  # type: ignore[arg-type]
    return laboratory.ordered, found["versions"][0]["experiment"]


@pytest.mark.parametrize(
    ("left", "ended", "retrained"),
    [
        (0.05, "confirmed", "before"),
        (0.7, "confirmed", "after"),
        (-0.1, "too costly", "before"),
        (-3.0, "too costly", None),
    ],
)
def test_a_baseline_is_trained_as_long_where_in_doubt_and_before_a_win(
    left: float, ended: str, retrained: str | None
) -> None:
    """`left`: the share of the gain that is left at equal time; near 0 the estimate from kappa settles nothing."""
    ratio = math.exp((1 - left) * GAIN / KAPPA)
    orders, found = conducted(ratio)
    stages = [order.stage for order in orders]
    longer = [i for i, order in enumerate(orders) if order.stage == "stretched" and order.train_tokens != 125_000]
    assert found["ended"] == ended
    assert found["retrained"] is bool(longer) is (retrained is not None)
    assert len(longer) in (0, 4)
    if ended == "confirmed":
        assert (longer[0] < stages.index("confirm")) is (retrained == "before")
        assert found["equal_time_effect"]["mean"] == pytest.approx(left * GAIN, abs=0.003)
    else:
        assert "confirm" not in stages


@pytest.mark.parametrize(("ratio", "ended"), [(1.3, "confirmed"), (1.7, "too costly")])
def test_a_bound_of_time_takes_the_place_of_equal_time(ratio: float, ended: str) -> None:
    """Within it a slower version may win, and the baseline is not trained as long."""
    orders, found = conducted(ratio, time_limit=1.5)
    assert found["ended"] == ended and found["equal_time_effect"] is None
    assert not [order for order in orders if order.stage == "stretched"]


def test_each_version_is_timed_beside_a_baseline_of_its_own() -> None:
    """The machine may have changed its speed since an earlier version's timing; losses are no matter of speed."""
    ordered = [conducted(1.0, commit)[0] for commit in ("1" * 40, "2" * 40)]
    one, other = ({order.key for order in orders if order.arm == "baseline"} for orders in ordered)
    timing = [order.key for orders in ordered for order in orders if (order.arm, order.stage) == ("baseline", "timing")]
    assert len(set(timing)) == len(timing) == 8
    assert one ^ other == set(timing)
