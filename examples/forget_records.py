"""Train a small model on a few people, make it forget two of them, and print what the evidence allows to be claimed."""

import expunge
from expunge.core.example import Examples
from expunge.data.memory import MemoryStore
from expunge.testing.toy import toy_recipe, toy_store

data = toy_store()
corpus = data.all()
forget = corpus.of("forget")
learned = MemoryStore(corpus.of("forget", "retain", "general"))
kept = MemoryStore(Examples(e for e in learned.all() if e.role != "forget"))

recipe = toy_recipe(steps=150, hidden=32)
original = recipe.train(learned, seed=0)
reference, second = (recipe.train(kept, seed=seed) for seed in (1, 2))

request = expunge.Request(subject="two people", scope=expunge.Records(*forget.ids), basis="GDPR Art. 17")
outcome = expunge.unlearn(original, request, "npo", data, seed=0)
evidence = expunge.evaluate(outcome, reference=reference, second=second)

# Two people are too few for an interval, so that nothing can be earned: the certificate says that, not "passed".
print(expunge.certify(request, outcome, evidence))
