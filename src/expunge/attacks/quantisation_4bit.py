"""Does rounding to 4 bits bring the forgotten answers back? Source: Zhang et al. 2024 (2410.16454).

Question: how probable are the forgotten answers once every channel of every linear layer is rounded to 15 equal
steps? An unlearning that moves weights by less than a step is undone by it. Good: no higher than for a retrained
model that is quantised alike. A retrained model gets about what it gets unquantised: nothing that it never knew comes
back. Threat: anyone who holds the weights, or a host who serves them in 4 bits with no ill will; no data, no
training, seconds of computing.

Our rounding is to nearest, without calibration data; GPTQ and AWQ are not tried.
"""

from __future__ import annotations

from expunge.attacks._quantisation import Quantisation
from expunge.engine.quantise import RoundToNearest

quantisation_4bit = Quantisation("quantisation_4bit", RoundToNearest(bits=4))
