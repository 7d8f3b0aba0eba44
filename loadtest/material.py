"""What a sweep sends: its pictures, as they are and as crops for each model."""

from __future__ import annotations

from collections.abc import Iterable

from loadtest.crops import Crops, crops, preprocessing_of
from loadtest.mix import generate
from loadtest.options import Options
from loadtest.pictures import Pictures, read_pictures
from loadtest.plan import Templates
from loadtest.subjects import Model
from loadtest.workload import Image, Input, Workload
from tritonclas import ModelServer
from tritonclas.preprocess import Preprocessing


class Material:
    """The pictures of the options: a folder's, or a generated mix."""

    def __init__(self, server: ModelServer, options: Options) -> None:
        self._server = server
        self._options = options
        self._pictures = _pictures(options)
        self._crops: dict[Preprocessing, Crops] = {}

    @property
    def description(self) -> str:
        """What is sent, in words."""
        return self._pictures.description

    @property
    def digest(self) -> str:
        """Tells these pictures from others, whatever they are called."""
        return self._pictures.digest

    def probe(self, model: str) -> Workload:
        """The first picture alone."""
        return self._workload(model, self._pictures.contents[:1], "encoded")

    def templates(self, models: Iterable[Model]) -> Templates:
        """A workload for each model and input."""
        return {(model.name, each): self._template(model, each) for model in models for each in self._options.inputs}

    def _template(self, model: Model, given: Input) -> Workload:
        pictures = self._pictures
        if given.startswith("encoded"):
            return self._workload(model.name, pictures.contents, given, pictures.sizes)
        preprocessing = preprocessing_of(self._server, model.name)
        if preprocessing not in self._crops:
            self._crops[preprocessing] = crops(pictures, preprocessing)
        return self._workload(model.name, self._crops[preprocessing], given)

    def _workload(self, model: str, pictures: tuple[Image, ...], given: Input, sizes: tuple[int, ...] = ()) -> Workload:
        options = self._options
        return Workload(
            options.url,
            model,
            1,
            pictures,
            given,
            options.timeout_s,
            sizes=sizes,
            tls=options.tls,
            headers=options.headers,
        )


def _pictures(options: Options) -> Pictures:
    return generate(options.mix, options.seed) if options.mix else read_pictures(options.images)
