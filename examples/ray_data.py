"""A folder of pictures through Ray Data: actors with a client each, and a Parquet row for every file.

    python examples/ray_data.py photos predictions --concurrency 4 --url localhost:8001 --model EfficientNetLite0

On this machine, or with `--address` on a Ray cluster that has tritonclas (and `RAY_AUTH_MODE=token` in the environment
if it asks for Ray's token); then the folders are URIs (s3://…), or paths that all its machines share.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tritonclas import Classification, Classifier, ImageRejected, TritonClasError

if TYPE_CHECKING:
    import ray

#: Stated, since a batch without a bad picture has nothing to tell the type of `error` from.
COLUMNS = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("index", pa.int32()),
        ("score", pa.float32()),
        ("error", pa.string()),
    ]
)

#: Processors that Ray reserves for an actor, which waits for Triton most of the time.
ACTOR_CPUS = 0.1

#: How often a batch is tried again that an overloaded server has refused. The SDK never does that, a job can wait.
OVERLOAD_RETRIES = 6


class ClassifyBatch:
    """What an actor does. It makes its own client, since connections survive neither pickling nor forking."""

    def __init__(self, url: str, model: str) -> None:
        self.classifier = Classifier(url, model)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Files as rows (path, bytes) to rows of COLUMNS."""
        results = list(self.classifier.classify_many(batch["bytes"].to_pylist()))
        rows = [row(path, result) for path, result in zip(batch["path"].to_pylist(), results, strict=True)]
        return pa.Table.from_pylist(rows, schema=COLUMNS)


def row(path: str, result: Classification | ImageRejected) -> dict[str, Any]:
    """One file's row; of a bad picture only the path and the reason."""
    if isinstance(result, ImageRejected):
        return {"path": path, "error": result.reason}
    return {"path": path, "label": result.top.name, "index": result.top.index, "score": result.top.score}


def classify_folder(data: Any, arguments: argparse.Namespace) -> ray.data.Dataset:
    """The answers, in the order of the files; `data` is ray.data."""
    context = data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.retried_map_errors, context.max_map_retries = ["ServerOverloaded"], OVERLOAD_RETRIES
    context.raise_original_map_exception = True
    return data.read_binary_files(arguments.folder, include_paths=True).map_batches(
        ClassifyBatch,
        fn_constructor_args=(arguments.url, arguments.model),
        compute=data.ActorPoolStrategy(size=arguments.concurrency),
        batch_size=arguments.batch_size,
        batch_format="pyarrow",
        num_cpus=ACTOR_CPUS,
    )


def started_ray(address: str | None, cpus: int | None) -> Any:
    """The module, connected to the cluster, or to a Ray on this machine's loopback that ends with this program.

    It is imported here because it reads its environment then.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on Linux too: without, all interfaces are listened at
    import ray  # noqa: PLC0415

    ray.init(address or "local", **({} if address else {"num_cpus": cpus, "include_dashboard": False}))
    return ray


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the user wants; a usage error if that can't be."""
    parser.add_argument("folder")
    parser.add_argument("out", help="a folder that isn't there yet, for Parquet files")
    parser.add_argument("--concurrency", type=int, default=2, help="actors [%(default)s]")
    parser.add_argument("--batch-size", type=int, default=64, help="files that an actor takes at once [%(default)s]")
    parser.add_argument("--address", help="of a Ray cluster; without, one is started here, for this run")
    parser.add_argument("--cpus", type=int, help="processors for the one that is started here [all]")
    parser.add_argument("--url", default="localhost:8001", help="Triton's gRPC endpoint [%(default)s]")
    parser.add_argument("--model", default="EfficientNetLite0", help="[%(default)s]")
    arguments = parser.parse_args()
    if Path(arguments.out).exists():
        parser.error(f"{arguments.out} is there already")
    return arguments


def main() -> None:
    """Classify and write, and stop what was started."""
    arguments = arguments_of(argparse.ArgumentParser(description="Classify a folder of pictures with Ray Data."))
    ray = started_ray(arguments.address, arguments.cpus)
    try:
        answers = classify_folder(ray.data, arguments).materialize()
        answers.write_parquet(arguments.out, mode=ray.data.SaveMode.ERROR)
        print(f"{arguments.out}: {answers.count()} rows")
    finally:
        ray.shutdown()


if __name__ == "__main__":
    try:
        main()
    except (TritonClasError, OSError, ValueError) as error:
        cause = getattr(error, "cause", error)  # what was raised in an actor; Ray has added lines of its own
        sys.exit(f"Error: {str(cause).splitlines()[0]}")
