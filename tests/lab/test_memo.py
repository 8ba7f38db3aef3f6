"""What a check read, and finding it again in other contents."""

from __future__ import annotations

import random
from collections.abc import Callable

from uberblock.pool.lab.memo import Memo, ReadSet, _View
from uberblock.pool.lab.pages import PAGE, Pages
from uberblock.pool.lab.save import read_image
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.ondisk import label

from ..conftest import GoldenPool

SIZE = 64 << 20
HERE = label.DATA_START


def test_sectors_that_were_read() -> None:
    disks = [SimDisk(SIZE, "a"), SimDisk(SIZE, "b")]
    reads = ReadSet(disks)
    disks[1].read(HERE + 512, 1)
    disks[1].read(HERE + 1500, 600)
    disks[0].read(HERE + PAGE - 1, PAGE + 2)
    disks[0].read(0, 300000)  # labels are left out ...
    disks[0].read(SIZE - 600000, 600000)
    page, last = HERE // PAGE, (SIZE - label.END_SIZE) // PAGE
    assert reads.places() == {
        (1, page): 0b11110,
        (0, page): 1 << 7,
        (0, page + 1): 0xFF,
        (0, page + 2): 1,
        **{(0, number): 0xFF for number in range((SIZE - 600000) // PAGE + 1, last)},
        (0, (SIZE - 600000) // PAGE): 0xFF & -1 << (SIZE - 600000) % PAGE // 512,
    }  # ... and what lies before them is not


def test_views_give_the_bytes_themselves() -> None:
    rng = random.Random(1)
    base = [Pages.of(rng.randbytes(8 * PAGE)) for _ in range(2)]
    places = {(disk, page): rng.choice((0xFF, 0x11, 0x80)) for disk in range(2) for page in (0, 2, 3, 5)}
    view = _View(places)
    for step in range(60):
        contents = [pages.fork() for pages in base]
        for _ in range(rng.randrange(4)):
            contents[rng.randrange(2)].write(rng.randrange(8 * PAGE - 600), rng.randbytes(600))
        expected = tuple(
            b"".join(
                contents[disk].read(page * PAGE + bit * 512, 512) for bit in range(8) if places[disk, page] >> bit & 1
            )
            for disk, page in sorted(places)
        )
        assert view.value(contents) == expected
        if step % 10 == 9:
            base[0].write(rng.randrange(4 * PAGE), b"changed")


def test_only_bytes_that_were_read_count(pools: Callable[[str], GoldenPool]) -> None:
    (content,) = (read_image(image) for image in pools("rewind").images)
    memo: Memo[str] = Memo([content.size])

    def check(contents: list[Pages]) -> str | None:
        found = memo.find(memo.front(contents), contents)
        return None if found is None else found[0]

    disks = [SimDisk(content.fork(), "d0")]
    reads = ReadSet(disks)
    disks[0].read(HERE, 512)
    assert check([content]) is None
    memo.add(memo.front([content]), [content], reads.places(), "first")
    assert check([content.fork()]) == "first"

    def changed(offset: int, length: int = 512) -> str | None:
        other = content.fork()
        other.write(offset, bytes(255 - byte for byte in other.read(offset, length)))
        return check([other])

    assert changed(HERE + 512) == "first"
    assert changed(HERE) is None
    assert changed(label.CONFIG_OFFSET) == "first"  # three labels are left that say the same
    other = content.fork()
    for index in range(label.LABELS):
        other.zero(label.offset(content.size, index) + label.CONFIG_OFFSET, label.CONFIG_SIZE)
    assert check([other]) is None
    # An old uberblock's slot may change; the one that counts may not.
    newest = 36 % 128 * 1024
    assert changed(label.RING_OFFSET + 17 * 1024) == "first"
    other = content.fork()
    for index in range(label.LABELS):
        other.zero(label.offset(content.size, index) + label.RING_OFFSET + newest, 1024)
    assert check([other]) is None
