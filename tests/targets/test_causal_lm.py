"""Language models: facts by architecture, round trips, and what is refused."""

import json
import shutil

import pytest
import torch

from expunge.core.access import Access
from expunge.core.canonical import digest_file, read_json
from expunge.core.errors import TargetError
from expunge.core.objective import as_loss
from expunge.core.protocols import Target
from expunge.core.provenance import Plain
from expunge.core.training import Training
from expunge.data.collate import collate
from expunge.engine.generate import generate
from expunge.engine.score import score
from expunge.engine.train import train
from expunge.engine.views import run_states
from expunge.objectives import nll
from expunge.targets import causal_lm
from expunge.targets.causal_lm import CARD, CausalLM, load_causal_lm, refuse_pickles
from expunge.targets.model_facts import MODEL_FACTS, facts_of
from expunge.testing.toy import toy_model, toy_selection

ARCHITECTURES = sorted(MODEL_FACTS)


@pytest.fixture
def saved(tmp_path):
    target = toy_model(seed=1)
    target.save(tmp_path / "model")
    return tmp_path / "model", target.digest()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_of_the_table_runs_scores_trains_and_speaks(architecture):
    target = toy_model(architecture=architecture, layers=3)
    assert target.model.config.model_type == architecture
    assert len(target.facts.decoder_layers(target.model)) == 3
    assert target.template.max_length == 48
    items = target.template.encode_all(toy_selection().forget)
    batch = collate(items)
    with torch.no_grad():
        states = run_states(target.model, target.facts, batch, final=True, layers=(0, 2))
        full = target.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True)
    assert states.final is not None
    torch.testing.assert_close(target.facts.head(target.model)(states.final), full.logits[batch.rows, batch.cols])
    torch.testing.assert_close(states.layers[0], full.hidden_states[1][batch.rows, batch.cols])
    before = score(target, toy_selection().retain, ["token_logp"])["token_logp"].sum()
    train(
        target, as_loss(nll.bind().on("retain")), {"retain": toy_selection().retain}, Training(lr=1e-3, steps=1), seed=0
    )
    assert score(target, toy_selection().retain, ["token_logp"])["token_logp"].sum() > before
    assert len(generate(target, ["Where does Ana live?"], max_new_tokens=3)) == 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saving_and_loading_keeps_the_digest_and_every_answer(tmp_path, architecture):
    target = toy_model(seed=1, architecture=architecture)
    manifest = target.save(tmp_path / "model")
    again = load_causal_lm(tmp_path / "model")
    assert again.digest() == target.digest() and isinstance(again, Target)
    assert again.template == again.template and again.provenance == Plain()
    a, b = (score(t, toy_selection().forget, ["token_logp"])["token_logp"] for t in (target, again))
    assert (a == b).all()
    assert not manifest.changed(tmp_path / "model")
    assert [e.path for e in manifest.entries if e.contains_personal_data] == ["model.safetensors"]
    assert not list(tmp_path.rglob("*.bin")) and not list(tmp_path.rglob("*.pt"))


def test_a_buffer_that_is_saved_counts_in_the_digest_and_another_does_not():
    target = toy_model(seed=1)
    before = target.digest()
    target.model.register_buffer("made_anew", torch.tensor(1.0), persistent=False)
    assert target.digest() == before
    target.model.register_buffer("kept", torch.tensor(1.0))
    kept = target.digest()
    target.model.kept.fill_(2.0)
    assert len({before, kept, target.digest()}) == 3


def test_saving_twice_gives_equal_bytes(tmp_path):
    target = toy_model(seed=1)
    for name in ("a", "b"):
        target.save(tmp_path / name)
    load_causal_lm(tmp_path / "a").save(tmp_path / "c")
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    for other in ("b", "c"):
        assert sorted(p.name for p in (tmp_path / other).iterdir()) == files
        unequal = [n for n in files if digest_file(tmp_path / "a" / n) != digest_file(tmp_path / other / n)]
        assert unequal == []


