"""Whether this machine's CPU computes in bfloat16; where it doesn't, OpenVINO would imitate it, slowly."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

#: Any of these will do (`flags` in /proc/cpuinfo): AVX-512's instructions, or AMX's tiles.
FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_CPUINFO = Path("/proc/cpuinfo")


def lacking(flags: Set[str]) -> str | None:
    """What a CPU with these flags lacks, in words; None if it computes in bfloat16."""
    if flags & FLAGS:
        return None
    return f"this CPU doesn't compute in bfloat16 (neither {' nor '.join(sorted(FLAGS))} in {_CPUINFO})"


def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """The flags of the first CPU that is listed; nothing where none are."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())
