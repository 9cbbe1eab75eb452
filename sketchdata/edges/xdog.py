"""XDoG, the extended difference of Gaussians: lines as an ink drawing has them.

Source: Winnemöller, Kyprianidis and Olsen, "XDoG: an eXtended difference-of-Gaussians compendium including advanced
image stylization", Computers & Graphics 36(6), 2012, pp. 740–753, in the parameters of its section 2.5. With G_σ the
luminance in 0..1 smoothed by σ,

    S = (1 + p) · G_σ − p · G_kσ
    T = 1 where S ≥ ε, else 1 + tanh(φ · (S − ε))

T is the picture's brightness; the edge strength is the ink, 1 − T.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sketchdata.edges.gradient import to_uint8
from sketchdata.photos import Photo

SIGMA = 1.4
#: The ratio of the two Gaussians at which their difference comes nearest to Marr and Hildreth's Laplacian.
K = 1.6
#: Sharpening: lines appear where brightness falls short of its surroundings by more than 1/p of itself.
P = 20.0
#: With 0 no flat area is inked, however dark: lines alone, which is what an edge map is.
EPSILON = 0.0
#: How fast ink deepens.
PHI = 4.0


def xdog(photo: Photo) -> npt.NDArray[np.uint8]:
    """Return the ink of XDoG: (H, W, 3) uint8 RGB → (H, W) uint8; lines are as wide as a pen's, not thinned."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (SIGMA, K * SIGMA))
    sharpened = (1 + P) * fine - P * coarse
    return to_uint8(-255 * np.tanh(PHI * np.minimum(sharpened - EPSILON, 0)))
