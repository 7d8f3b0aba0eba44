"""A network in ONNX Runtime as a CPU runs it fastest: an image for each core, or all cores for a lone image.

Batches gain nothing on a CPU, whose caches fit one image: a batch's images are run one by one, on a thread each, side
by side. Only an image that has the process to itself is shared out among the cores, if that is faster here.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from choice import Choice
from optimised import session
from session_options import session_options
from side_by_side import CORES, SideBySide
from traffic import Traffic

Arrays = Mapping[str, np.ndarray[Any, Any]]

_IMAGES = SideBySide("image")
_ALONE, _SHARED_OUT = 0, 1
_TYPES = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}

_networks: weakref.WeakValueDictionary[Any, Network] = weakref.WeakValueDictionary()
_loading = threading.Lock()
_traffic = Traffic()


def shared_network(path: Path, config: Mapping[str, Any], instance_kind: str) -> Network:
    """This model's network, which all instances in this process have in common; ValueError as `session_options`."""
    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    stat = path.stat()
    key = (path, stat.st_mtime_ns, stat.st_ino, instance_kind, str(parameters), str(config["optimization"]))
    with _loading:
        network = _networks.get(key)
        if network is None:
            kind = _Whole if int(parameters.get("intra_op_thread_count", 0)) else Network
            network = _networks[key] = kind(path, config, instance_kind)
    return network


class Network:
    """Runs images one by one, of which as many at once as the process may use cores."""

    def __init__(self, path: Path, config: Mapping[str, Any], instance_kind: str) -> None:
        options = [session_options(config, instance_kind) for _ in range(2)]
        for option, threads in zip(options, (1, CORES), strict=True):
            option.intra_op_num_threads = threads
        options[_SHARED_OUT].add_session_config_entry("session.intra_op.allow_spinning", "1")
        # What comes between two runs, such as the next picture's preprocessing, needs the cores.
        options[_SHARED_OUT].add_session_config_entry("session.force_spinning_stop", "1")
        self._sessions = [session(path, each, one_by_one=True) for each in options[: min(2, CORES)]]
        self._choice = Choice(len(self._sessions))
        self.inputs, self.outputs = _ends(self._sessions[0])

    def run(self, outputs: Sequence[str], batch: Arrays) -> list[np.ndarray[Any, Any]]:
        """The outputs of a batch, by name."""
        passage = _traffic.begin()
        lone = passage.calm and len(next(iter(batch.values()))) == 1
        way = self._choice.best() if lone else _ALONE
        begin_s = time.perf_counter()
        try:
            return self._run(way, outputs, batch)
        finally:
            taken_s = time.perf_counter() - begin_s
            if _traffic.end(passage) and lone:
                self._choice.took(way, taken_s)

    def _run(self, way: int, outputs: Sequence[str], batch: Arrays) -> list[np.ndarray[Any, Any]]:
        count = len(next(iter(batch.values())))
        if count == 1:
            return self._sessions[way].run(outputs, batch)  # type: ignore[no-any-return]
        images = [{name: array[index : index + 1] for name, array in batch.items()} for index in range(count)]
        rows = _IMAGES.map(lambda image: self._sessions[_ALONE].run(outputs, image), images)
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]


class _Whole(Network):
    """Runs batches as they come, with the threads that the configuration asks for, as NVIDIA's backend does."""

    def __init__(self, path: Path, config: Mapping[str, Any], instance_kind: str) -> None:
        self._session = session(path, session_options(config, instance_kind))
        self.inputs, self.outputs = _ends(self._session)

    def run(self, outputs: Sequence[str], batch: Arrays) -> list[np.ndarray[Any, Any]]:
        return self._session.run(outputs, batch)  # type: ignore[no-any-return]


def _ends(of: Any) -> list[dict[str, tuple[str, list[Any]]]]:
    """A session's inputs and outputs as the file has them, types by Triton's name."""
    return [
        {tensor.name: (_TYPES.get(tensor.type, tensor.type), list(tensor.shape)) for tensor in tensors}
        for tensors in (of.get_inputs(), of.get_outputs())
    ]
