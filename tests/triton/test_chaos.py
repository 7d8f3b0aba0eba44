"""Each fault in its short form: nothing fails or is lost. How long things take is judged on a machine at rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.__main__ import FAULTS
from chaos.not_here import NotHere

#: Of crashes, tests/triton/test_stubs.py has the parts.
SLOW = ("clock", "crashes", "network", "overload", "pictures", "replicas", "soak")
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in FAULTS]


@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")  # Pillow's, of hostile files
@pytest.mark.parametrize("name", NAMES)
def test_is_survived(name: str, repository: Path) -> None:
    fault, _ = FAULTS[name]
    try:
        trials = list(fault(repository, short=True))
    except NotHere as why:
        pytest.skip(str(why))
    assert trials
    for trial in trials:
        assert trial.calls > 0
        assert not [promise for promise in trial.broken if not promise.timed], trial
