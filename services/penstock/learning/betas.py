"""Adam's constants (Kingma, Ba, ICLR 2015), the same for everything that moves by it."""

import math

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
SETTLED_STEPS = math.ceil(math.log(2.0**-26) / math.log(BETA2))
"""From so many steps on, 1 − β^t is 1 in float32 for both β."""
