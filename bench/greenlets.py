"""What a request costs in greenlets without Locust: through the SDK, or through gRPC alone.

    python -m bench.greenlets grpc|sdk URL MODEL USERS SECONDS PICTURE

prints requests a second and the process's time a request as JSON.
"""

from __future__ import annotations

from loadtest import gevent_first  # noqa: F401

# isort: split

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gevent
import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tritonclas import Classifier


def _through_grpc(url: str, model: str, picture: bytes) -> Callable[[], object]:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(url))
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
    request.raw_input_contents.append(len(picture).to_bytes(4, "little") + picture)
    return lambda: stub.ModelInfer(request)


def _through_the_sdk(url: str, model: str, picture: bytes) -> Callable[[], object]:
    classifier = Classifier(url, model, retries=0)
    return lambda: classifier.probabilities([picture])


def main() -> None:
    """Closed loop of greenlets."""
    way, url, model, users, measured_s, picture = sys.argv[1:]
    make = {"grpc": _through_grpc, "sdk": _through_the_sdk}[way]
    content = Path(picture).read_bytes()
    asks = [make(url, model, content) for _ in range(int(users))]
    for ask in asks:
        ask()
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    end_s = begin_s + float(measured_s)

    def user(ask: Callable[[], object]) -> int:
        number = 0
        while time.perf_counter() < end_s:
            ask()
            number += 1
        return number

    greenlets = [gevent.spawn(user, ask) for ask in asks]
    gevent.joinall(greenlets, raise_error=True)
    requests = sum(each.value for each in greenlets)
    print(
        json.dumps(
            {
                "requests_per_s": requests / (time.perf_counter() - begin_s),
                "cpu_us": 1e6 * (time.process_time() - begin_cpu_s) / requests,
            }
        )
    )


if __name__ == "__main__":
    main()
