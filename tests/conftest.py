"""What all tests have in common."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says how busy the machine is, and no more.
settings.register_profile("sketchdata", deadline=None)
settings.load_profile("sketchdata")
