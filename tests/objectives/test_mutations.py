"""Break each formula by hand: the example in its own docstring catches it."""

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

from expunge.core import registry

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MUTATIONS = {
    "nll": {
        "sign": ("return -token_logp", "return token_logp"),
        "factor 2 added": ("return -token_logp", "return -2 * token_logp"),
        "factor 2 dropped": ("return -token_logp", "return -token_logp / 2"),
        "mean over tokens": ("return -token_logp", "return -token_logp.mean(1)"),
        "sum over tokens": ("return -token_logp", "return -token_logp.sum(1)"),
        "mean over all": ("return -token_logp", "return -token_logp.mean()"),
        "probability": ("return -token_logp", "return -token_logp.exp()"),
    },
    "grad_ascent": {
        "sign": ("return token_logp", "return -token_logp"),
        "factor 2 added": ("return token_logp", "return 2 * token_logp"),
        "factor 2 dropped": ("return token_logp", "return token_logp / 2"),
        "mean over tokens": ("return token_logp", "return token_logp.mean(1)"),
        "sum over tokens": ("return token_logp", "return token_logp.sum(1)"),
        "mean over all": ("return token_logp", "return token_logp.mean()"),
    },
    "kl": {
        "sign": ("return kl_divergence(logits_ref, logits)", "return -kl_divergence(logits_ref, logits)"),
        "direction": ("kl_divergence(logits_ref, logits)", "kl_divergence(logits, logits_ref)"),
        "factor 2 added": ("return kl", "return 2 * kl"),
        "factor 2 dropped": ("return kl", "return 0.5 * kl"),
        "mean over tokens": ("(logits_ref, logits)", "(logits_ref, logits).mean(1)"),
        "mean over all": ("(logits_ref, logits)", "(logits_ref, logits).mean()"),
        "the same twice": ("(logits_ref, logits)", "(logits, logits)"),
    },
    "npo": {
        "sign": ("return -(2.0 / beta)", "return (2.0 / beta)"),
        "sign inside": ("logsigmoid(-beta *", "logsigmoid(beta *"),
        "model and reference swapped": ("(logp - logp_ref)", "(logp_ref - logp)"),
        "a sum for a difference": ("(logp - logp_ref)", "(logp + logp_ref)"),
        "factor 2 dropped": ("(2.0 / beta)", "(1.0 / beta)"),
        "factor 2 added": ("(2.0 / beta)", "(4.0 / beta)"),
        "beta on the wrong side": ("(2.0 / beta)", "(2.0 * beta)"),
        "beta outside dropped": ("(2.0 / beta)", "2.0"),
        "beta inside dropped": ("logsigmoid(-beta *", "logsigmoid(-1.0 *"),
        "beta inside doubled": ("logsigmoid(-beta *", "logsigmoid(-2 * beta *"),
        "reference dropped": ("(logp - logp_ref)", "logp"),
        "mean over examples": (
            "* logsigmoid(-beta * (logp - logp_ref))",
            "* logsigmoid(-beta * (logp - logp_ref)).mean()",
        ),
    },
    "simnpo": {
        "sign": ("return -(2.0 / beta)", "return (2.0 / beta)"),
        "sign inside": ("logsigmoid(-beta", "logsigmoid(beta"),
        "sign of the margin": ("- gamma", "+ gamma"),
        "factor 2 dropped": ("(2.0 / beta)", "(1.0 / beta)"),
        "factor 2 added": ("(2.0 / beta)", "(4.0 / beta)"),
        "beta on the wrong side": ("(2.0 / beta)", "(2.0 * beta)"),
        "beta outside dropped": ("(2.0 / beta)", "2.0"),
        "beta inside dropped": ("(-beta *", "(-1.0 *"),
        "a sum for the mean": (" / n_tokens", ""),
        "a product for the mean": (" / n_tokens", " * n_tokens"),
        "the margin inside beta": ("- gamma", "- beta * gamma"),
        "the margin a token": ("- gamma", "- gamma / n_tokens"),
        "the margin dropped": (" - gamma", ""),
    },
    "dpo": {
        "sign": ("return -(2.0 / beta)", "return (2.0 / beta)"),
        "sign inside": ("logsigmoid(beta *", "logsigmoid(-beta *"),
        "answers swapped": (
            "(logp_alt - logp_alt_ref) - (logp - logp_ref)",
            "(logp - logp_ref) - (logp_alt - logp_alt_ref)",
        ),
        "a sum for a difference": (") - (logp", ") + (logp"),
        "factor 2 dropped": ("(2.0 / beta)", "(1.0 / beta)"),
        "factor 2 added": ("(2.0 / beta)", "(4.0 / beta)"),
        "beta on the wrong side": ("(2.0 / beta)", "(2.0 * beta)"),
        "beta outside dropped": ("(2.0 / beta)", "2.0"),
        "beta inside dropped": ("logsigmoid(beta *", "logsigmoid(1.0 *"),
        "the reference of the other answer dropped": ("(logp_alt - logp_alt_ref)", "logp_alt"),
        "the reference of the answer dropped": ("(logp - logp_ref)", "logp"),
        "references crossed": (
            "(logp_alt - logp_alt_ref) - (logp - logp_ref)",
            "(logp_alt - logp_ref) - (logp - logp_alt_ref)",
        ),
        "the answer dropped": (" - (logp - logp_ref)", ""),
    },
    "calibrated_ascent": {
        "sign": ("return (level + logp", "return -(level + logp"),
        "sign inside": ("level + logp", "level - logp"),
        "factor 2 on the level": ("(level +", "(2 * level +"),
        "factor 2 on the likelihood": ("+ logp /", "+ 2 * logp /"),
        "a sum for the mean": ("logp / n_tokens", "logp"),
        "a product for the mean": ("logp / n_tokens", "logp * n_tokens"),
        "no hinge": (".clamp(min=0)", ""),
        "the other hinge": (".clamp(min=0)", ".clamp(max=0)"),
        "mean over examples": (".clamp(min=0)", ".clamp(min=0).mean()"),
    },
}
CASES = [(name, mutation) for name, mutations in MUTATIONS.items() for mutation in mutations]


