"""A model from elsewhere becomes a target: what is known of it, what is not, and what that puts out of reach."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from expunge.core.canonical import digest, read_json
from expunge.core.errors import ConfigError, StoreError, TargetError
from expunge.core.files import write_json
from expunge.core.guarantee import Guarantee, Unproven
from expunge.core.manifest import NAME, Manifest
from expunge.core.provenance import Plain
from expunge.core.registry import methods
from expunge.data.vault import Vault
from expunge.ledger.home import home
from expunge.workflow.logged import note
from expunge.workflow.saved import CARD

RECORD = "adoption.json"
EARNED_BY = {
    "Exact": "a replay whose digests agree",
    "Certified": "an accountant's proof",
    "Purged": "a byte scan that finds nothing",
    "Empirical": "measurements against a model trained without the records: give it to expunge evaluate --reference",
    "Suppressed": "nothing but the overlay itself; the model still knows",
}


@dataclass(frozen=True)
class Reach:
    """Whether a guarantee can be had of a target.

    Args:
        guarantee: its name.
        methods: those that claim it and can work on the target.
        why_not: one line for each method that claims it and cannot; one line if no method claims it.
        earned_by: what must then be shown.
    """

    guarantee: str
    methods: tuple[str, ...]
    why_not: tuple[str, ...]
    earned_by: str


@dataclass(frozen=True)
class Adoption:
    """What is known of an adopted target.

    Args:
        target: loaded.
        facts: by name, as they are written and shown.
        unknown: what is not known and would be needed for stronger guarantees.
        reach: of each guarantee, the strongest first.
        salt: hex. what keeps the digest of the training data from confirming a guess; empty without data.
    """

    target: Any
    facts: Mapping[str, Any]
    unknown: tuple[str, ...]
    reach: tuple[Reach, ...]
    salt: str = ""

    def plain(self) -> dict[str, Any]:
        """As it is shown, without the salt."""
        rows = [{**vars(row), "methods": list(row.methods), "why_not": list(row.why_not)} for row in self.reach]
        return {**self.facts, "unknown": list(self.unknown), "reach": rows}


def reach_of(target: Any) -> tuple[Reach, ...]:
    """What the registered methods can claim of a target, by what they need and what it has."""
    found: dict[str, tuple[list[str], list[str]]] = {
        kind.__name__: ([], []) for kind in get_args(Guarantee) if kind is not Unproven
    }
    for name, method in methods.items():
        able, unable = found[type(method.claim).__name__]
        lacks = _lacks(name, method, target)
        if lacks:
            unable.append(lacks)
        else:
            able.append(name)
    rows: list[Reach] = []
    for guarantee, (able, unable) in found.items():
        why_not = unable or ([] if able else ["no registered method claims it"])
        rows.append(Reach(guarantee, tuple(able), tuple(why_not), EARNED_BY[guarantee]))
    return tuple(rows)


def _lacks(name: str, method: Any, target: Any) -> str:
    """Why a method cannot work on a target, empty if it can."""
    needs = method.needs
    if needs is not Plain and not isinstance(target.provenance, needs):
        return f"{name} needs provenance {needs.__name__}, this target has {type(target.provenance).__name__}"
    if getattr(method, "recipe", target) is None:
        return f"{name} needs the recipe by which the target was trained, and all records that it was trained on"
    return ""


def look(source: str | Path, *, data: Path | None = None) -> Adoption:
    """Load a model and say what is known of it. Writes nothing.

    Args:
        source: folder or hub name.
        data: file of the records that it was trained on, as far as whoever adopts it knows.

    Raises:
        TargetError: it is missing, a pickle, of an unknown architecture, or changed since it was saved.
        StoreError: the data is missing or malformed.
    """
    from expunge.workflow.verbs import adopt, load_data

    path = Path(source)
    _check_config(path)
    records = load_data(data) if data is not None else None
    target = adopt(source)
    if target.kind != "causal_lm":
        raise TargetError(f"{source} is a {target.kind}, not a model", why="only models are trained elsewhere")
    salt = secrets.token_hex(32) if records is not None else ""
    proofs = [name for name, file in ((CARD, path / CARD), (NAME, path.resolve().parent / NAME)) if file.is_file()]
    facts: dict[str, Any] = {
        "source": str(source),
        "kind": target.kind,
        "digest": target.digest(),
        "provenance": type(target.provenance).__name__,
        "checked_against": proofs if (path / CARD).is_file() else [],
        "training_data": "unknown" if records is None else _told(records, salt),
        **_of_model(target, path),
    }
    unknown = ["the recipe, the seeds and the order of training"] if isinstance(target.provenance, Plain) else []
    unknown += ["what it was trained on"] if records is None else ["whether that is all that it was trained on"]
    return Adoption(target, facts, tuple(unknown), reach_of(target), salt)


def _told(records: Any, salt: str) -> dict[str, Any]:
    return {"records": len(records.ids()), "salted_digest": digest([salt, records.digest()]), "stated": "not proven"}


def _of_model(target: Any, path: Path) -> dict[str, Any]:
    from expunge.targets.causal_lm import config_digest, tokenizer_digest, weights_digest

    model = target.model
    return {
        "model_type": model.config.model_type,
        "parameters": target.parameters,
        "context": target.template.max_length,
        "stored_as": _stored_as(path),
        "computed_in": sorted({str(p.dtype).removeprefix("torch.") for p in model.parameters()}),
        "revision": getattr(model.config, "_commit_hash", None),
        "digests": {
            "weights": weights_digest(model),
            "config": config_digest(model),
            "tokenizer": tokenizer_digest(target.tokenizer),
        },
    }


def _stored_as(path: Path) -> list[str]:
    """Number formats of the weights on disk, from the heads of the files; empty for a name on a hub."""
    from safetensors import safe_open

    found: set[str] = set()
    for file in sorted(path.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as tensors:
            found |= {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    return sorted(found)


def _check_config(path: Path) -> None:
    """Raise before gigabytes are read where the architecture is unknown, or would come with code of its own.

    Raises:
        TargetError: it does.
    """
    from expunge.targets.model_facts import facts_for

    if not (path / "config.json").is_file():
        return
    try:
        config = read_json(path / "config.json")
        kind, own_code = config.get("model_type", ""), "auto_map" in config
    except (StoreError, AttributeError) as error:
        raise TargetError(f"{path / 'config.json'} is not a model's config", why=str(error)) from error
    try:
        facts_for(kind)
    except TargetError as error:
        if own_code:
            raise TargetError(
                f"the model in {path} brings code of its own",
                why=f"its architecture {kind!r} is not built in, and code that comes with weights is never run",
                next="Convert it to a built-in architecture",
            ) from error
        raise


def record_adoption(adoption: Adoption, *, out: Path | None = None) -> None:
    """Note an adoption in the log, and keep the model with what is known of it.

    The salt of the digest of the training data goes into the vault alone: whoever has both can confirm a guess.

    Args:
        adoption: from ``look``.
        out: folder for the model in safetensors with ``adoption.json`` and a manifest; None writes no copy.

    Raises:
        ConfigError: the folder holds something.
        LedgerError: the log cannot be used.
    """
    told, facts = adoption.facts["training_data"], adoption.facts
    if out is not None:
        check_out(out)
    check = {}
    if isinstance(told, dict):
        name = salt_name(told["salted_digest"])
        Vault(home()).put(name, adoption.salt.encode())
        check["check"] = (
            f"salted_digest is core.canonical.digest([salt, load_data(FILE).digest()]); "
            f"the salt is in the vault of EXPUNGE_HOME: Vault(home()).get({name!r})"
        )
    if out is not None:
        adoption.target.save(out)
        write_json(out / RECORD, {**adoption.plain(), **check})
        Manifest.of(out).write(out)
    digests = {"after": facts["digest"], "config": facts["digests"]["config"]}
    counters = {"targets": 1}
    if isinstance(told, dict):
        digests["data"] = told["salted_digest"]
        counters["records"] = told["records"]
    note("ADOPT", digests=digests, counters=counters)


def salt_name(salted: str) -> str:
    """The name in the vault of the salt of a digest.

    >>> salt_name("sha256:" + "5f" * 32)
    'adopted-5f5f5f5f5f5f'
    """
    return f"adopted-{salted.removeprefix('sha256:')[:12]}"


def check_out(out: Path) -> None:
    """Raise unless a folder is new or empty.

    Raises:
        ConfigError: it holds something, or is a file.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError(f"{out} holds something already", next="Choose a new or an empty folder")
