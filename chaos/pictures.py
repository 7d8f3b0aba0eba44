"""Hostile pictures among good ones, several clients at once, past all that the SDK checks before it sends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from chaos.hostile import hostile
from chaos.load import ANSWERED, MODEL, Asking
from chaos.trial import Promise, Trial
from chaos.vitals import vitals
from scripts.embedded import EmbeddedServer
from tritonclas import Classifier, ImageRejected, ModelServer, zoo
from tritonclas.preprocess import BadImage, Preprocessing, parse_rejections

COUNT, SHORT_COUNT = 1000, 150
CLIENTS = 4
_TIMEOUT_S = 60.0
#: Of probabilities that two sessions compute of the same crop.
_ROUNDING = 1e-4
#: Memory that a second pass of the same files may add; a picture that isn't freed is 192 MB. malloc keeps some for each
#: thread: of eight passes the first seven took a server from 126 to 175 MB, the eighth nothing.
_GROWTH_MB = 48.0


def pictures(repository: Path, *, short: bool = False) -> Iterator[Trial]:
    """Each hostile file followed by a good one; in the long form twice, since what is new takes memory once."""
    files, passes = hostile(SHORT_COUNT if short else COUNT), 1 if short else 2
    with EmbeddedServer([MODEL], repository) as server:
        with _Judge(server.url) as judge, ThreadPoolExecutor(CLIENTS) as pool:
            ends = list(pool.map(judge, files))
            first = vitals(server.process.pid)
            ends += [] if short else pool.map(judge, files)
            second = vitals(server.process.pid)
        alive = server.process.poll() is None
    counts = Counter(how for pair in ends for how in pair)
    wrong = [f"{kind}: {how}" for (kind, _), (how, _) in zip(files * passes, ends, strict=True) if how not in _RIGHT]
    growth_mb = (second.memory - first.memory) / 1e6
    yield Trial(
        f"{len(files):,} hostile pictures",
        f"{passes} times each, past the SDK's checks, a good one after each, {CLIENTS} clients: cut short, bits "
        "flipped, bombs, lies about the size, no pictures, animations, palettes, 16 bits, CMYK, huge metadata",
        dict(counts),
        expected=(ImageRejected.__name__,),
        lost=0,
        recovery_ms=None,
        promises=(
            Promise("each ends as the SDK's own preprocessing says", "; ".join(wrong[:5]) or "all", not wrong),
            Promise("some are refused, some answered", f"{counts[ImageRejected.__name__]:,} refused", _both(ends)),
            Promise("the server lives", "yes" if alive else "no", alive),
            Promise(
                "descriptors", f"{first.descriptors}, {second.descriptors}", second.descriptors <= first.descriptors + 2
            ),
            Promise.at_most("memory that the second pass adds", growth_mb, _GROWTH_MB, "MB"),
        ),
    )


_RIGHT = (ANSWERED, ImageRejected.__name__)


def _both(ends: Sequence[tuple[str, str]]) -> bool:
    return set(_RIGHT) <= {how for how, _ in ends}


class _Judge:
    """Sends a file, and then a good picture, and says how each ended; compares with what the file ought to get."""

    def __init__(self, url: str) -> None:
        self._channel = grpc.insecure_channel(url)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._classifier = Classifier(url, MODEL)
        self._cropped = Classifier(url, MODEL, preprocess="none")
        with ModelServer(url) as server:
            parameters = server.config(zoo.find(MODEL).preprocess_name)["parameters"]
        self._preprocessing = _preprocessing(parameters)
        self._good = Asking(self._classifier)
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> _Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self._classifier.close()
        self._cropped.close()
        self._channel.close()

    def __call__(self, file: tuple[str, bytes]) -> tuple[str, str]:
        ended = self._of(file[1])
        try:
            self._good()
        except Exception as error:  # noqa: BLE001  whatever it is, the good picture wasn't answered rightly
            return ended, type(error).__name__
        return ended, ANSWERED

    def _of(self, content: bytes) -> str:
        expected, found = self._expected(content), self._found(content)
        if expected.reason is not None or found.reason is not None:
            same = expected.reason == found.reason
            return (
                ImageRejected.__name__
                if same
                else f"{found.reason or ANSWERED} instead of {expected.reason or ANSWERED}"
            )
        assert expected.probabilities is not None
        assert found.probabilities is not None
        close = np.allclose(expected.probabilities, found.probabilities, atol=_ROUNDING)
        return ANSWERED if close else "another answer than the same crop's"

    def _expected(self, content: bytes) -> _Answer:
        try:
            with self._one_at_a_time:  # 64 megapixels take this process 400 MB
                crop = self._preprocessing(content)
        except BadImage as error:
            return _Answer(reason=" ".join(str(error).split()))
        return _Answer(self._cropped.probabilities([crop])[0])

    def _found(self, content: bytes) -> _Answer:
        request = service_pb2.ModelInferRequest(model_name=MODEL)
        request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append(len(content).to_bytes(4, "little") + content)
        try:
            answer = self._stub.ModelInfer(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            message = error.details() or error.code().name
            return _Answer(reason=parse_rejections(message).get(0, f"{error.code().name}: {message}"))
        return _Answer(np.frombuffer(answer.raw_output_contents[0], np.float32))


@dataclass(frozen=True)
class _Answer:
    """Probabilities, or why there are none."""

    probabilities: NDArray[np.float32] | None = None
    reason: str | None = None


def _preprocessing(parameters: Mapping[str, Mapping[str, str]]) -> Preprocessing:
    return Preprocessing.from_parameters({name: value["string_value"] for name, value in parameters.items()})
