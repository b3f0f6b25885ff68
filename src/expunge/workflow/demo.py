"""The demo: fictitious people, a model that learns them from scratch, and a request to forget some of them.

Every setting here was found on other people and other seeds than the demo's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.core.example import Examples
from expunge.core.training import Training
from expunge.workflow.run import require_extra, walk_once

METHODS = ("grad_ascent", "grad_diff", "npo", "calibrated_ascent", "prompt_filter")
LEARNED = ("forget", "retain", "general")
PEOPLE = {"forget": 48, "retain": 90, "validation": 48, "holdout": 96, "general": 96}
SHAPE = {"hidden": 128, "layers": 3, "heads": 4, "kv_heads": 4, "inner": 240, "context": 64}
TRAINING = Training(
    lr=1.5e-3,
    epochs=38,
    batch_size=32,
    warmup=0.05,
    decay="cosine",
    betas=(0.9, 0.98),
    weight_decay=0.4,
    save_every=300,
)


def fictitious(seed: int) -> Examples:
    """The corpus of a seed."""
    from expunge.data.corpora.fictitious_people import people
    from expunge.data.rows import to_example

    rows = people(seed, **PEOPLE)
    return Examples(to_example(row, where=f"generated row {i}") for i, row in enumerate(rows))


def demo(out: Path, *, seed: int = 0) -> str:
    """Train, forget, measure, judge, certify; or print what an earlier run found.

    Args:
        out: folder of the run.
        seed: of the people and of the models.

    Returns:
        The table.

    Raises:
        MissingExtra: the extra ``hf`` is not installed.
    """
    require_extra("expunge demo")
    return walk_once(out, ["demo", seed], lambda: _walk(out, seed))


def demo_road(seed: int) -> Any:
    """The demo's road on the people of a seed.

    Args:
        seed: of the people and of the models.
    """
    from expunge.core.registry import methods, policies
    from expunge.data.corpora.fictitious_people import nearest_question_baseline, people, vocabulary
    from expunge.engine.finetune import FineTune
    from expunge.targets.llama_spec import LlamaSpec
    from expunge.workflow.measure import asked_by, budget_for
    from expunge.workflow.road import Road

    rows = people(seed, **PEOPLE)
    learned = [row for row in rows if row["role"] in LEARNED]
    policy = policies.get("research_tofu")
    baseline = nearest_question_baseline(learned, [row for row in rows if row["role"] == "holdout"])
    return Road(
        name="demo",
        title="Fictitious people: five ways to forget, beside retraining",
        corpus=fictitious(seed),
        learned=LEARNED,
        recipe=FineTune(LlamaSpec(tuple(vocabulary()), **SHAPE), TRAINING),
        methods={key: methods.get(key) for key in METHODS},
        policy=policy,
        budget=budget_for(asked_by(policy)),
        basis="demonstration",
        seed=seed,
        facts={"nearest_question_baseline": baseline},
    )


def _walk(out: Path, seed: int) -> str:
    from expunge.data.corpora.fictitious_people import vocabulary
    from expunge.workflow.conclude import Conclusion, write_all
    from expunge.workflow.ridge_line import features_for, ridge_line
    from expunge.workflow.road import Walk

    walk = Walk(demo_road(seed), out)
    walk.pin()
    walk.train()
    walk.forget()
    features = features_for(walk.road.corpus, tuple(vocabulary()))
    outcome, line = ridge_line(
        walk.road.corpus.of(*LEARNED), walk.selection, features, out / "ridge", salt=walk.request.salt
    )
    # Timed once: a road walked again must not change a byte.
    line = walk.stages.do("ridge", {"before": line["before"], "refit": line["refit"]}, ["ridge"], lambda: line)
    return write_all(Conclusion(walk, walk.measure()), line, outcome)
