"""Does loading with bitsandbytes bring answers back? Sources: Zhang et al. 2024 (2410.16454); QLoRA (2305.14314).

Question: how probable are the forgotten answers once bitsandbytes itself has put the linear weights into NF4? Good: no
higher than for a retrained model that is quantised alike, which gets about what it gets unquantised. Threat: anyone
who holds the weights, ``load_in_4bit=True``; no data, no training.

What it should say, and was measured to say on a CPU, is what ``quantisation_nf4`` says without the package: this one is
for those who want the tool's own word. The package is the extra ``bitsandbytes``. In Python every attack of this kind
takes another tool as its grid: ``replace(quantisation_8bit, grid=BitsAndBytes("int8"))``.
"""

from __future__ import annotations

from expunge.attacks._quantisation import Quantisation
from expunge.engine.quantise_tools import BitsAndBytes

quantisation_bitsandbytes = Quantisation("quantisation_bitsandbytes", BitsAndBytes("nf4", block=64))
