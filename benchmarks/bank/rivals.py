"""The loops that others use, as fair as they can be made, and the one that nobody has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean, stdev

from agents.budget import FLOOR_SEEDS
from benchmarks.bank.player import REPORTED, Claim, Player


def keep_if_lower(player: Player) -> Iterator[Claim]:
    """One run a change, on the champion's seed; it is the champion if it reports a lower loss."""
    player.pay(1)
    for change in player.proposals():
        player.pay(1)
        seen = player.against_champion(change)
        if seen > 0:
            player.keep(change)
            yield Claim(change, player.spent, seen)


def keep_if_lower_twice(player: Player, *, by_the_clock: bool = False) -> Iterator[Claim]:
    """The fair rival: what is lower is run again with a fresh seed, and so is the champion."""
    player.pay(1)
    for change in player.proposals():
        player.pay(1)
        first = player.against_champion(change)
        price = player.kappa * math.log(player.slowdown(change)) if by_the_clock else 0.0
        if first > price:
            player.pay(2)
            again = float(player.pairs(change, 1)[0, REPORTED])
            if again > price:
                player.keep(change)
                yield Claim(change, player.spent, (first + again) / 2 - price)


def keep_if_lower_by_the_clock(player: Player) -> Iterator[Claim]:
    """The fair rival where every run has the same time instead of the same tokens."""
    return keep_if_lower_twice(player, by_the_clock=True)


def two_sigma(player: Player) -> Iterator[Claim]:
    """A change is kept if one run of it, with a new seed, is 2 sigma below the mean of 8 runs of the champion."""
    player.pay(FLOOR_SEEDS)
    floor = player.base(FLOOR_SEEDS)[:, REPORTED]
    for change in player.proposals():
        player.pay(1)
        seen = fmean(floor) - float(player.losses(change, 1)[0, REPORTED])
        if seen > 2 * stdev(floor):
            player.keep(change)
            yield Claim(change, player.spent, seen)
            player.pay(FLOOR_SEEDS)
            floor = player.base(FLOOR_SEEDS)[:, REPORTED]


def oracle(player: Player) -> Iterator[Claim]:
    """Knows the truth after one run: no loop can do better with these ideas."""
    player.pay(1)
    for change in player.proposals():
        player.pay(1)
        if player.truth.useful(change):
            player.keep(change)
            yield Claim(change, player.spent, change.gain)
