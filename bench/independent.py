"""A load generator that shares nothing with the load test: threads and plain tritonclient, one prepared request each.

    python -m bench.independent URL MODEL BATCH USERS WARM_UP_S SECONDS PICTURE...

prints images a second and the median latency as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton


def main() -> None:
    """Closed loop: a thread sends its next request when the last one is answered. Time is from answer to answer."""
    url, model, batch, users, warm_up_s, measured_s, *paths = sys.argv[1:]
    started_s = time.perf_counter()
    begin_s = started_s + float(warm_up_s)
    end_s = begin_s + float(measured_s)
    pictures = [Path(path).read_bytes() for path in paths]
    ended: list[tuple[float, float]] = []

    def user(number: int) -> None:
        with triton.InferenceServerClient(url) as client:
            for request in _requests(pictures, int(batch), number):
                sent_s = time.perf_counter()
                if sent_s > end_s:
                    return
                client.infer(model, [request], outputs=[triton.InferRequestedOutput("probabilities")]).as_numpy(
                    "probabilities"
                )
                ended.append((time.perf_counter(), sent_s))

    threads = [threading.Thread(target=user, args=(number,)) for number in range(int(users))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inside = sorted((answered_s, sent_s) for answered_s, sent_s in ended if begin_s < answered_s <= end_s)
    before_s = max((answered_s for answered_s, _ in ended if answered_s <= begin_s), default=started_s)
    print(
        json.dumps(
            {
                "images_per_s": len(inside) * int(batch) / (inside[-1][0] - before_s),
                "p50_ms": 1000 * statistics.median(answered_s - sent_s for answered_s, sent_s in inside),
            }
        )
    )


def _requests(pictures: list[bytes], batch: int, number: int):  # type: ignore[no-untyped-def]
    prepared = []
    for first in range(len(pictures)):
        files = [pictures[(first + place) % len(pictures)] for place in range(batch)]
        request = triton.InferInput("image", [batch, 1], "BYTES")
        request.set_data_from_numpy(np.array(files, dtype=np.object_).reshape(batch, 1))
        prepared.append(request)
    while True:
        number += 1
        yield prepared[number % len(prepared)]


if __name__ == "__main__":
    main()
