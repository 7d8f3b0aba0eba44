"""populate on a file system that is too small, and again once it isn't; prints what happened as JSON.

Run it in a mount namespace of its own, where the file system goes when it ends (`unshare --mount`):

    unshare --mount python -m chaos.small_disk FOLDER BYTES NAME --before

With `--before` the model is there already, and is to be published anew.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import click

from tritonclas.cli import example

_ROOT = Path(__file__).resolve().parents[1]
_LARGE = "size=1g"
_OVERHEAD = 3 * 2**20


@click.command(epilog=example("unshare --mount python -m chaos.small_disk /tmp/small 20000000 EfficientNetLite0"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("size", type=click.IntRange(1))
@click.argument("name")
@click.option("--before", is_flag=True, help="The model is there already; SIZE is what is free beside it.")
@click.option("--again", is_flag=True, help="Make room in the end, and give the same command once more.")
def main(folder: Path, size: int, name: str, *, before: bool, again: bool) -> None:
    """Mount a small file system at FOLDER and populate NAME there."""
    _mount(folder, _LARGE)
    models = folder / "models"
    if before:
        _populate(name, models)
    there = _contents(models)
    used = sum(path.stat().st_size for path in models.rglob("*") if path.is_file()) if before else 0
    _mount(folder, f"remount,size={used + size + (_OVERHEAD if before else 0)}")
    refused = _populate(name, models, *(["--force"] if before else []))
    left = _contents(models)
    repaired = None
    if again:
        _mount(folder, f"remount,{_LARGE}")
        repaired = _populate(name, models, *(["--force"] if before else [])).returncode
    said = {
        "status": refused.returncode,
        "said": refused.stdout + refused.stderr,
        "unchanged": left == there,
        "left": sorted(left),
        "repaired": repaired,
    }
    click.echo(json.dumps(said))


def _mount(folder: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tritonclas-chaos", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=10)


def _populate(name: str, models: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.populate", name, "--repository", str(models), *options]
    return subprocess.run(command, cwd=_ROOT, check=False, capture_output=True, text=True, timeout=120)


def _contents(models: Path) -> dict[str, str]:
    """The hash of each file, but for locks."""
    files = [path for path in models.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(models)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    main()