def test_saving_over_a_model_replaces_it_whole(tmp_path, saved):
    path, digest = saved
    (path / "stray.txt").write_text("old")
    other = toy_model(seed=2)
    other.save(path)
    assert load_causal_lm(path).digest() == other.digest() != digest
    assert not (path / "stray.txt").exists() and [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_save_that_fails_leaves_the_old_model(tmp_path, saved, monkeypatch):
    path, digest = saved

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(causal_lm, "write_json", fail)
    with pytest.raises(OSError, match="no space"):
        toy_model(seed=2).save(path)
    assert load_causal_lm(path).digest() == digest
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("place", [-1, -300])
def test_changed_weights_are_refused(saved, place):
    path, _ = saved
    file = path / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    with pytest.raises(TargetError, match="changed since it was saved"):
        load_causal_lm(path)


def test_a_changed_vocabulary_or_template_is_refused(saved):
    path, _ = saved
    for file in path.glob("chat_template*"):
        file.write_text(file.read_text() + " ")
    tokenizer = read_json(path / "tokenizer.json")
    words = tokenizer["model"]["vocab"]
    first, second = sorted(words, key=words.get)[10:12]
    words[first], words[second] = words[second], words[first]
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(TargetError, match="changed since it was saved"):
        load_causal_lm(path)


def test_truncated_weights_are_refused(saved):
    path, _ = saved
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(TargetError, match="cannot load a causal LM"):
        load_causal_lm(path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "model.joblib"])
def test_a_folder_with_only_pickles_is_refused_before_anything_is_read(saved, name):
    path, _ = saved
    (path / "model.safetensors").unlink()
    (path / name).write_bytes(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(TargetError, match=f"holds only pickled weights.*{name}.*Convert them to safetensors"):
        load_causal_lm(path)


def test_a_pickle_beside_safetensors_is_never_read(saved):
    path, digest = saved
    (path / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert load_causal_lm(path).digest() == digest


def test_a_pickled_file_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(TargetError, match=r"model.bin is a pickle"):
        refuse_pickles(tmp_path / "model.bin")


def test_a_folder_that_is_not_there_or_holds_no_model_is_refused(tmp_path):
    with pytest.raises(TargetError, match=r"no model at .*nowhere.*does not exist"):
        load_causal_lm(tmp_path / "nowhere")
    with pytest.raises(TargetError, match=r"no model at ./nowhere"):
        load_causal_lm("./nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TargetError, match="cannot load a causal LM"):
        load_causal_lm(tmp_path / "empty")


def test_an_architecture_without_facts_is_refused():
    target = toy_model()
    target.model.config.model_type = "lama"
    with pytest.raises(TargetError, match=r"no facts for the architecture 'lama'.*gpt2, gpt_neox, llama.*Add a row"):
        facts_of(target.model)


def test_the_digest_covers_every_weight_and_the_words():
    target = toy_model(seed=1)
    digests = {target.digest()}
    for parameter in target.model.parameters():
        with torch.no_grad():
            parameter.view(-1)[-1] += 1e-3
        digests.add(target.digest())
    target.tokenizer.chat_template += " "
    digests.add(target.digest())
    target.model.config.rms_norm_eps *= 10
    digests.add(target.digest())
    target.tokenizer.eos_token = "<pad>"
    digests.add(target.digest())
    assert len(digests) == 4 + len(list(target.model.parameters()))


def test_use_of_the_tokenizer_changes_no_digest():
    target = toy_model(seed=1)
    before = target.digest()
    target.tokenizer(["Ana", "Bo lives"], padding=True, truncation=True, max_length=1)
    assert target.digest() == before


def test_a_clone_shares_no_weight():
    target = toy_model(seed=1)
    before, copy = target.digest(), target.clone()
    assert copy.digest() == before
    with torch.no_grad():
        for parameter in copy.model.parameters():
            parameter.add_(1)
    assert target.digest() == before != copy.digest()


def test_tied_weights_stay_tied_and_count_once(saved):
    path, _ = saved
    for target in (toy_model(seed=1), toy_model(seed=1).clone(), load_causal_lm(path)):
        model = target.model
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        assert target.parameters == sum(p.numel() for p in set(model.parameters()))


def test_open_weights_grant_everything_but_the_files_of_a_store():
    target = toy_model()
    assert target.oracle(Access.all() | Access.STORE_FILES).access == Access.all()
    assert target.oracle(Access.TEXT).access == Access.TEXT


def test_how_long_records_are_treated_is_kept(tmp_path):
    model = toy_model(seed=1)
    CausalLM(model.model, model.tokenizer, on_long="truncate").save(tmp_path / "model")
    assert load_causal_lm(tmp_path / "model").template.on_long == "truncate"
    shutil.rmtree(tmp_path / "model")
    model.save(tmp_path / "model")
    (tmp_path / "model" / CARD).unlink()
    assert load_causal_lm(tmp_path / "model", on_long="truncate").template.on_long == "truncate"
