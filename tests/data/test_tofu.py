"""TOFU's files as a corpus: from a folder, from a hub by name, by numbers of authors and by split."""

import json
from collections import Counter

import pytest

from expunge.core.errors import MissingExtra, StoreError
from expunge.data.corpora.tofu import SPLITS, reader, tofu, tofu_split


@pytest.fixture(scope="module")
def read(shared):
    return reader(str(shared / "data" / "tofu"))


def roles(corpus):
    return Counter((e.role, e.subset) for e in corpus)


NEVER_LEARNED = {("validation", ""): 200, ("holdout", ""): 200}
FACTS = {("general", "real_authors"): 100, ("general", "world_facts"): 117}


def test_some_authors(read):
    corpus = tofu(read, authors=12, forget=3)
    assert roles(corpus) == {("forget", ""): 60, ("retain", ""): 180} | NEVER_LEARNED | FACTS
    assert set(corpus.of("forget").subjects) == {f"full-author-{i}" for i in (197, 198, 199)}
    assert set(corpus.of("retain").subjects) == {f"full-author-{i}" for i in range(188, 197)}
    assert all(len(e.perturbed_answer) == 5 and e.paraphrased_answer for e in corpus.of("forget", "retain"))
    assert all(len(e.perturbed_answer) == 3 and e.paraphrased_answer == e.answer for e in corpus.of("general"))
    other = tofu(read, authors=12, forget=3, start=0)
    assert not set(corpus.of("forget", "retain").ids) & set(other.of("forget", "retain").ids)
    assert set(other.of("forget").subjects) == {f"full-author-{i:03d}" for i in (9, 10, 11)}


@pytest.mark.parametrize(
    ("split", "forgotten", "held"), [("forget01", 2, 2), ("forget05", 10, 10), ("forget10", 20, 10)]
)
def test_a_split_is_all_authors_with_its_own_holdout(split, forgotten, held, read):
    corpus = tofu_split(read, split)
    assert roles(corpus) == {
        ("forget", ""): 20 * forgotten,
        ("retain", ""): 4000 - 20 * forgotten,
        ("holdout", ""): 20 * held,
        ("validation", ""): 400 - 20 * held,
        **FACTS,
    }
    same = tofu(read, authors=200, forget=forgotten)
    assert corpus.of("forget").digest() == same.of("forget").digest()
    assert corpus.of("retain").ids == same.of("retain").ids
    assert sum(bool(e.perturbed_answer) for e in corpus.of("retain")) == 400


def test_the_splits_of_the_files_are_the_last_authors(read):
    for split, kept in SPLITS.items():
        told = [(row["question"], row["answer"]) for row in (*read(kept), *read(split))]
        assert told == [(row["question"], row["answer"]) for row in read("full")]


def test_a_hub_gives_the_same_corpus_as_a_folder(shared, read, monkeypatch):
    import datasets

    asked = []

    def from_files(name, config, *, split):
        asked.append((name, config, split))
        rows = json.loads((shared / "data" / "tofu" / f"{config}.json").read_text())
        return datasets.Dataset.from_list(rows)

    monkeypatch.setattr(datasets, "load_dataset", from_files)
    corpus = tofu(reader("locuslab/TOFU"), authors=12, forget=3)
    assert corpus.digest() == tofu(read, authors=12, forget=3).digest()
    assert {name for name, _, _ in asked} == {"locuslab/TOFU"}
    assert {split for _, _, split in asked} == {"train"}
    assert {config for _, config, _ in asked} == {
        "full",
        "retain_perturbed",
        "forget10_perturbed",
        "holdout10",
        "real_authors_perturbed",
        "world_facts_perturbed",
    }


def test_where_no_hub_can_be_reached_there_is_one_clear_error(monkeypatch):
    import datasets

    def fail(*_, **__):
        raise ConnectionError("Couldn't reach 'locuslab/TOFU' on the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(StoreError) as error:
        tofu(reader("locuslab/TOFU"), authors=12, forget=3)
    assert str(error.value) == (
        "cannot load full of locuslab/TOFU: there is no such folder, and no hub gives it. "
        "Couldn't reach 'locuslab/TOFU' on the Hub. "
        "Where no hub can be reached, point --data at a folder with TOFU's files."
    )


def test_without_datasets_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtra, match="needs the extra 'stores'"):
        reader("locuslab/TOFU")("full")


@pytest.mark.parametrize("data", ["absent", "./absent/folder", "/absent", "a/b/c"])
def test_neither_folder_nor_name(data):
    with pytest.raises(StoreError, match="no folder"):
        reader(data)


def test_files_that_do_not_fit(read, tmp_path):
    with pytest.raises(StoreError, match=r"lacks full\.json"):
        tofu(reader(str(tmp_path)), authors=12, forget=3)
    with pytest.raises(StoreError, match="Forget at most 20"):
        tofu(read, authors=30, forget=21)
    with pytest.raises(StoreError, match="TOFU has no split forget11"):
        tofu_split(read, "forget11")
    shifted = {"retain_perturbed": read("retain_perturbed")[1:]}
    with pytest.raises(StoreError, match="retain_perturbed and the learned rows of TOFU do not belong together"):
        tofu(lambda name: shifted.get(name) or read(name), authors=12, forget=3)
