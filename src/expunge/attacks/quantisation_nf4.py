"""Does loading in NF4 bring the forgotten answers back? Sources: Zhang et al. 2024 (2410.16454); QLoRA (2305.14314).

Question: how probable are the forgotten answers once the linear weights are loaded as the field's tools load a model
"in 4 bits": NormalFloat4 in blocks of 64? Good: no higher than for a retrained model that is quantised alike. A
retrained model gets about what it gets unquantised: nothing that it never knew comes back. Threat: anyone who holds
the weights; one argument of a loading function, no data, no training.

The 16 levels and the blocks are bitsandbytes'. Its second quantisation, of the scales, and its bfloat16 arithmetic
are left out, so that the numbers are the same on every machine.
"""

from __future__ import annotations

from expunge.attacks._quantisation import Quantisation
from expunge.engine.quantise import NormalFloat4

quantisation_nf4 = Quantisation("quantisation_nf4", NormalFloat4(block=64))
