"""What tensors and state are once they have left the learner: host arrays and JSON."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
