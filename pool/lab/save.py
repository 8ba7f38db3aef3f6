"""Crash states as image files, which ``zdb -e -p FOLDER`` and every other tool can open.

Files are sparse: pages of zeros stay holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .crash import CrashState, States
from .pages import PAGE, Pages


def write_image(content: Pages, path: Path) -> None:
    """One disk's content as a sparse file; a file that is there is replaced.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("wb") as file:
        file.truncate(content.size)
        for number, page in content.used():
            at = number * PAGE
            file.seek(at)
            file.write(page[: content.size - at])


def read_image(path: Path) -> Pages:
    """What ``write_image`` has written, or any image."""
    result = Pages(path.stat().st_size)
    with path.open("rb") as file:
        at = 0
        while data := file.read(1 << 20):
            result.write(at, data)
            at += len(data)
    return result


def save(states: States, state: CrashState, folder: Path) -> list[Path]:
    """The disks as a crash state leaves them; beside them the line that names it, in ``STATE``.

    Args:
        states: of the journal it belongs to.
        state: which.
        folder: made if need be.

    Returns:
        the images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "STATE").write_text(f"{state}\n")
    return write_images(states.build(state), [disk.name for disk in states.journal.disks], folder)


def write_images(contents: Sequence[Pages], names: Sequence[str], folder: Path) -> list[Path]:
    """Several disks' contents as ``NAME.img`` each."""
    paths = [folder / f"{Path(name).stem}.img" for name in names]
    if len(set(paths)) < len(paths):
        raise ValueError("two disks have one name")
    for content, path in zip(contents, paths):
        write_image(content, path)
    return paths
