"""Classify pictures, one line for each; a bad one is named on stderr, and the others are still answered.

python examples/classify.py examples/*.jpg --url localhost:8001 --model EfficientNetLite0
"""

from __future__ import annotations

import argparse
import sys

from tritonclas import Classifier, ImageRejected, TritonClasError


def main() -> int:
    """Exit status 1 if any picture couldn't be classified."""
    parser = argparse.ArgumentParser(description="Classify pictures, one line for each.")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--url", default="localhost:8001", help="Triton's gRPC endpoint [%(default)s]")
    parser.add_argument("--model", default="EfficientNetLite0", help="[%(default)s]")
    arguments = parser.parse_args()
    rejected = 0
    with Classifier(arguments.url, arguments.model) as classifier:
        for path, result in zip(arguments.images, classifier.classify_many(arguments.images), strict=True):
            if isinstance(result, ImageRejected):
                rejected += 1
                print(f"Error: {path}: {result.reason}", file=sys.stderr)
            else:
                print(f"{path}\t{result.top.name}\t{result.top.score:.3f}")
    return 1 if rejected else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TritonClasError as error:
        sys.exit(f"Error: {error}")
