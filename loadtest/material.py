"""What a sweep sends: its pictures, as they are and as crops for each model."""

from __future__ import annotations

from collections.abc import Iterable

from loadtest.crops import Crops, crops, preprocessing_of
from loadtest.mix import generate
from loadtest.options import Options
from loadtest.pictures import Pictures, read_pictures
from loadtest.plan import Templates
from loadtest.subjects import Model
from loadtest.workload import Input, Workload
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
        return Workload(self._options.url, model, 1, self._pictures.contents[:1], timeout_s=self._options.timeout_s)

    def templates(self, models: Iterable[Model]) -> Templates:
        """A workload for each model and input."""
        return {(model.name, each): self._template(model, each) for model in models for each in self._options.inputs}

    def _template(self, model: Model, given: Input) -> Workload:
        options, pictures = self._options, self._pictures
        if given.startswith("encoded"):
            return Workload(
                options.url, model.name, 1, pictures.contents, given, options.timeout_s, sizes=pictures.sizes
            )
        preprocessing = preprocessing_of(self._server, model.name)
        if preprocessing not in self._crops:
            self._crops[preprocessing] = crops(pictures, preprocessing)
        return Workload(options.url, model.name, 1, self._crops[preprocessing], given, options.timeout_s)


def _pictures(options: Options) -> Pictures:
    return generate(options.mix, options.seed) if options.mix else read_pictures(options.images)
