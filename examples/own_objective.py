"""An objective of one's own: name the views that it reads, and the engine computes those and nothing else."""

from torch import Tensor

import expunge
from expunge.core.objective import objective
from expunge.objectives import nll
from expunge.testing.toy import toy_recipe, toy_store


@objective(reduce="example", on="forget")
def margin_ascent(logp: Tensor, logp_ref: Tensor, *, nats: float) -> Tensor:
    """Push each answer until it is ``nats`` less likely than it was, and no further: max(0, logp - logp_ref + nats)."""
    return (logp - logp_ref + nats).clamp(min=0)


data = toy_store()
target = toy_recipe(steps=60).train(data, seed=0)
scope = expunge.Records(*data.all().of("forget").ids)
method = expunge.Gradient(margin_ascent.bind(nats=8.0) + nll.bind().on("retain"), steps=40, lr=5e-3, batch_size=4)
outcome = expunge.unlearn(target, expunge.Request(subject="two people", scope=scope), method, data, seed=0)
print({name: round(value, 3) for name, value in outcome.notes["last"].items()})
