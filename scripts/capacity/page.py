"""The plans as a Markdown page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.capacity.plan import Margins, Picture, Plan, Pod, crop_bytes, gbit_per_s, mean_wait

_CROPS = (224, 380, 600)
_KILO, _MEGA = 1000, 1_000_000


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What all plans of a page are made with: `source` says in words where costs come from, `basis` where rates do."""

    pictures: Sequence[Picture]
    pod: Pod
    margins: Margins
    targets: Sequence[int]
    source: str
    basis: str


PUBLISHED = """\
Images a second of a GPU come from PaddleClas's published latencies (`tritonclas.published`): batch size / latency. They
are of PaddleClas's own machines and of the network alone, one batch after another; nothing of this project was measured
on a GPU. A load test on yours gives better figures: `python -m scripts.capacity --results reports/t4/results.json`."""

MEASURED = """\
Images a second are a load test's, of a whole server with preprocessing and all ({path}): of each model and batch size
the most that was answered without a failure. Where the generator was the limit, the server can do more."""

_PAGE = """\
# Capacity

How many pods with a GPU a rate of images takes, and what runs out first. `python -m scripts.capacity --out
docs/capacity.md` made this page; `--help` names what can be changed.

{basis}

{assumed}
**Why {headroom} of headroom.** Batches that come at random wait for each other, and the wait has no bound as the load
comes near to all that a GPU can do: on average {wait:.1f} times the time of a batch at {planned}, {wait_90:.1f}
at 90 %, {wait_95:.1f} at 95 % (Pollaczek-Khinchine, for arrivals at random and equal times). Rates are peaks, not
averages of a day. Spare pods are those that are being replaced or drained, or have just failed; of hundreds of pods
more are away at a time, which the headroom has to bear.

Not in these figures: a GPU that is hot and slows down, or is shared; batches that Triton can't fill, because too few
requests wait; crops of more than 224 pixels, which take longer to prepare; what the backends' Python does around a
picture, since serving a request is Triton's part alone; and NVIDIA's image, where the preprocessing runs in processes
of its own and takes more of the cores than in the embedded server (*not measured*).
"""

_PLACE = """\
## {place}

The first table: images a second by batch size; what a pod can do with files of {first} that the server prepares, and
what runs out first; pods for so many images a second. The second: what it takes to feed the GPU at the best batch size,
and what a pod can do with what is assumed above.

"""

_FLEET = """\
## The whole fleet

What all pods together receive, and what all cores together spend on preparing, wherever they are.

"""

_NEXT = """\
## Where the next bottleneck is

How many of the rows above each resource is the first to run out in:

{counts}
Where it is the GPU, more of them help, or a faster precision or a smaller network. Where it is the CPU, they help only
with the cores that they bring: give a pod those that the table names, let the server decode large JPEGs at a smaller
scale (`scaled_decoding`, which changes pixels a little: [the model repository](model_repository.md)), or let the
clients prepare (`preprocess="client"`). Then the server's cores only receive and hand on, and a crop is sent instead of
a file: of 224 pixels {crop_224:.0f} kB, of 600 pixels {crop_600:,.0f} kB. Where it is the network, send the smaller of
the two.
"""


def markdown(plans: Sequence[Plan], assumed: Assumptions) -> str:
    """The page; plans of one place stand together, in the order in which they come."""
    planned = 1 - assumed.margins.headroom
    head = _PAGE.format(
        basis=assumed.basis,
        assumed=_assumed(assumed),
        headroom=_percent(assumed.margins.headroom),
        planned=_percent(planned),
        wait=mean_wait(planned),
        wait_90=mean_wait(0.9),
        wait_95=mean_wait(0.95),
    )
    places = dict.fromkeys(each.basis.place for each in plans)
    sections = [_place([each for each in plans if each.basis.place == place], assumed) for place in places]
    return "\n".join([head, *sections, _fleet(assumed), _next(plans)])


