"""A load generator that shares nothing with the load test: threads and plain tritonclient.

    python -m bench.independent URL MODEL BATCH USERS WARM_UP_S SECONDS PICTURE...

prints images a second and the median latency as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton


def main() -> None:
    """Closed loop: a thread sends its next request when the last one is answered. Time is from answer to answer.

    The warm-up begins when each thread has had an answer.
    """
    url, model, batch, users, warm_up_s, measured_s, *paths = sys.argv[1:]
    pictures = [Path(path).read_bytes() for path in paths]
    ended: list[tuple[float, float]] = []
    connected = threading.Barrier(int(users), timeout=60)

    def user(number: int) -> None:
        batches = _batches(pictures, int(batch), number)
        with triton.InferenceServerClient(url) as client:
            _ask(client, model, next(batches))
            connected.wait()
            end_s = time.perf_counter() + float(warm_up_s) + float(measured_s)
            for files in batches:
                sent_s = time.perf_counter()
                if sent_s > end_s:
                    return
                _ask(client, model, files)
                ended.append((time.perf_counter(), sent_s))

    threads = [threading.Thread(target=user, args=(number,)) for number in range(int(users))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first_s = min(sent_s for _, sent_s in ended)
    begin_s = first_s + float(warm_up_s)
    end_s = begin_s + float(measured_s)
    inside = sorted((answered_s, sent_s) for answered_s, sent_s in ended if begin_s < answered_s <= end_s)
    before_s = max((answered_s for answered_s, _ in ended if answered_s <= begin_s), default=first_s)
    print(
        json.dumps(
            {
                "images_per_s": len(inside) * int(batch) / (inside[-1][0] - before_s),
                "p50_ms": 1000 * statistics.median(answered_s - sent_s for answered_s, sent_s in inside),
            }
        )
    )


def _ask(client: triton.InferenceServerClient, model: str, files: list[bytes]) -> None:
    """As a client must: make the request of the files' contents, and read the answer."""
    image = triton.InferInput("image", [len(files), 1], "BYTES")
    image.set_data_from_numpy(np.array(files, dtype=np.object_).reshape(len(files), 1))
    outputs = [triton.InferRequestedOutput("probabilities")]
    client.infer(model, [image], outputs=outputs).as_numpy("probabilities")


def _batches(pictures: list[bytes], batch: int, number: int) -> Iterator[list[bytes]]:
    while True:
        number += 1
        yield [pictures[(number + place) % len(pictures)] for place in range(batch)]


if __name__ == "__main__":
    main()
