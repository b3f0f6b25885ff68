"""One verb over every fitted learner: give back one that never held these rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from expunge.core.errors import TargetError


def forget(estimator: Any, ids: Iterable[str]) -> Any:
    """A new learner without these rows; the one given stays valid.

    Args:
        estimator: a fitted learner of ``expunge.targets.learners``, an ``ExactPipeline`` of them, or a ``Learner``.
        ids: rows, by the names that they were fitted under.

    Returns:
        The same kind of thing, equal to one that was fitted without the rows, as its ``exactness`` says.

    Raises:
        TargetError: it keeps nothing from which a row could be taken out, a fitted scikit-learn estimator for
            instance; the message says what to use in its place.
        StoreError: a row is not in it, or is named twice; nothing is changed.

    >>> from expunge.targets.learners import nearest_centroid
    >>> fitted = nearest_centroid().fit([[1.0], [3.0], [8.0]], ["low", "low", "high"], ids=["a", "b", "c"])
    >>> list(fitted.predict([[5.25]])), list(forget(fitted, ["a"]).predict([[5.25]]))
    ([np.str_('high')], [np.str_('low')])
    """
    if not callable(getattr(estimator, "unlearn", None)):
        from expunge.targets.learner import instead_of

        steps = getattr(estimator, "steps", None)
        parts = [f"{name}: {instead_of(part)}" for name, part in steps] if isinstance(steps, list) else []
        raise TargetError(
            f"a {type(estimator).__name__} cannot forget",
            why="it keeps nothing that a row could be taken out of, so only a new fit without the row would do",
            next="; ".join([instead_of(estimator), *parts]),
        )
    return estimator.unlearn(ids)
