"""Several models that answer as one: to scorer and generator a mixture is what its formula says, cache or no cache."""

import numpy as np
import pytest
import torch

from expunge.engine.generate import generate
from expunge.engine.score import score
from expunge.targets.causal_lm import CausalLM
from expunge.targets.mixture import Mixture
from expunge.testing.toy import toy_corpus, toy_model

COLUMNS = ("token_logp", "mask", "token_logp_perturbed", "mask_perturbed")


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def parts(request):
    return [toy_model(seed=seed, architecture=request.param) for seed in (1, 2, 3, 9)]


@pytest.fixture(scope="module")
def average(parts):
    return CausalLM(Mixture([part.model for part in parts[:3]]).eval(), parts[0].tokenizer)


@pytest.fixture(scope="module")
def routed(parts):
    base = parts[3]
    ids = [torch.tensor([base.template.prompt_ids(e.question)]) for e in toy_corpus()][::9]
    with torch.no_grad():
        centroids = torch.stack([base.model.base_model(input_ids=one).last_hidden_state[0].mean(0) for one in ids])
    assert len(centroids) == 3
    mixture = Mixture([part.model for part in parts[:3]], base=base.model, centroids=centroids)
    return CausalLM(mixture.eval(), base.tokenizer)


def test_the_scorer_sees_the_mean_of_the_probabilities(parts, average):
    found = score(average, toy_corpus(), COLUMNS)
    each = [score(part, toy_corpus(), COLUMNS) for part in parts[:3]]
    for variant in ("", "_perturbed"):
        name, mask = f"token_logp{variant}", found[f"mask{variant}"]
        want = np.log(np.mean([np.exp(own[name].astype(np.float64)) for own in each], 0))
        np.testing.assert_allclose(found[name] * mask, want * mask, atol=5e-6)


def test_each_token_is_told_by_the_part_nearest_to_what_stands_before_it(parts, routed):
    found = score(routed, toy_corpus(), COLUMNS)
    centroids, chosen = routed.model.centroids.double(), set()
    with torch.no_grad():
        for row, item in enumerate(routed.template.encode_all(toy_corpus())):
            ids = torch.tensor([item.ids[:-1]])
            hidden = parts[3].model.base_model(input_ids=ids).last_hidden_state[0].double()
            means = hidden.cumsum(0) / torch.arange(1, len(hidden) + 1)[:, None]
            said = [part.model(input_ids=ids).logits[0].log_softmax(-1) for part in parts[:3]]
            for place in range(item.n_prompt - 1, len(item.ids) - 1):
                nearest = int((means[place] - centroids).norm(dim=1).argmin())
                chosen.add(nearest)
                want = float(said[nearest][place, item.ids[place + 1]])
                assert abs(found["token_logp"][row, place - item.n_prompt + 1] - want) < 1e-5
    assert len(chosen) > 1


def test_generation_with_a_cache_says_what_a_pass_without_says(average, routed):
    questions = [example.question for example in toy_corpus()][::3]
    asked = [(target, question) for target in (average, routed) for question in questions]
    answers = [answer for target in (average, routed) for answer in generate(target, questions, max_new_tokens=6)]
    for (target, question), answer in zip(asked, answers, strict=True):
        ids, said = list(target.template.prompt_ids(question)), []
        with torch.no_grad():
            while len(said) < 6:
                token = int(target.model(input_ids=torch.tensor([[*ids, *said]])).logits[0, -1].argmax())
                if token == target.template.end:
                    break
                said.append(token)
        assert answer == target.tokenizer.decode(said, skip_special_tokens=True).strip()


def test_its_digest_is_over_every_part(parts, average, routed):
    two = CausalLM(Mixture([part.model for part in parts[:2]]).eval(), parts[0].tokenizer)
    assert len({two.digest(), average.digest(), routed.digest()}) == 3
    assert average.parameters == sum(part.parameters for part in parts[:3])
