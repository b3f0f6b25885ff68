"""Does rounding with torchao to 4 bits bring the forgotten answers back? Source: Zhang et al. 2024 (2410.16454).

Question: how probable are the forgotten answers once torchao has put every channel of the linear weights into 4-bit
whole numbers? Good: no higher than for a retrained model that is quantised alike, which gets about what it gets
unquantised. Threat: anyone who holds the weights, or a host who serves them so; no data, no training.

Its steps differ from those of ``quantisation_4bit`` (15 halves of one to the largest weight, where ours are 7), so that
what is hidden in fine steps comes back elsewhere. The package is the extra ``torchao``.
"""

from __future__ import annotations

from expunge.attacks._quantisation import Quantisation
from expunge.engine.quantise_tools import TorchAO

quantisation_torchao = Quantisation("quantisation_torchao", TorchAO(bits=4))
