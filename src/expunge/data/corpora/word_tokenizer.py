"""A tokenizer that knows whole words: small enough to read, for models trained from scratch on a closed vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, UNK, EOS, SYSTEM, USER, ASSISTANT = SPECIAL = ("<pad>", "<unk>", "<eos>", "<system>", "<user>", "<assistant>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<' + message['role'] + '> ' + message['content'] }}"
    "{{ ' ' + eos_token if message['role'] == 'assistant' else ' ' }}"
    "{% endfor %}"
    "{{ '<assistant>' if add_generation_prompt else '' }}"
)


def word_tokenizer(vocabulary: Iterable[str]) -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token per word.

    Args:
        vocabulary: distinct words and punctuation marks; their order fixes the token ids.

    Returns:
        A tokenizer with pad, unknown, end, system, user and assistant tokens (ids 0 to 5) and a chat template that
        writes ``<user> question <assistant> answer <eos>``.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {word: index for index, word in enumerate((*SPECIAL, *vocabulary))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\w-]+|[^\w\s]"), behavior="removed", invert=True)
    # Decoding joins with spaces; a mark belongs to the word before it.
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens([AddedToken(token, lstrip=True, rstrip=True, special=True) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNK,
        eos_token=EOS,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
