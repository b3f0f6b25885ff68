"""An attack on deletion by requests that depend on what was published. Source: Gupta et al., arXiv 2106.04378.

The model is SISA on N rows that have nothing in common (orthogonal, labels without a pattern), so that a part fits a
row if and only if it was trained on it. A part is then the set of its rows: all that weights could tell. Two worlds:

* ``unlearned``: rows are placed, something is published, deletions are asked for, and each is exact: a part loses the
  rows and nothing else. The distinguisher sees all parts at the end.
* ``retrained``: the same, but the parts that it sees were placed anew, without the deleted rows.

Where requests were fixed before, both have one distribution. An adversary that sees the parts asks for the rows that
the first one fits, which is then empty. One that sees votes asks whether pairs of rows are in one part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.accounting.adaptive import vote_probabilities, votes_information
from expunge.accounting.given import count, positive
from expunge.core.errors import ConfigError
from expunge.core.record import record
from expunge.testing.games import LEAST, F, Game, Sampler, play


@record
class Setting:
    """Sizes of the game.

    Args:
        rows: N.
        shards: S, two at least.
        answers: k votes that are published, each on row 0 and another one.
        epsilon: nats, of one answer, where two votes change; smaller is more noise.
    """

    rows: int = 40
    shards: int = 4
    answers: int = 20
    epsilon: float = 0.05

    def __post_init__(self) -> None:
        count("shards", self.shards, least=2)
        positive("epsilon", self.epsilon)
        if not 0 < self.answers < self.rows:
            raise ConfigError(f"{self.answers} answers on pairs of {self.rows} rows", next="Ask about fewer pairs")

    def stated(self) -> float:
        """Epsilon that all answers together are accounted for; delta is 0."""
        more = {"voters": 2, "shards": self.shards, "coordinates": self.rows + self.shards}
        return votes_information(self.answers, epsilon=self.epsilon, **more)[0]


def on_parts(setting: Setting, *, anew: bool, look: bool) -> Sampler:
    """Parts are published. Output: how many rows each part has at the end (S).

    Args:
        setting: sizes.
        anew: whether the parts at the end were placed anew.
        look: whether the rows that part 0 fits are asked for, or the first N/S ones, whatever was published.
    """

    def sample(plays: int, rng: np.random.Generator) -> F:
        places = rng.integers(setting.shards, size=(plays, setting.rows))
        fixed = np.arange(setting.rows) < setting.rows // setting.shards
        gone = places == 0 if look else np.broadcast_to(fixed, places.shape)
        if anew:
            places = rng.integers(setting.shards, size=places.shape)
        left = [((places == s) & ~gone).sum(axis=1) for s in range(setting.shards)]
        return np.stack(left, axis=1).astype(np.float64)

    return sample


def on_votes(setting: Setting, *, anew: bool, noise: float = 1.0) -> Sampler:
    """Votes alone are published, on whether a part fits both rows 0 and t, for t = 1..k.

    Row 0, and each row that the vote puts beside it, is asked for. Output: place of each row 1..k at the end, -1 for
    those that are gone.

    Args:
        setting: sizes.
        anew: whether the parts at the end were placed anew.
        noise: share of the stated noise that the vote has; 0: the counts of the votes are published.
    """

    def sample(plays: int, rng: np.random.Generator) -> F:
        shape = (plays, setting.answers)
        first, places = rng.integers(setting.shards, size=(plays, 1)), rng.integers(setting.shards, size=shape)
        gone = rng.random(shape) < chances(setting, noise)[(places == first).astype(int)]
        if anew:
            places = rng.integers(setting.shards, size=shape)
        return np.where(gone, -1, places).astype(np.float64)

    return sample


def chances(setting: Setting, noise: float = 1.0) -> NDArray[np.float64]:
    """Chance (2) of "t is beside row 0" where it is not, and no part says so, and where it is, and one does.

    >>> chances(Setting(shards=2, epsilon=4 * math.log(3))).round(2).tolist()  # 1 to 9; a tie
    [0.1, 0.5]
    """
    if noise == 0:
        return np.array([0.0, 1.0])
    counts = np.array([[setting.shards, 0], [setting.shards - 1, 1]])
    return vote_probabilities(counts, epsilon=setting.epsilon / noise, voters=2)[:, 1]


def best_test(setting: Setting, out: F, noise: float = 1.0) -> F:
    """ln of how much likelier an output of ``on_votes`` is where nothing was placed anew; the best test there is.

    Row 0 was in each part alike. Given which, a row that stayed got a no; one that went tells nothing more.
    """
    no = 1 - chances(setting, noise)
    usual = math.log(no[1] / setting.shards + no[0] * (1 - 1 / setting.shards))
    with np.errstate(divide="ignore"):
        said = np.log(no)
    each = [np.where(out >= 0, said[(out == s).astype(int)] - usual, 0.0).sum(axis=1) for s in range(setting.shards)]
    return np.logaddexp.reduce(each, axis=0) - math.log(setting.shards)


def on_one_part(chance: float, b: float, *, anew: bool) -> Sampler:
    """The tightest case: one part, which says yes on a rare value of its randomness, and one answer of its vote.

    Output: whether that value came about and the answer was yes.

    Args:
        chance: of the rare value.
        b: nats, by which the vote makes what the part says likelier than the other answer.
        anew: whether the part at the end was trained anew.
    """

    def sample(plays: int, rng: np.random.Generator) -> F:
        rare = rng.random(plays) < chance
        p_NK = vote_probabilities(np.array([[1, 0], [0, 1]]), epsilon=2 * b, voters=1)
        yes = rng.random(plays) < p_NK[rare.astype(int), 1]
        if anew:
            rare = rng.random(plays) < chance
        return (rare & yes).astype(np.float64)[:, None]

    return sample


def games(setting: Setting, *, seed: int = 0, plays: int = LEAST) -> dict[str, Game]:
    """All games, each against what is stated of it.

    Args:
        setting: sizes.
        seed: of all plays.
        plays: held-out ones of each world.

    Returns:
        ``fixed``: exact SISA, requests that do not look, against (0, 0). ``seen``: requests that do, against (0, 0),
        and ``seen_far``, against (5, 0.5). ``voted``: noisy votes alone, against what they are accounted for;
        ``counted``: the same with the counts of the votes published. ``tight``: one part and one answer, against its
        epsilon; ``tight_halved``: the same with half of its noise.
    """

    def run(worlds: Callable[..., Sampler], epsilon: float, delta: float = 0.0, **more: Any) -> Game:
        return play(worlds(anew=False), worlds(anew=True), epsilon=epsilon, delta=delta, seed=seed, plays=plays, **more)

    seen, stated = partial(on_parts, setting, look=True), setting.stated()
    test, plain = partial(best_test, setting), partial(best_test, setting, noise=0.0)
    return {
        "fixed": run(partial(on_parts, setting, look=False), 0.0),
        "seen": run(seen, 0.0),
        "seen_far": run(seen, 5.0, 0.5),
        "counted": run(partial(on_votes, setting, noise=0.0), stated, log_ratio=plain),
        "voted": run(partial(on_votes, setting), stated, log_ratio=test),
        "tight": run(partial(on_one_part, 0.1, 1.0), 1.0),
        "tight_halved": run(partial(on_one_part, 0.1, 2.0), 1.0),
    }
