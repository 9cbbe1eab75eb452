"""Generated drawings in the official simplified form, and generated photos. They are not from Quick, Draw!.

With them, every step from the build to training can be tried, tested and measured without the official files.
"""

from __future__ import annotations

from sketchdata.synth.generate import CHUNK, generate

__all__ = ["CHUNK", "generate"]
