"""A data-centric toolkit for free-hand sketches.

Importing the package touches neither network nor disk, and never torch.
"""

from sketchdata.version import __version__

__all__ = ["__version__"]
