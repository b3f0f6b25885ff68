"""Constants found once before the first step, state across steps, penalties on parameters: one control a file.

A control is a function ``(context, **settings) -> value`` that the loop calls for each ``Constant`` in a loss.
"""

from expunge.core.registry import registry_package

registry_package(__name__)
