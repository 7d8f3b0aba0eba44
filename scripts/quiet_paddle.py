"""Paddle, imported without its chatter: every module that needs it takes it from here."""

from __future__ import annotations

import os
import signal
import threading
import warnings

# Paddle's C++ half reads this once, when it is loaded: 2 leaves errors, and drops notes and warnings.
os.environ.setdefault("GLOG_minloglevel", "2")

with warnings.catch_warnings():
    # It warns of a missing ccache, which only those who compile operators need.
    warnings.simplefilter("ignore")
    import paddle

# Paddle's import takes SIGTERM for itself and would end the process without any clean-up: give it back.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))

__all__ = ["paddle"]
