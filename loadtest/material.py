"""What a sweep sends: its pictures, as they are and as crops for each model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loadtest.errors import LoadTestError
from loadtest.options import Options
from loadtest.pictures import read_pictures
from loadtest.plan import Templates
from loadtest.subjects import Model
from loadtest.workload import Image, Input, Workload
from tritonclas import ModelServer
from tritonclas.preprocess import Preprocessing


class Material:
    """The pictures of the options."""

    def __init__(self, server: ModelServer, options: Options) -> None:
        self._server = server
        self._options = options
        self._pictures = read_pictures(options.images)
        self.description = f"{len(self._pictures)} pictures of {options.images.name}"
        self.size_classes: Sequence[str] = ()

    def probe(self, model: str) -> Workload:
        """The first picture alone."""
        return Workload(self._options.url, model, 1, self._pictures[:1], timeout_s=self._options.timeout_s)

    def templates(self, models: Iterable[Model]) -> Templates:
        """A workload for each model and input."""
        found: dict[tuple[str, Input], Workload] = {}
        for model in models:
            for each in self._options.inputs:
                pictures = self._crops(model) if each.startswith("pixels") else self._pictures
                found[model.name, each] = Workload(
                    self._options.url, model.name, 1, pictures, each, self._options.timeout_s
                )
        return found

    def _crops(self, model: Model) -> tuple[Image, ...]:
        parts = model.parts
        if parts.preprocessing is None:
            raise LoadTestError(f"{model.name} has no preprocessing; leave pixels out of --inputs")
        parameters = self._server.config(parts.preprocessing)["parameters"]
        preprocessing = Preprocessing.from_parameters({key: each["string_value"] for key, each in parameters.items()})
        return tuple(preprocessing(picture) for picture in self._pictures)
