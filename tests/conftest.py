"""What all tests have in common."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# A shell starts what stands before `&`, and nohup, with Ctrl-C ignored, which all processes of the tests would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests run side by side, one on each core; torch, OpenBLAS and the processes that tests start read this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says how busy the machine is, and no more.
settings.register_profile("sketchdata", deadline=None)
settings.load_profile("sketchdata")
