"""A new version of a model, from its coming to the old one's end, under load: no call fails, and each is answered by a
version that is in service, or by the one that was asked for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from scripts.archive import MADE
from scripts.embedded import EmbeddedServer
from scripts.fetch import fetch
from scripts.inference_yml import Preparation
from scripts.own import Own
from scripts.photographs import EXAMPLES
from scripts.pipeline import populate
from tests.triton.commands import run
from tritonclas import Classifier, ModelNotFound, ModelServer, zoo
from tritonclas.published import imagenet_labels

NAME = "ladder"
CAT = EXAMPLES / "cat.jpg"
#: Of the same size and classes, and otherwise unlike each other.
OLD, NEW = "EfficientNetB0_small", "EfficientNetB0"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two Paddle archives as a user has them."""
    made = {}
    for name in (OLD, NEW):
        made[name] = fetch(zoo.find(name), "synthetic", tmp_path_factory.mktemp(name)).folder
        (made[name] / MADE).unlink()
    return made


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{name}\n" for name in imagenet_labels()), encoding="utf-8")
    return path


class Load:
    """Calls without a pause, and the first class of each answer; an error ends it, and is raised at the end."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self.answers: list[str] = []
        self._ask, self._end = ask, threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._working = self._pool.submit(self._work)

    def _work(self) -> None:
        while not self._end.is_set():
            self.answers.append(self._ask())

    def since(self, place: int) -> Counter[str]:
        """Answers from the one after the next on: that one may have been asked before."""
        wanted = len(self.answers) + 5
        while len(self.answers) < wanted and not self._working.done():
            self._end.wait(0.01)
        return Counter(self.answers[place + 2 :])

    def stop(self) -> None:
        self._end.set()
        self._pool.shutdown()
        self._working.result()


@contextmanager
def asking(url: str, place: str) -> Iterator[Load]:
    with Classifier(url, NAME, preprocess=place) as classifier:
        load = Load(lambda: classifier.classify(CAT).top.name)
        try:
            yield load
        finally:
            load.stop()


def command(*words: object) -> str:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_from_canary_to_release_and_back_and_on(archives: dict[str, Path], labels: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    own = Own(name=NAME, labels=labels, like=zoo.find(NEW), preparation=Preparation())
    populate(own, str(archives[OLD]), models)
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer([NAME], models))
        admin = stack.enter_context(ModelServer(server.url))
        canary = stack.enter_context(Classifier(server.url, NAME, version=2))
        with pytest.raises(ModelNotFound, match="ladder_v2"):
            canary.classify(CAT)
        loads = [stack.enter_context(asking(server.url, place)) for place in ("server", "client")]

        def answered_by() -> set[str]:
            """The first classes of what both kinds of callers are answered from now on."""
            places = [len(load.answers) for load in loads]
            return {name for load, place in zip(loads, places, strict=True) for name in load.since(place)}

        (old,) = answered_by()

        options = ("--repository", models, "--weights", archives[NEW], "--labels", labels, "--like", NEW)
        assert "ladder version 2: published" in command("-m", "scripts.populate", NAME, "--version", 2, *options)
        admin.load(f"{NAME}_v2")
        new = canary.classify(CAT).top.name
        assert new != old
        with Classifier(server.url, NAME, version=2, preprocess="client") as cropping:
            assert cropping.classify(CAT).top.name == new
        assert answered_by() == {old}

        release = ("-m", "scripts.release", NAME)
        connection = ("--repository", models, "--load", "--url", server.url)
        command(*release, 2, *connection)
        assert set(loads[0].since(len(loads[0].answers))) == {new}
        command(*release, 1, *connection)
        assert answered_by() == {old}
        command(*release, 2, *connection)
        command("-m", "scripts.remove", NAME, "--version", 1, "--repository", models)
        admin.load(NAME)
        assert answered_by() == {new}  # who crops himself has asked for version 1 until it was gone

        for load in loads:
            load.stop()
            assert set(load.answers) == {old, new}
            assert len(load.answers) > 50
