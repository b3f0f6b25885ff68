"""The digest of a noisy recipe is over its name and every setting, and over nothing that is drawn."""

from dataclasses import replace

import pytest

from expunge.core.registry import recipes
from expunge.targets.noisy.losses import Logistic

LOSS = Logistic(penalty=0.5, radius=2.0)
SHARED = {
    "loss": Logistic(penalty=0.25, radius=2.0),
    "epsilon": 2.0,
    "delta": 1e-4,
    "bound": "derived",
    "scale": 3.0,
    "classes": (0, 1),
    "rows": 40,
    "randomness": "secure",
}
OWN = {
    "descent_to_delete": {"steps": 7, "per_request": 2, "secret": False, "requests": 3},
    "langevin": {"most": 4, "steps": 7, "more": 9, "lr": 0.125},
    "one_shot_removal": {"most": 4, "tolerance": 1e-8, "requests": 3},
}


@pytest.mark.parametrize("name", OWN)
def test_every_setting_is_in_the_digest_and_the_salt_is_not(name):
    most = {"most": 3} if "most" in OWN[name] else {}
    recipe = recipes.get(name)(loss=LOSS, epsilon=1.0, delta=1e-3, **most)
    changes = SHARED | OWN[name]
    assert set(changes) | {"salt"} == set(recipe.__dataclass_fields__)
    found = [replace(recipe, **{field: value}).digest() for field, value in changes.items()]
    assert len({*found, recipe.digest()}) == len(found) + 1
    assert replace(recipe, salt="5a17").digest() == recipe.digest()


def test_two_mechanisms_with_the_same_settings_are_two_recipes():
    digests = {
        recipes.get(name)(loss=LOSS, epsilon=1.0, delta=1e-3, most=3).digest() for name in OWN if "most" in OWN[name]
    }
    assert len(digests) == 2
