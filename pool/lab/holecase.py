"""One case of the write hole, told in words and saved as images."""

from __future__ import annotations

import itertools
from pathlib import Path

from .raid import CHUNK, Geometry
from .save import save
from .writehole import HEAD, MAGIC, RECORD, SECTOR, Case, Hole, content


def story(case: Case, hole: Hole) -> list[str]:
    """A case told in words: what was promised of each wrong record, what is read, and where it lies.

    Raises:
        ValueError: the journal has no such state.
    """
    shape, promise = hole.run.shape, hole.promise(case.state.cut)
    kept = {one.number for one in hole.explorer(()).states.survivors(case.state)}
    lines = [f"{shape.name}: the power fails at event {case.state.cut} of {len(hole.run.journal)}; pending there:"]
    for number, event in hole.explorer(()).states.pending:
        lines.append(f"    {number}: {event}, {'kept' if number in kept else 'lost'}")
    data = hole.read(case.state, case.lost)
    lost = ", ".join(f"d{number}" for number in case.lost) or "none"
    if data is None:
        return [*lines, f"disks lost: {lost}; the volume cannot be read, and an error says so"]
    broken = promise.broken(data)
    lines.append(f"disks lost: {lost}; {len(broken)} of {len(promise.durable)} records are silently wrong")
    for one in broken:
        low, high = promise.durable[one], promise.written[one]
        now = "nobody was writing it" if low == high else f"version {high} was being written"
        lines.append(f"record {one}, at {one * RECORD:#x} of the volume: version {low} was flushed, {now}")
        lines.append(f"    read: {_seen(data[one * RECORD : (one + 1) * RECORD], one)}")
        if shape.level:
            geometry = Geometry(shape.level, shape.disks)
            row, within = divmod(one * RECORD, geometry.width)
            place = geometry.row(row)
            parity = ", ".join(f"d{disk}" for disk in place.parity)
            data_disks = ", ".join(f"d{disk}" for disk in place.data)
            disk, at = place.data[within // CHUNK], row * CHUNK + within % CHUNK
            lines.append(f"    on d{disk} at {at:#x}, row {row}: data on {data_disks}; parity on {parity}")
    return lines


def _seen(data: bytes, record: int) -> str:
    """What the sectors of a record say of themselves."""
    found: list[str] = []
    for at in range(0, RECORD, SECTOR):
        magic, number, version, sector, _ = HEAD.unpack_from(data, at)
        known = magic == MAGIC and number == record and sector == at // SECTOR
        genuine = known and data[at : at + SECTOR] == content(record, version)[at : at + SECTOR]
        found.append(f"version {version}" if genuine else "bytes that were never written")
    return "; ".join(f"{len(list(group))} sectors of {what}" for what, group in itertools.groupby(found))


def save_case(case: Case, hole: Hole, folder: Path) -> list[Path]:
    """The disks as images, the volume as it is then read, and the story, to be looked at.

    Args:
        folder: made if need be.

    Returns:
        the files. Images of lost disks are called ``.lost``.
    """
    images = save(hole.explorer(()).states, case.state, folder)
    for number in case.lost:
        images[number] = images[number].rename(images[number].with_suffix(".lost"))
    story_path, volume_path = folder / "CASE.txt", folder / "volume"
    story_path.write_text("\n".join([str(case), *story(case, hole)]) + "\n")
    data = hole.read(case.state, case.lost)
    if data is not None:
        volume_path.write_bytes(data)
    return [*images, story_path, *([volume_path] if data is not None else [])]
