"""Mechanisms that add noise around gradient descent, each with the (epsilon, delta) that it is calibrated to.

``bound="paper"`` takes a paper's constant, quoted at second hand; ``"derived"`` the one that the module proves. The
first is the default because it is never smaller, which is proved and tested.
"""
