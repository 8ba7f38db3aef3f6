"""Keys: real wrapped keys of OpenZFS, a wrapper of our own for every suite, and everything that can go wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.dsl import props
from uberblock.pool.dsl.crypto import (
    CCM_SUITES,
    MASTER_KEY_BYTES,
    KeyObject,
    Keystore,
    derive,
    read_key_object,
)
from uberblock.pool.dsl.pool import DslPool
from uberblock.pool.errors import (
    AuthenticationError,
    CorruptError,
    KeyUnavailableError,
    LimitError,
    NotFoundError,
    UnsupportedError,
    UsageError,
)
from uberblock.pool.ondisk import dsl as layout

from .conftest import FakeMos, Opened, Opener

PASSPHRASE = "correct horse battery"
HEX = "00112233445566778899aabbccddeeff" * 2
TOP = "tank-encrypted"


@pytest.fixture
def opened(open_kind: Opener) -> Iterator[Opened]:
    """The encrypted pool without any key."""
    found = open_kind("encrypted")
    found.dsl.keys = Keystore(found.dsl)
    yield found
    found.dsl.keys = Keystore(found.dsl)


def test_encryption_roots(opened: Opened) -> None:
    described = opened.manifest["datasets"]
    for item in opened.dsl.datasets():
        root = item.encryption_root
        assert (root.name if root else None) == described[item.name]["properties"].get("encryptionroot")
        assert item.encrypted == (root is not None)
    assert {root.name for root in opened.dsl.keys.roots()} == {f"{TOP}/enc", f"{TOP}/hexkey"}


def test_a_key_opens_all_that_share_its_root(opened: Opened) -> None:
    dsl = opened.dsl
    assert props.get(dsl.dataset(f"{TOP}/enc/child"), "keystatus").text == "unavailable"
    assert dsl.keys.load(f"{TOP}/enc", passphrase=PASSPHRASE).name == f"{TOP}/enc"
    for name in ("enc", "enc/child", "enc/clone", "enc/vol", "enc@s"):
        item = dsl.dataset(f"{TOP}/{name}")
        assert props.get(item, "keystatus").text == "available"
        item.objset()
    assert props.get(dsl.dataset(f"{TOP}/hexkey"), "keystatus").text == "unavailable"
    with pytest.raises(KeyUnavailableError, match=f"{TOP}/hexkey"):
        dsl.dataset(f"{TOP}/hexkey").objset()
    dsl.keys.load(f"{TOP}/hexkey", hex=HEX)
    dsl.dataset(f"{TOP}/hexkey").objset()


def test_a_key_may_be_loaded_by_the_name_of_a_child(opened: Opened) -> None:
    assert opened.dsl.keys.load(f"{TOP}/enc/child", passphrase=PASSPHRASE.encode()).name == f"{TOP}/enc"


def test_clones_share_the_key_object_of_their_origin(opened: Opened) -> None:
    keys = opened.dsl.keys
    clone, origin = (
        keys.key_object(opened.dsl.directory_of(f"{TOP}/{name}")) for name in ("enc/clone", "enc")
    )
    assert clone is origin and clone is not None and clone.refcount == 2
    keys.load(f"{TOP}/enc", passphrase=PASSPHRASE)
    directories = [opened.dsl.directory_of(f"{TOP}/{name}") for name in ("enc/clone", "enc")]
    assert keys.block_keys(directories[0]) is keys.block_keys(directories[1])


def test_unloading(opened: Opened) -> None:
    keys = opened.dsl.keys
    keys.load(f"{TOP}/enc", passphrase=PASSPHRASE)
    keys.unload(f"{TOP}/enc")
    for name in ("enc", "enc/child"):
        with pytest.raises(KeyUnavailableError, match=f"load the key of {TOP}/enc"):
            keys.block_keys(opened.dsl.directory_of(f"{TOP}/{name}"))
    with pytest.raises(KeyUnavailableError):
        keys.unload(f"{TOP}/enc")


@pytest.mark.parametrize("wrong", ["wrong horse battery", "", PASSPHRASE + " "])
def test_a_wrong_passphrase_names_the_dataset(opened: Opened, wrong: str) -> None:
    with pytest.raises(AuthenticationError, match=f"wrong key for {TOP}/enc"):
        opened.dsl.keys.load(f"{TOP}/enc", passphrase=wrong)
    assert not opened.dsl.keys.is_loaded(opened.dsl.directory_of(f"{TOP}/enc"))


@pytest.mark.parametrize(
    ("name", "given_key", "says"),
    [
        ("enc", {"hex": HEX}, "format passphrase, not hex"),
        ("enc", {"raw": bytes(32)}, "format passphrase, not raw"),
        ("hexkey", {"passphrase": PASSPHRASE}, "format hex, not passphrase"),
        ("hexkey", {"hex": HEX[:-2]}, "32 bytes, not 31"),
        ("hexkey", {"hex": "zz" * 32}, "hexadecimal"),
        ("enc", {}, "give a passphrase"),
        ("enc", {"passphrase": PASSPHRASE, "hex": HEX}, "give a passphrase"),
        ("clear", {"passphrase": PASSPHRASE}, "not encrypted"),
    ],
)
def test_keys_of_the_wrong_form(opened: Opened, name: str, given_key: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        opened.dsl.keys.load(f"{TOP}/{name}", **given_key)


def test_other_mistakes(opened: Opened) -> None:
    with pytest.raises(NotFoundError):
        opened.dsl.keys.load(f"{TOP}/nowhere", passphrase=PASSPHRASE)
    with pytest.raises(UsageError):
        opened.dsl.keys.block_keys(opened.dsl.directory_of(f"{TOP}/clear"))


def test_secrets_are_never_shown(opened: Opened) -> None:
    opened.dsl.keys.load(f"{TOP}/hexkey", hex=HEX)
    key = opened.dsl.keys.key_object(opened.dsl.directory_of(f"{TOP}/hexkey"))
    assert key is not None
    shown = repr(opened.dsl.keys) + repr(key)
    for secret in (HEX, str(bytes.fromhex(HEX)), key.master.hex(), repr(key.master)):
        assert secret not in shown


# -- our own wrapping, for what real pools at hand do not use -------------------------------------------------------


def wrapped(suite: int, user_key: bytes, version: int = 1) -> KeyObject:
    master, hmac = bytes(range(MASTER_KEY_BYTES[suite])), bytes(range(64, 128))
    guid, iv = 0x1122334455667788, b"twelve bytes"
    facts = (guid, suite, version) if version else (guid,)
    header = b"".join(value.to_bytes(8, "little") for value in facts)
    cipher = AESCCM(user_key, tag_length=16) if suite in CCM_SUITES else AESGCM(user_key)
    sealed = cipher.encrypt(iv, master + hmac, header)
    cut = len(master)
    return KeyObject(
        number=70,
        suite=suite,
        guid=guid,
        root=2,
        refcount=1,
        version=version,
        iv=iv,
        mac=sealed[-16:],
        master=sealed[:cut].ljust(32, b"\xee"),
        hmac=sealed[cut:-16],
        keyformat=1,
        salt=0,
        iterations=0,
    )


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("suite", sorted(MASTER_KEY_BYTES))
def test_every_suite(suite: int, version: int) -> None:
    key = wrapped(suite, bytes(32), version)
    opened = key.unwrap(bytes(32))
    assert (opened.suite, opened.version) == (suite, version)
    with pytest.raises(AuthenticationError):
        key.unwrap(b"\1" + bytes(31))


@given(field=st.sampled_from(["iv", "mac", "master", "hmac", "guid", "version"]), bit=st.integers(0, 95))
def test_any_change_is_noticed(field: str, bit: int) -> None:
    key = wrapped(8, bytes(32))
    value = getattr(key, field)
    if isinstance(value, bytes):
        damaged = bytearray(value)
        damaged[bit // 8] ^= 1 << bit % 8
        changed: Any = bytes(damaged)
    else:
        changed = 0 if field == "version" else value ^ 1 << bit % 64
    with pytest.raises(AuthenticationError):
        replace(key, **{field: changed}).unwrap(bytes(32))


@pytest.mark.parametrize("change", [{"suite": 9}, {"suite": 2}, {"suite": 0}, {"version": 2}])
def test_unknown_schemes(change: dict[str, int]) -> None:
    with pytest.raises(UnsupportedError):
        replace(wrapped(8, bytes(32)), **change).unwrap(bytes(32))


def test_passphrases() -> None:
    known = hashlib.pbkdf2_hmac("sha1", b"password", bytes([1, 2, 3, 4, 5, 6, 7, 8]), 4096, 32)
    assert (
        derive("password", 0x0807060504030201, 4096) == derive(b"password", 0x0807060504030201, 4096) == known
    )
    with pytest.raises(LimitError):
        derive("x", 1, 1 << 60)
    with pytest.raises(CorruptError):
        derive("x", 1, 0)


def stored(key: KeyObject) -> dict[str, Any]:
    return {
        layout.KEY_SUITE: key.suite,
        layout.KEY_GUID: key.guid,
        layout.KEY_ROOT: key.root,
        layout.KEY_REFCOUNT: key.refcount,
        layout.KEY_VERSION: key.version,
        layout.KEY_IV: key.iv,
        layout.KEY_MAC: key.mac,
        layout.KEY_MASTER: key.master,
        layout.KEY_HMAC: key.hmac,
        layout.KEY_FORMAT: key.keyformat,
        layout.KEY_PBKDF2_SALT: key.salt,
        layout.KEY_PBKDF2_ITERS: key.iterations,
    }


def pool_with(mos: FakeMos, entries: dict[str, Any]) -> DslPool:
    mos.zap(70, entries)
    mos.directory(2, head_dataset_obj=20, fields={"com.datto:crypto_key_obj": 70})
    mos.dataset(20, dir_obj=2, snapshots={})
    return mos.open()


def test_raw_keys(mos: FakeMos) -> None:
    dsl = pool_with(mos, stored(wrapped(4, bytes(range(32)))))
    dsl.keys.load("tank", raw=bytes(range(32)))
    assert dsl.keys.is_loaded(dsl.root)
    for wrong in (bytes(32), b"short"):
        with pytest.raises((AuthenticationError, UsageError)):
            dsl.keys.load("tank", raw=wrong)


def test_key_objects_read_back(mos: FakeMos) -> None:
    key = wrapped(5, bytes(32), version=0)
    entries = stored(key)
    del entries[layout.KEY_VERSION]  # as the first releases wrote it
    dsl = pool_with(mos, entries)
    assert read_key_object(dsl.mos, 70, "tank") == key


@pytest.mark.parametrize(
    "change",
    [
        {layout.KEY_SUITE: None},
        {layout.KEY_ROOT: None},
        {layout.KEY_IV: b"short"},
        {layout.KEY_MAC: None},
        {layout.KEY_MASTER: 5},
        {layout.KEY_HMAC: bytes(65)},
        {layout.KEY_GUID: (1, 2)},
        {layout.KEY_ROOT: 99},
        {layout.KEY_FORMAT: 9},
        {layout.KEY_FORMAT: 3, layout.KEY_PBKDF2_ITERS: 1 << 62},
    ],
    ids=lambda change: json.dumps(change, default=repr),
)
def test_damaged_key_objects(mos: FakeMos, change: dict[str, Any]) -> None:
    entries = {**stored(wrapped(8, bytes(32))), **change}
    dsl = pool_with(mos, {name: value for name, value in entries.items() if value is not None})
    with pytest.raises((CorruptError, LimitError)):
        dsl.keys.load("tank", **({"passphrase": "x"} if layout.KEY_FORMAT in change else {"raw": bytes(32)}))


def test_a_key_that_opens_the_root_and_not_the_child(mos: FakeMos) -> None:
    mos.zap(70, stored(wrapped(8, bytes(32))))
    mos.zap(71, stored(wrapped(8, b"\1" * 32)))
    mos.directory(2, children={"a": 3}, head_dataset_obj=20, fields={"com.datto:crypto_key_obj": 70})
    mos.directory(3, parent_obj=2, fields={"com.datto:crypto_key_obj": 71})
    mos.dataset(20, dir_obj=2, snapshots={})
    dsl = mos.open()
    dsl.keys.load("tank", raw=bytes(32))
    with pytest.raises(AuthenticationError, match="tank/a"):
        dsl.keys.block_keys(dsl.directory_of("tank/a"))
