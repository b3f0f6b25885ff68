"""The same road on real input: TOFU's authors and a pretrained model."""

from __future__ import annotations

from pathlib import Path

from expunge.core.canonical import digest_file, digest_folder
from expunge.core.training import Training
from expunge.data.corpora.tofu import FILES
from expunge.workflow.run import require_extra, walk_once

METHODS = ("grad_ascent", "grad_diff", "npo", "calibrated_ascent")
TRAINING = Training(
    lr=2e-3, epochs=40, batch_size=16, warmup=0.05, decay="cosine", betas=(0.9, 0.98), weight_decay=0.01, save_every=100
)


def bench_tofu(
    out: Path, *, data: Path, model: str, authors: int, forget: int, methods: tuple[str, ...] = METHODS, seed: int = 0
) -> str:
    """Fine-tune a pretrained model on TOFU authors, forget some, measure, judge, certify.

    Args:
        out: folder of the run.
        data: folder with TOFU's files.
        model: folder or hub name of a causal LM.
        authors: that the original learns, the last of the full set.
        forget: of them that are forgotten.
        methods: names of gradient methods.
        seed: of the models.

    Returns:
        The table.

    Raises:
        MissingExtra: the extra ``hf`` is not installed.
        StoreError: a file of the data is missing.
        TargetError: the model cannot be loaded.
    """
    require_extra("expunge bench tofu")
    place = Path(model)
    base = digest_folder(place) if place.is_dir() else model
    files = {name: digest_file(data / f"{name}.json") for name in FILES}
    identity = ["bench tofu", files, base, authors, forget, list(methods), seed]
    return walk_once(out, identity, lambda: _walk(out, data, model, authors, forget, methods, seed))


def _walk(out: Path, data: Path, model: str, authors: int, forget: int, names: tuple[str, ...], seed: int) -> str:
    from expunge.core.registry import methods, policies
    from expunge.data.corpora.tofu import tofu
    from expunge.engine.finetune import FineTune
    from expunge.workflow.conclude import Conclusion, write_all
    from expunge.workflow.measure import default_budget
    from expunge.workflow.road import Road, Walk

    road = Road(
        name="tofu",
        title=f"TOFU: {forget} of {authors} authors forgotten by {Path(model).name}",
        corpus=tofu(data, authors=authors, forget=forget),
        learned=("forget", "retain"),
        recipe=FineTune(model, TRAINING, on_long="truncate"),
        methods={name: methods.get(name) for name in names},
        policy=policies.get("research_tofu"),
        budget=default_budget(),
        basis="benchmark",
        seed=seed,
        facts={"model": Path(model).name},
    )
    walk = Walk(road, out)
    walk.pin()
    walk.train()
    walk.forget()
    return write_all(Conclusion(walk, walk.measure()), {}, None)
