"""Generated drawings in the official simplified form. They are drawn by a program and are not from Quick, Draw!.

They let a machine without the official files try, test and measure everything from the build to training.
"""

from __future__ import annotations

from sketchdata.synth.generate import CHUNK, generate

__all__ = ["CHUNK", "generate"]
