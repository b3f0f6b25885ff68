"""What certified deletion is measured on: Adult's incomes, and features of MNIST's digits that no certified row shaped.

Every row has norm 1 by an operation on the row alone, so that no scale follows from the data. The features of a digit
are averages of random filters, turned and scaled by the principal components of 10,000 public images, whose labels are
not used: what is known of digits comes from the certified rows only. Rows to tune by are neither learned nor tested.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.exact_sisa_data import CATEGORIES, LABEL, RICH
from benchmarks.exact_sisa_data import _row as adult_row
from expunge.core.canonical import digest, digest_file
from expunge.core.seeds import derive, keyed_order
from expunge.targets.noisy.noise import F

PUBLIC, TESTED, TUNED = 10_000, 5_000, 2_000
FILTERS, PATCH, GRID, FEATURES = 16, 5, 4, 64
CONSTANT = 0.3
"""Of a row of features before it is brought to norm 1: the linear models have no intercept."""
ROWS = {"adult": 24_000, "mnist": 10_000}
GROUPS = ("sex", "race")


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of norm 1.

    Args:
        X: (n, d) float64.
        y: (n,) numbers of classes, from 0.
        who: name of a grouping -> the group of each row (n,).
    """

    X: F
    y: NDArray[np.int64]
    who: dict[str, NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)

    def at(self, places: NDArray[np.integer] | slice) -> Rows:
        """Some of the rows."""
        return Rows(self.X[places], self.y[places], {name: groups[places] for name, groups in self.who.items()})

    def without(self, places: NDArray[np.integer]) -> Rows:
        """All rows but some."""
        return self.at(np.setdiff1d(np.arange(len(self)), places))


@dataclass(frozen=True, eq=False)
class Task:
    """Rows of one data set.

    Args:
        name: of the data.
        told: what a row is, in words.
        classes: how many.
        train: that are learned and certified.
        tune: that settings are chosen on.
        test: that accuracy is measured on.
        source: digest of what it was made from.
    """

    name: str
    told: str
    classes: int
    train: Rows
    tune: Rows
    test: Rows
    source: str

    @property
    def heads(self) -> int:
        """Models of signs: one for two classes, else one a class."""
        return 1 if self.classes == 2 else self.classes

    def digest(self) -> str:
        """Digest of the file and of how many rows were taken from it."""
        return digest([self.name, self.source, len(self.train), len(self.tune), len(self.test), self.train.X.shape[1]])

    def forgotten(self, m: int) -> NDArray[np.int64]:
        """Places of m rows that are asked for back; they do not depend on a model."""
        return np.sort(np.array(keyed_order(map(str, range(len(self.train))), 0, "certified", "forget")[:m]))


def unit(X: F) -> F:
    """Each row divided by its norm.

    >>> unit(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def adult(folder: Path, rows: int) -> Task:
    """Whether somebody earns more than 50,000 a year; numbers over constants, and categories as they are listed.

    Args:
        folder: with ``adult.csv``.
        rows: that are learned; of the 8,561 that are held out, 6,561 are tested.
    """
    with (folder / "adult.csv").open(newline="", encoding="utf-8") as lines:
        people = list(csv.DictReader(lines))
    kinds = sorted({f"{name}={person[name]}" for name in CATEGORIES for person in people})
    column = {kind: at for at, kind in enumerate(kinds)}
    who = {name: np.array([person[name] for person in people]) for name in GROUPS}
    y = np.array([int(person[LABEL] == RICH) for person in people])
    each = Rows(unit(np.array([adult_row(person, column) for person in people])), y, who)
    order = np.array(keyed_order(map(str, range(len(each))), 0, "certified", "adult"))
    held = order[ROWS["adult"] :]
    parts = each.at(order[: min(rows, ROWS["adult"])]), each.at(held[:TUNED]), each.at(held[TUNED:])
    told = f"{each.X.shape[1]} numbers of a person, {len(CATEGORIES)} categories among them"
    return Task("adult", told, 2, *parts, digest_file(folder / "adult.csv"))


def _filtered(images: NDArray[np.uint8], filters: torch.Tensor) -> F:
    """(n, 2 FILTERS GRID^2) averages over a grid of what filters and their negatives let through."""
    made: list[np.ndarray] = []
    with torch.inference_mode():
        for at in range(0, len(images), 500):
            pixels = torch.from_numpy(images[at : at + 500].astype(np.float32) / 255)[:, None]
            seen = torch.nn.functional.conv2d(pixels, filters)
            both = torch.relu(torch.cat([seen, -seen], dim=1))
            made.append(torch.nn.functional.adaptive_avg_pool2d(both, GRID).flatten(1).double().numpy())
    return np.concatenate(made)


def mnist(folder: Path, rows: int) -> Task:
    """Digits 0 to 9 as 64 features and a constant.

    Args:
        folder: with ``mnist.npz``.
        rows: that are learned; apart from the public and the tuned ones.
    """
    with np.load(folder / "mnist.npz") as held:
        images, y = held["x_train"], held["y_train"].astype(np.int64)
        tested, y_tested = held["x_test"], held["y_test"].astype(np.int64)
    order = np.array(keyed_order(map(str, range(len(y))), 0, "certified", "mnist"))
    public, tuned, learned = order[:PUBLIC], order[PUBLIC : PUBLIC + TUNED], order[PUBLIC + TUNED :][:rows]
    drawn = np.random.default_rng(derive(0, "certified", "filters")).standard_normal((FILTERS, 1, PATCH, PATCH))
    drawn -= drawn.mean(axis=(2, 3), keepdims=True)
    filters = torch.from_numpy((drawn / np.linalg.norm(drawn, axis=(2, 3), keepdims=True)).astype(np.float32))
    known = _filtered(images[public], filters)
    middle = known.mean(axis=0)
    spread, turned = np.linalg.eigh((known - middle).T @ (known - middle) / PUBLIC)
    basis = turned[:, ::-1][:, :FEATURES] / np.sqrt(np.sqrt(spread[::-1][:FEATURES]))

    def part(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Rows:
        features = unit((_filtered(pixels, filters) - middle) @ basis)
        return Rows(unit(np.column_stack([features, np.full(len(features), CONSTANT)])), labels)

    places = np.array(keyed_order(map(str, range(len(y_tested))), 0, "certified", "test"))[:TESTED]
    parts = part(images[learned], y[learned]), part(images[tuned], y[tuned]), part(tested[places], y_tested[places])
    told = f"{FEATURES} features of a digit and a constant; public images shaped them, their labels did not"
    return Task("mnist", told, 10, *parts, digest_file(folder / "mnist.npz"))


TASKS = {"adult": adult, "mnist": mnist}
