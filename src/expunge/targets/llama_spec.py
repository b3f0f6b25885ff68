"""The shape of a small Llama over a closed vocabulary of words, to be trained from scratch."""

from __future__ import annotations

from expunge.core.record import record
from expunge.data.corpora.word_tokenizer import EOS, PAD, word_tokenizer
from expunge.targets.causal_lm import CausalLM


@record
class LlamaSpec:
    """A Llama with tied embeddings.

    Args:
        vocabulary: words, in the order of their ids.
        hidden: size of the residual stream.
        layers: decoder layers.
        heads: attention heads.
        kv_heads: key-value heads.
        inner: size of the MLP.
        context: limit in tokens.
    """

    vocabulary: tuple[str, ...]
    hidden: int = 96
    layers: int = 4
    heads: int = 4
    kv_heads: int = 4
    inner: int = 256
    context: int = 64

    def build(self) -> CausalLM:
        """A model with weights drawn from torch's current random state."""
        from transformers import LlamaConfig, LlamaForCausalLM

        tokenizer = word_tokenizer(self.vocabulary)
        ids = tokenizer.get_vocab()
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            max_position_embeddings=self.context,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=ids[EOS],
            pad_token_id=ids[PAD],
        )
        return CausalLM(LlamaForCausalLM(config).eval(), tokenizer)
