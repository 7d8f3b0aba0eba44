"""Compiled models, one for all instances of a process that want the same; any number of threads may ask it.

It computes each picture of a batch for itself: on a CPU that takes as long as the batch at once or less, the answer
doesn't depend on the company, and there is one size of everything to compile and to keep memory for.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino_options import Properties

Array = NDArray[Any]

_TYPES = {"u8": "TYPE_UINT8", "f32": "TYPE_FP32"}


class Compiled:
    """A model as OpenVINO computes it, with the requests that it is asked by."""

    def __init__(self, path: Path, properties: Properties) -> None:
        core = ov.Core()
        model = core.read_model(path)
        #: As the file has them, types by Triton's name; sizes that aren't fixed are -1.
        self.inputs = {port.any_name: _type_and_shape(port) for port in model.inputs}
        self.outputs = {port.any_name: _type_and_shape(port) for port in model.outputs}
        model.reshape({name: [1, *shape[1:]] for name, (_, shape) in self.inputs.items()})
        self._model = core.compile_model(model, "CPU", properties)
        self._at_once: int = self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._idle: deque[Any] = deque()

    def run(self, outputs: Sequence[str], batch: Mapping[str, Array]) -> list[Array]:
        """The named outputs of a batch, an array each, which nobody else writes to."""
        count = len(next(iter(batch.values())))
        rows: dict[str, list[Array]] = {name: [] for name in outputs}
        with self._requests(min(count, self._at_once)) as requests:
            for number, request in zip(range(count + len(requests)), cycle(requests), strict=False):
                if number >= len(requests):
                    request.wait()
                    for name, found in rows.items():
                        found.append(request.get_tensor(name).data.copy())  # the memory is the request's
                if number < count:
                    for name, arrays in batch.items():
                        request.get_tensor(name).data[:] = arrays[number]
                    request.start_async()
        return [np.concatenate(found) for found in rows.values()]

    @contextmanager
    def _requests(self, count: int) -> Iterator[list[Any]]:
        """So many requests that nobody else uses meanwhile; after an error they aren't used again."""
        taken = [self._take() for _ in range(count)]
        yield taken
        self._idle.extend(taken)

    def _take(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            return self._model.create_infer_request()


_compiled: WeakValueDictionary[object, Compiled] = WeakValueDictionary()
_compiling = threading.Lock()


def compiled(path: Path, properties: Properties) -> Compiled:
    """The compiled model of a file, which lives as long as somebody has it.

    A file in another one's place is another model: Triton loads the new one before it lets the old one go.
    """
    found = path.stat()
    key = (path.resolve(), found.st_ino, found.st_size, found.st_mtime_ns, *sorted(properties.items()))
    with _compiling:
        model = _compiled.get(key)
        if model is None:
            model = _compiled[key] = Compiled(path, properties)
        return model


def _type_and_shape(port: Any) -> tuple[str, list[int]]:
    shape = [size.get_length() if size.is_static else -1 for size in port.partial_shape]
    kind = port.element_type.get_type_name()
    return _TYPES.get(kind, kind), shape
