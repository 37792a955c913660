"""FERAtt's synthetic compositing: a face put on a background at a random pose and in the background's light.

Marrero Fernandez et al., "FERAtt: Facial Expression Recognition with Attention Net", CVPR Workshops 2019, and the
public code of it in its forms of 2018, March 2019 and April 2019. Written anew from their description.
"""

from edgefer_export.train.composite.backgrounds import FolderBackgrounds, textures
from edgefer_export.train.composite.compositor import Compositor
from edgefer_export.train.composite.ranges import PRESETS, CompositeRanges, PoseRanges

__all__ = ["PRESETS", "CompositeRanges", "Compositor", "FolderBackgrounds", "PoseRanges", "textures"]
