"""Where scikit-learn or scipy is missing, a learner says what installs it, and the names can still be listed."""

import sys

import pytest

import expunge.targets.learners as package
from expunge.core.errors import MissingExtra
from expunge.core.registry import learners


@pytest.mark.parametrize(
    ("module", "says"), [("sklearn.base", "scikit-learn"), ("scipy.linalg", "scipy")], ids=["scikit-learn", "scipy"]
)
def test_a_missing_package_is_an_extra_that_is_named(module, says, monkeypatch):
    from expunge.targets.learners import ridge

    for name in ("ridge", "_downdate"):
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}")
        monkeypatch.delitem(vars(package), name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtra, match=rf"ridge needs the extra 'hf'.*'{says}'.*pip install 'expunge\[hf\]'"
    ) as found:
        learners.get("ridge")
    assert found.value.exit_code == 3 and "ridge" in learners.names()
    monkeypatch.undo()
    assert learners.get("ridge") is ridge


def test_what_is_missing_and_not_of_the_extra_is_no_extra(monkeypatch):
    for name in ("knn_classifier", "_neighbours"):
        __import__(f"{package.__name__}.{name}")
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}")
        monkeypatch.delitem(vars(package), name)
    monkeypatch.setitem(sys.modules, f"{package.__name__}._neighbours", None)
    with pytest.raises(ModuleNotFoundError, match="_neighbours"):
        learners.get("knn_classifier")
