"""Does rounding to 8 bits bring the forgotten answers back? Source: Zhang et al. 2024 (2410.16454).

Question: how probable are the forgotten answers once every channel of every linear layer is rounded to 255 equal
steps? Good: no higher than for a retrained model that is quantised alike. A retrained model gets about what it gets
unquantised: nothing that it never knew comes back. Threat: anyone who holds the weights, or a host who serves them in
int8 with no ill will; no data, no training, seconds of computing.

Our rounding is to nearest, without calibration data; GPTQ, AWQ and the outlier columns of LLM.int8 are not tried.
"""

from __future__ import annotations

from expunge.attacks._quantisation import Quantisation
from expunge.engine.quantise import RoundToNearest

quantisation_8bit = Quantisation("quantisation_8bit", RoundToNearest(bits=8))
