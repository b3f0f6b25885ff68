"""Ask for the deletion of what one part of a model fits; then put a noisy vote in between."""

import numpy as np

from expunge.core.selection import Selection
from expunge.data.table import Table
from expunge.engine.recipes.adaptive_sisa import AdaptiveSISA
from expunge.engine.recipes.sisa import SISA
from expunge.engine.trainers.estimator import Estimator
from expunge.methods.certified.adaptive_sisa import adaptive_sisa
from expunge.methods.exact.sisa import sisa

ROWS = 24
labels = np.random.default_rng(0).integers(0, 2, ROWS)  # no pattern: a part fits what it was trained on, and no more
data = Table([f"r{i}" for i in range(ROWS)], np.eye(ROWS), labels)
nearest = Estimator("sklearn.neighbors:KNeighborsClassifier", (0, 1), {"n_neighbors": 1, "algorithm": "brute"})


def without(names: list[str]) -> Selection:
    return Selection(data.get(names), data.get(i for i in data.ids() if i not in names), repeats=True)


# Published as it is: the adversary sees which rows part 0 has at distance 0, and asks for just these.
model = SISA(nearest, shards=4).train(data, seed=7)
distance = model.model(0).estimator.kneighbors(data.X)[0][:, 0]
seen = [name for name, d in zip(data.ids(), distance, strict=True) if d == 0]
after = sisa.unlearn(model, without(seen), seed=0).target
anew = SISA(nearest, shards=4).train(data.without(seen), seed=8)
print("rows in each part, deleted exactly:", [len(part.ids) for part in after.manifests])
print("rows in each part, trained anew:   ", [len(part.ids) for part in anew.manifests])

# Published through a noisy vote alone: an answer is a label, each is counted, and the certificate bounds them all.
voted = AdaptiveSISA(SISA(nearest, shards=4), epsilon=0.1, answers=10).train(data, seed=7)
print("labels:", voted.predict(data.X[:5]), "answers left:", voted.left)
outcome = adaptive_sisa.unlearn(voted, without(["r0", "r1"]), seed=0)
print(outcome.claim, "answers left:", outcome.target.left)
