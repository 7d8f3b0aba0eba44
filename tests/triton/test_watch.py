"""`tritonclas stats --watch` on the real server: what it adds up to is what the SDK counted."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from scripts.embedded import EmbeddedServer
from tests.triton.commands import started
from tests.triton.conftest import REAL
from tritonclas import Classifier, ImageRejected

GOOD, BAD = 12, 5


def test_what_is_watched_is_what_the_client_counted(
    server: EmbeddedServer, classifier: Classifier, examples: dict[str, Path]
) -> None:
    """A failed request of an ensemble counts twice in Triton, and once here."""
    cat = examples["cat"].read_bytes()
    command = ("-m", "tritonclas", "stats", "--watch", "0.3", "--json", "--url", server.url)
    totals: dict[str, Counter[str]] = {REAL: Counter(), f"{REAL}_net": Counter()}
    with started(*command) as process:
        assert process.stdout
        process.stdout.readline()  # it watches
        for _ in range(GOOD):
            classifier.classify(cat)
        for _ in range(BAD):
            with pytest.raises(ImageRejected):
                classifier.classify(cat[:3000])
        done = datetime.now(timezone.utc)
        line = {"time": done.isoformat()}
        while datetime.fromisoformat(line["time"]) < done + timedelta(seconds=0.5):
            line = json.loads(process.stdout.readline())
            for model in line["models"]:
                if model["name"] in totals:
                    for name in ("requests_per_s", "images_per_s", "failures_per_s"):
                        totals[model["name"]][name] += model[name] * line["seconds"]
    whole = {"requests_per_s": GOOD, "images_per_s": GOOD, "failures_per_s": BAD}
    assert totals[REAL] == pytest.approx(whole, abs=0.2)
    assert totals[f"{REAL}_net"] == pytest.approx(whole | {"failures_per_s": 0}, abs=0.2)