def built(name: str, *replaced: str) -> ModuleType:
    """The module of an objective, executed from its source with one replacement outside docstrings."""
    original = importlib.import_module(f"expunge.objectives.{name}")
    source = Path(str(original.__file__)).read_text()
    if replaced:
        head, quotes, body = source.rpartition('"""')
        assert body.count(replaced[0]) == 1, f"{replaced[0]!r} is not in the body of {name}"
        source = head + quotes + body.replace(*replaced)
    module = ModuleType(f"mutated_{name}")
    exec(compile(source, f"<{name}>", "exec"), vars(module))
    assert vars(module)[name].__doc__ == vars(original)[name].__doc__
    return module


def failures(module: ModuleType, name: str) -> int:
    """How many lines of the object's own example fail."""
    test = doctest.DocTestParser().get_doctest(vars(module)[name].__doc__, vars(module), name, None, 0)
    assert test.examples
    return doctest.DocTestRunner(verbose=False, optionflags=FLAGS).run(test, out=lambda _: None).failed


@pytest.mark.parametrize("name", registry.objectives.names())
def test_the_example_of_the_true_formula_passes(name):
    assert failures(built(name), name) == 0


@pytest.mark.parametrize(("name", "mutation"), CASES)
def test_the_example_catches_a_broken_formula(name, mutation):
    assert failures(built(name, *MUTATIONS[name][mutation]), name) > 0


def test_every_objective_is_broken_here():
    assert set(MUTATIONS) == set(registry.objectives.names())


@pytest.mark.parametrize("name", registry.objectives.names())
def test_the_example_is_found_by_doctest(name):
    module = importlib.import_module(f"expunge.objectives.{name}")
    found = [test for test in doctest.DocTestFinder(recurse=True).find(vars(module)[name], name) if test.examples]
    assert len(found) == 1
