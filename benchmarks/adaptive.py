"""What adaptive requests can do to exact deletion, and what a noisy vote in between costs.

``python -m benchmarks.adaptive [--json] [--plays 20000] [--seed 0]``, a few seconds. ``games`` are those of
``expunge.testing.adaptive_attack``: a distinguisher sees the parts of a model after deletions and has to say whether
they were placed anew; a stated (epsilon, delta) is beaten where Clopper-Pearson bounds show more. ``prices`` are
computed, not measured: epsilon of k answers of a vote over S parts, with as much noise as lets a vote of four to one
between two classes come out right in 95 of 100 answers.
"""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from expunge.accounting.adaptive import votes_information
from expunge.testing.adaptive_attack import Setting, games

RIGHT, LEAD, DELTA, PER_SHARD = 0.95, 0.6, 1e-6, 100
SHARDS, ANSWERS = (10, 100, 1000, 10_000), (1, 10, 100)


def price(shards: int, answers: int, *, apart: bool) -> float:
    """Nats that so many answers cost.

    Args:
        shards: S, with 100 records each.
        answers: k.
        apart: whether shards draw their records each for itself, or each record is in one shard.
    """
    voters = 1 if apart else 2
    # The chance of being right is 1 / (1 + e^-(weight of a vote * lead * S)).
    weight = math.log(RIGHT / (1 - RIGHT)) / (LEAD * shards)
    coordinates = shards if apart else shards * (PER_SHARD + 1)
    more = {"voters": voters, "shards": shards, "coordinates": coordinates, "slack": DELTA}
    return votes_information(answers, epsilon=2 * voters * weight, **more)[0]


def measured(setting: Setting, *, seed: int, plays: int) -> list[dict[str, Any]]:
    """Each game with what it was against and whether that was beaten."""
    found = games(setting, seed=seed, plays=plays)
    return [
        {
            "game": name,
            "epsilon": game.epsilon,
            "delta": game.delta,
            "found": game.finds,
            "hits": game.hits / game.plays,
            "alarms": game.alarms / game.plays,
            "margin": round(game.margin, 4),
            "beaten": game.beaten,
        }
        for name, game in found.items()
    ]


def prices() -> list[dict[str, Any]]:
    """Epsilon by parts and answers, in one shard and apart."""
    return [
        {
            "shards": s,
            "answers": k,
            "one": round(price(s, k, apart=False), 2),
            "apart": round(price(s, k, apart=True), 2),
        }
        for s in SHARDS
        for k in ANSWERS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plays", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = {"games": measured(Setting(), seed=given.seed, plays=given.plays), "prices": prices()}
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for rows in found.values():
        print("  ".join(f"{name:>12}" for name in rows[0]))
        for row in rows:
            print("  ".join(f"{value!s:>12}" for value in row.values()))
        print()


if __name__ == "__main__":
    main()