def _assumed(assumed: Assumptions) -> str:
    first = assumed.pictures[0]
    rows = [
        *(
            (f"preparing a picture of {each.name}", f"{each.preprocess_ms:.2f} ms of a core", assumed.source)
            for each in assumed.pictures
        ),
        ("serving a request besides", f"{first.request_ms:.2f} ms of a core", f"{assumed.source}; for one picture"),
        *(
            (f"a file of {each.name}", f"{each.encoded_bytes / _KILO:.0f} kB", assumed.source)
            for each in assumed.pictures
        ),
        ("an answer", "4 kB", "1000 probabilities; names of classes are less"),
        (
            "cores for a GPU",
            f"{assumed.pod.cores:g}",
            "`--cores`; what pods of [deploy/kubernetes](kubernetes.md) ask for",
        ),
        ("network for a GPU", f"{assumed.pod.gbit_per_s:g} Gbit/s", "`--gbit`; what gRPC and TCP add isn't counted"),
        ("headroom", _percent(assumed.margins.headroom), "`--headroom`"),
        ("spare pods", f"{assumed.margins.spare}", "`--spare`"),
    ]
    return _table(("what is assumed", "", "from"), rows, "| --- | ---: | --- |")


def _place(plans: Sequence[Plan], assumed: Assumptions) -> str:
    ways = _ways(plans)
    title = _PLACE.format(place=plans[0].basis.place, first=assumed.pictures[0].name)
    return title + _pods(next(iter(ways.values())), assumed.targets) + "\n" + _feeding(ways)


def _ways(plans: Iterable[Plan]) -> dict[str, list[Plan]]:
    """Plans by how pictures come. Crops are the same, of whatever picture."""
    ways: dict[str, list[Plan]] = {}
    for each in plans:
        way = f"files of {each.picture.name}" if each.mode == "server" else "crops"
        rows = ways.setdefault(way, [])
        if each.basis not in (row.basis for row in rows):
            rows.append(each)
    return ways


def _pods(plans: Sequence[Plan], targets: Sequence[int]) -> str:
    batches = sorted({batch for each in plans for batch in each.basis.images_per_s})
    columns = ["model", *(f"batch {batch}" for batch in batches), "a pod", *map(spelt, targets)]
    rows = [
        [
            each.basis.model,
            *(_rate(each.basis.images_per_s.get(batch)) for batch in batches),
            _pod(each),
            *(f"{each.replicas[target]:,}" for target in targets),
        ]
        for each in plans
    ]
    return _table(columns, rows)


def _feeding(ways: dict[str, list[Plan]]) -> str:
    columns = ["model"]
    rows: dict[str, list[str]] = {each.basis.model: [] for plans in ways.values() for each in plans}
    for number, (way, plans) in enumerate(ways.items(), 1):
        columns += [way, "a pod"]
        for each in plans:
            rows[each.basis.model] += [f"{each.cores:.1f} cores, {each.gbit_per_s:.2f} Gbit/s", _pod(each)]
        for cells in rows.values():
            cells.extend(["-"] * (2 * number - len(cells)))
    return _table(columns, [[model, *cells] for model, cells in rows.items()])


def _fleet(assumed: Assumptions) -> str:
    pictures = assumed.pictures
    columns = [
        "images/s",
        *(f"cores for {each.name}" for each in pictures),
        *(f"files of {each.name}, Gbit/s" for each in pictures),
        *(f"crops of {crop}, Gbit/s" for crop in _CROPS),
    ]
    rows = [
        [
            spelt(target),
            *(f"{target * each.preprocess_ms / 1000:,.1f}" for each in pictures),
            *(f"{gbit_per_s(target, each.encoded_bytes):,.1f}" for each in pictures),
            *(f"{gbit_per_s(target, crop_bytes(crop)):,.1f}" for crop in _CROPS),
        ]
        for target in assumed.targets
    ]
    return _FLEET + _table(columns, rows)


def _next(plans: Sequence[Plan]) -> str:
    ways = {way: Counter(each.bottleneck for each in rows) for way, rows in _ways(plans).items()}
    resources = dict.fromkeys(resource for each in plans for resource in each.limits)
    rows = [[resource, *(f"{found[resource]}" for found in ways.values())] for resource in resources]
    counts = _table(["", *ways], rows)
    return _NEXT.format(counts=counts, crop_224=crop_bytes(224) / _KILO, crop_600=crop_bytes(600) / _KILO)


def spelt(rate: int) -> str:
    """1000 is 1k, 1000000 is 1M, and what is neither stays."""
    for size, letter in ((_MEGA, "M"), (_KILO, "k")):
        if rate >= size and not rate % size:
            return f"{rate // size}{letter}"
    return f"{rate:,}"


def _pod(each: Plan) -> str:
    return f"{each.images_per_s:,.0f} ({each.bottleneck})"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], ruler: str | None = None) -> str:
    ruler = ruler or "| --- |" + " ---: |" * (len(columns) - 1)
    lines = [f"| {' | '.join(columns)} |", ruler, *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"
