"""Walking logs: of real pools whose power was cut, and of chains made by hand."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import CorruptError, KeyUnavailableError
from uberblock.pool.ondisk import blkptr, zil
from uberblock.pool.ondisk.zilrecord import Sealed, SetSaXattr, Truncate, Write
from uberblock.pool.zil import chain

KINDS = ["zil", "zil-slog"]


@pytest.fixture(scope="module", params=KINDS)
def crashed(request: pytest.FixtureRequest, pools: Callable[[str], Any]) -> Iterator[Any]:
    golden = pools(request.param)
    with import_pool(search=[golden.dir], keys=golden.manifest["keys"]) as pool:
        pool.dir = golden.dir
        yield pool


def test_the_records_are_those_of_zdb(crashed: Any, judge: Callable[[str], str]) -> None:
    command = [judge("zdb"), "-e", "-p", str(crashed.dir), "-iv", crashed.name]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    compared = 0
    for part in text.split("\nDataset ")[1:]:
        name = part.split(" ", 1)[0]
        if "ZIL header" not in part:
            continue
        objset = crashed.dataset(name).dsl.objset()
        wanted = re.findall(r"^\t\t(TX_\w+) +len +(\d+), txg (\d+), seq (\d+)", part, re.M)
        found = [
            (r.name_of_type, str(r.length), str(r.txg), str(r.seq))
            for r in chain.read_chain(objset.zio, chain.header_of(objset), objset.keys)
        ]
        assert found == wanted
        compared += len(found)
    assert compared > 100


def test_blocks(crashed: Any) -> None:
    objset = crashed.dataset(f"{crashed.name}/fs").dsl.objset()
    blocks = list(chain.read_blocks(objset.zio, chain.header_of(objset)))
    assert [block.seq for block in blocks] == list(range(blocks[0].seq, blocks[-1].seq + 1))
    assert all(block.valid for block in blocks[:-1])
    # The last one is allocated and was never written.
    assert not blocks[-1].valid
    assert blocks[-1].records == ()
    records = [record for block in blocks for record in block.records]
    assert [r.seq for r in records] == sorted({r.seq for r in records})
    xattrs = {r.name: r.value for r in records if isinstance(r, SetSaXattr)}
    assert xattrs[b"system.posix_acl_access"][:4] == b"\x02\0\0\0"


def test_without_its_key_a_log_shows_what_is_in_clear(crashed: Any) -> None:
    objset = crashed.dataset(f"{crashed.name}/secret").dsl.objset()
    header = chain.header_of(objset)
    opened = list(chain.read_chain(objset.zio, header, objset.keys))
    sealed = list(chain.read_chain(objset.zio, header))
    assert [(r.type, r.length, r.txg, r.seq) for r in opened] == [(r.type, r.length, r.txg, r.seq) for r in sealed]
    assert all(isinstance(r, Sealed) for r in sealed)
    assert not any(isinstance(r, Sealed) for r in opened)
    raw = crashed.dataset(f"{crashed.name}/secret").dsl.objset(raw=True)
    assert [r.seq for r in chain.log_of(objset)] == [r.seq for r in opened]
    with pytest.raises(KeyUnavailableError):
        list(chain.log_of(raw))


def test_a_pool_that_was_exported_has_no_logs(pools: Callable[[str], Any]) -> None:
    with import_pool(search=[pools("rewind").dir]) as pool:
        for dataset in pool.datasets():
            assert list(chain.log_of(dataset.dsl.objset())) == []


# ---- chains made by hand ----------------------------------------------------------------------

GUIDS = (0x1234, 0x5678, 54)
SIZE = 4096


def pointer(seq: int, slim: bool, kind: int = 9, size: int = SIZE) -> Any:
    bp = np.zeros(1, dtype=blkptr.BLKPTR)
    bp["dva"][0, 0] = (size // 512, 100 + seq)
    sectors = size // 512 - 1
    bp["prop"] = sectors | sectors << 16 | 2 << 32 | (9 if slim else 5) << 40 | kind << 48 | 1 << 63
    bp["birth"] = 10
    bp["cksum"][0] = (*GUIDS, seq)
    return bp[0]


def record(seq: int, order: str = "<") -> bytes:
    return struct.pack(order + "QQQQQQQ", 10, 56, 9, seq, 7, seq * 100, 5)


def block(seq: int, bodies: list[bytes], slim: bool, order: str = "<", following: Any = None) -> bytes:
    data = bytearray(SIZE)
    body = b"".join(bodies)
    start = zil.CHAIN_SIZE if slim else 0
    data[start : start + len(body)] = body
    after = pointer(seq + 1, slim) if following is None else following
    zil.seal_block(data, (*GUIDS, seq), after, len(body) + start, slim, order)
    return bytes(data)


class Store:
    """Log blocks by their numbers; gives the first copy that is good, as the block layer does."""

    def __init__(self, blocks: dict[int, bytes | list[bytes]]) -> None:
        self.blocks = blocks

    def find(self, bp: Any, size: int, good: Callable[[memoryview], bool]) -> memoryview | None:
        copies = self.blocks.get(int(bp["cksum"][3]), b"")
        for copy in copies if isinstance(copies, list) else [copies]:
            if copy and good(memoryview(copy)):
                return memoryview(copy)
        return None


def header(seq: int, slim: bool, **fields: int) -> zil.ZilHeader:
    rest = {"claim_txg": 0, "replay_seq": 0, "claim_blk_seq": 0, "flags": 0, "claim_lr_seq": 0, **fields}
    return zil.ZilHeader(log=pointer(seq, slim), **rest)


def seqs(store: Store, head: zil.ZilHeader) -> list[int]:
    return [r.seq for r in chain.read_chain(store, head)]  # type: ignore[arg-type]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("slim", [True, False])
def test_both_layouts_in_both_orders(slim: bool, order: str) -> None:
    blocks = {n: block(n, [record(2 * n, order), record(2 * n + 1, order)], slim, order) for n in range(1, 5)}
    store = Store(blocks)  # type: ignore[arg-type]
    assert seqs(store, header(1, slim)) == list(range(2, 10))
    found = list(chain.read_chain(store, header(1, slim)))  # type: ignore[arg-type]
    assert found[0] == Truncate(10, 56, 9, 2, False, 7, 200, 5)


def test_another_copy_will_do() -> None:
    good = block(1, [record(1)], True)
    assert seqs(Store({1: [bytes(SIZE), good[:-1000] + bytes(1000), good]}), header(1, True)) == [1]


def test_a_claimed_log_ends_where_it_was_claimed() -> None:
    blocks = {n: block(n, [record(2 * n), record(2 * n + 1)], True) for n in range(1, 6)}
    store = Store(blocks)  # type: ignore[arg-type]
    assert seqs(store, header(1, True, claim_txg=9, claim_blk_seq=3)) == [2, 3, 4, 5, 6, 7]
    both = header(1, True, claim_txg=9, claim_blk_seq=3, claim_lr_seq=4, flags=2)
    assert seqs(store, both) == [2, 3, 4]
    assert seqs(store, header(1, True, claim_txg=9, claim_blk_seq=0)) == []


def test_no_log() -> None:
    nothing = zil.ZilHeader(0, 0, np.zeros(1, dtype=blkptr.BLKPTR)[0], 0, 0, 0)
    assert list(chain.read_blocks(Store({}), nothing)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [pointer(1, True, kind=19), pointer(1, True, size=32 << 20)])
def test_a_header_that_points_elsewhere(wrong: Any) -> None:
    head = zil.ZilHeader(0, 0, wrong, 0, 0, 0)
    with pytest.raises(CorruptError, match="something else"):
        list(chain.read_blocks(Store({}), head))  # type: ignore[arg-type]


def test_a_next_pointer_to_something_else_ends_the_log() -> None:
    last = block(2, [record(2)], True, following=pointer(3, True, kind=19))
    store = Store({1: block(1, [record(1)], True), 2: last, 3: block(3, [record(3)], True)})
    assert seqs(store, header(1, True)) == [1, 2]
    hole = np.zeros(1, dtype=blkptr.BLKPTR)
    hole["cksum"][0] = (*GUIDS, 3)
    store.blocks[2] = block(2, [record(2)], True, following=hole[0])
    assert seqs(store, header(1, True)) == [1, 2]


def test_damaged_records_are_told() -> None:
    bad = struct.pack("<QQQQ", 9, 40, 1, 2) + bytes(8)  # a write that is cut off
    store = Store({1: block(1, [record(1), bad], True), 2: block(2, [record(9)], True)})
    blocks = list(chain.read_blocks(store, header(1, True)))  # type: ignore[arg-type]
    assert len(blocks) == 1
    assert [r.seq for r in blocks[0].records] == [1]
    assert "cut off" in blocks[0].damage
    with pytest.raises(CorruptError):
        seqs(store, header(1, True))


def test_an_endless_chain_is_not_followed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def find(self, bp: Any, size: int, good: Callable[[memoryview], bool]) -> memoryview | None:
            data = block(int(bp["cksum"][3]), [], True)
            assert good(memoryview(data))
            return memoryview(data)

    monkeypatch.setattr(chain, "MAX_BLOCKS", 50)
    with pytest.raises(CorruptError, match="more than 50"):
        list(chain.read_blocks(Endless(), header(1, True)))  # type: ignore[arg-type]


def test_write_records_keep_their_bytes(crashed: Any) -> None:
    objset = crashed.dataset(f"{crashed.name}/fs").dsl.objset()
    writes = [r for r in chain.log_of(objset) if isinstance(r, Write)]
    assert any(w.data is not None and len(w.data) == w.size for w in writes)
    for write in writes:
        if write.bp is not None:
            assert len(objset.zio.read_one(write.bp, objset.keys)) >= min(write.size, 512)
