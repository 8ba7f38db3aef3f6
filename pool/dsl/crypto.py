"""Keys of encrypted datasets: from what a user knows to what decrypts blocks.

The user's key (32 bytes: given raw, as 64 hexadecimal digits, or derived from a passphrase) unwraps each dataset's
own master and HMAC keys, which are stored in a key object. All datasets that share a user's key name one directory as
their encryption root; the key is loaded for that.

Source: OpenZFS, dsl_crypt.c, zio_crypt.c (``zio_crypt_key_unwrap``), libzfs_crypto.c.

Invariants: a key is kept only after it has opened the root's own key object; keys are never in a message or a repr.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from ..dmu.objset import Objset
from ..errors import (
    AuthenticationError,
    CorruptError,
    KeyUnavailableError,
    LimitError,
    UnsupportedError,
    UsageError,
)
from ..ondisk.dsl import (
    KEY_BYTES,
    KEY_FORMAT,
    KEY_GUID,
    KEY_HMAC,
    KEY_IV,
    KEY_MAC,
    KEY_MASTER,
    KEY_PBKDF2_ITERS,
    KEY_PBKDF2_SALT,
    KEY_REFCOUNT,
    KEY_ROOT,
    KEY_SUITE,
    KEY_VERSION,
)
from ..zio.crypt import BlockKeys
from .mosobj import byte_string, entries, one_number

if TYPE_CHECKING:
    from .dir import DslDir
    from .pool import DslPool

USER_KEY_BYTES = 32
TAG_BYTES = 16
VERSION_MAX = 1
#: Deriving a key takes about a minute with so many iterations; OpenZFS's default is 350 000.
PBKDF2_ITERS_MAX = 100_000_000

FORMAT_RAW, FORMAT_HEX, FORMAT_PASSPHRASE = 1, 2, 3
FORMAT_NAMES = {FORMAT_RAW: "raw", FORMAT_HEX: "hex", FORMAT_PASSPHRASE: "passphrase"}

#: Suite -> length of the master key in bytes. 3 to 5 are CCM, 6 to 8 GCM; the user's key is AES-256 in any case.
MASTER_KEY_BYTES = {3: 16, 4: 24, 5: 32, 6: 16, 7: 24, 8: 32}
CCM_SUITES = (3, 4, 5)


@dataclass(frozen=True, slots=True)
class KeyObject:
    """A dataset's wrapped keys as stored."""

    number: int
    suite: int
    guid: int
    root: int  # directory of the encryption root
    refcount: int  # directories that use it: clones share their origin's
    version: int
    iv: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    master: bytes = field(repr=False)
    hmac: bytes = field(repr=False)
    keyformat: int
    salt: int
    iterations: int

    def unwrap(self, user_key: bytes) -> BlockKeys:
        """The keys that decrypt blocks.

        Raises:
            AuthenticationError: the user's key is not the one these were wrapped with.
            UnsupportedError: the suite or the version is not known.
        """
        if self.suite not in MASTER_KEY_BYTES or self.version > VERSION_MAX:
            raise UnsupportedError(
                f"encryption suite {self.suite}, version {self.version}, is not supported",
                "a newer version of this package may read it",
            )
        length = MASTER_KEY_BYTES[self.suite]
        facts = (self.guid, self.suite, self.version) if self.version else (self.guid,)
        header = b"".join(value.to_bytes(8, "little") for value in facts)
        cipher = AESCCM(user_key, tag_length=TAG_BYTES) if self.suite in CCM_SUITES else AESGCM(user_key)
        try:
            plain = cipher.decrypt(self.iv, self.master[:length] + self.hmac + self.mac, header)
        except InvalidTag:
            raise AuthenticationError(
                "the key does not open the dataset's keys", object=self.number
            ) from None
        return BlockKeys(self.suite, plain[:length], plain[length:], self.version)


def read_key_object(mos: Objset, number: int, owner: str) -> KeyObject:
    """The key object with that number.

    Raises:
        CorruptError: an entry is missing or has the wrong size.
    """
    found = dict(entries(mos, number, f"keys of {owner}"))

    def figure(name: str, default: int | None = None) -> int:
        if name in found:
            return one_number(found[name], f"{name} of {owner}")
        if default is None:
            raise CorruptError(f"the key object of {owner} lacks {name}", object=number)
        return default

    def secret(name: str) -> bytes:
        data = byte_string(found[name], f"{name} of {owner}") if name in found else b""
        if len(data) != KEY_BYTES[name]:
            raise CorruptError(
                f"{name} of {owner} has {len(data)} bytes, not {KEY_BYTES[name]}", object=number
            )
        return data

    return KeyObject(
        number=number,
        suite=figure(KEY_SUITE),
        guid=figure(KEY_GUID),
        root=figure(KEY_ROOT),
        refcount=figure(KEY_REFCOUNT, 1),
        version=figure(KEY_VERSION, 0),  # the first releases stored none
        iv=secret(KEY_IV),
        mac=secret(KEY_MAC),
        master=secret(KEY_MASTER),
        hmac=secret(KEY_HMAC),
        keyformat=figure(KEY_FORMAT, 0),
        salt=figure(KEY_PBKDF2_SALT, 0),
        iterations=figure(KEY_PBKDF2_ITERS, 0),
    )


def derive(passphrase: str | bytes, salt: int, iterations: int) -> bytes:
    """The 32-byte key of a passphrase.

    Raises:
        LimitError: absurdly many iterations. CorruptError: none.
    """
    if iterations > PBKDF2_ITERS_MAX:
        raise LimitError(f"{iterations} iterations of PBKDF2, more than {PBKDF2_ITERS_MAX}")
    if iterations < 1:
        raise CorruptError("the key object asks for a passphrase without iterations")
    secret = passphrase.encode() if isinstance(passphrase, str) else passphrase
    return hashlib.pbkdf2_hmac("sha1", secret, salt.to_bytes(8, "little"), iterations, USER_KEY_BYTES)


def user_key_of(
    key: KeyObject, owner: str, passphrase: str | bytes | None, hex: str | None, raw: bytes | None
) -> bytes:
    """The user's key in the form the encryption root wants it.

    Raises:
        UsageError: not exactly one form was given, it is not the root's form, or not well formed.
    """
    given = {FORMAT_PASSPHRASE: passphrase, FORMAT_HEX: hex, FORMAT_RAW: raw}
    forms = [form for form, value in given.items() if value is not None]
    if len(forms) != 1:
        raise UsageError("give a passphrase, or 64 hexadecimal digits, or 32 raw bytes", dataset=owner)
    wanted = FORMAT_NAMES.get(key.keyformat)
    if wanted is None:
        raise CorruptError(f"{owner} has a key of unknown format {key.keyformat}", object=key.number)
    if forms[0] != key.keyformat:
        raise UsageError(f"the key of {owner} has the format {wanted}, not {FORMAT_NAMES[forms[0]]}")
    if passphrase is not None:
        return derive(passphrase, key.salt, key.iterations)
    if raw is None:
        try:
            raw = bytes.fromhex(hex or "")
        except ValueError:
            raise UsageError(f"the key of {owner} must be hexadecimal digits") from None
    if len(raw) != USER_KEY_BYTES:
        raise UsageError(f"the key of {owner} must have {USER_KEY_BYTES} bytes, not {len(raw)}")
    return raw


class Keystore:
    """Keys loaded so far, by encryption root."""

    def __init__(self, pool: DslPool) -> None:
        self._pool = pool
        self._objects: dict[int, KeyObject] = {}  # by key object
        self._users: dict[int, bytes] = {}  # user's key by the encryption root's directory
        self._blocks: dict[int, BlockKeys] = {}  # by key object

    def __repr__(self) -> str:
        return f"<Keystore with {len(self._users)} keys>"

    def moved_to(self, pool: DslPool) -> Keystore:
        """The same loaded keys, for the datasets as they are now."""
        moved = Keystore(pool)
        moved._users, moved._blocks = self._users, self._blocks
        return moved

    def key_object(self, directory: DslDir) -> KeyObject | None:
        """The wrapped keys of a directory; None for what is not encrypted."""
        number = directory.crypto_key_obj
        if number is None:
            return None
        if number not in self._objects:
            self._objects[number] = read_key_object(self._pool.mos, number, directory.name)
        return self._objects[number]

    def root_of(self, directory: DslDir) -> DslDir | None:
        """The directory whose key opens this one's; None for what is not encrypted."""
        key = self.key_object(directory)
        return None if key is None else self._pool.dir_by_object(key.root)

    def roots(self) -> list[DslDir]:
        """All encryption roots, in the order of their names."""
        return [item for item in self._pool.dirs() if self.root_of(item) is item]

    def load(
        self,
        name: str,
        *,
        passphrase: str | bytes | None = None,
        hex: str | None = None,
        raw: bytes | None = None,
    ) -> DslDir:
        """Load the key of an encrypted dataset, and with it those of all that share its encryption root.

        Args:
            name: the encryption root, or a dataset below it that uses its key.
            passphrase, hex, raw: the key, in the one form the root has.

        Returns:
            The encryption root.

        Raises:
            NotFoundError: no such dataset. UsageError: not encrypted, or the key has another form.
            AuthenticationError: the key is wrong.
        """
        directory = self._pool.directory_of(name)
        root = self.root_of(directory)
        key = None if root is None else self.key_object(root)
        if root is None or key is None:
            raise UsageError(f"{name} is not encrypted", "it needs no key")
        user_key = user_key_of(key, root.name, passphrase, hex, raw)
        try:
            opened = key.unwrap(user_key)
        except AuthenticationError:
            raise AuthenticationError(f"wrong key for {root.name}") from None
        self._users[root.obj] = user_key
        self._blocks[key.number] = opened
        return root

    def unload(self, name: str) -> None:
        """Forget the key of an encryption root. Objsets that are open keep theirs.

        Raises:
            KeyUnavailableError: it was not loaded.
        """
        root = self.root_of(self._pool.directory_of(name))
        if root is None or self._users.pop(root.obj, None) is None:
            raise KeyUnavailableError(f"the key of {name} is not loaded")
        gone = [number for number in self._blocks if self._objects[number].root == root.obj]
        for number in gone:
            del self._blocks[number]

    def is_loaded(self, directory: DslDir) -> bool:
        """The key that opens this directory's is there."""
        key = self.key_object(directory)
        return key is not None and key.root in self._users

    def block_keys(self, directory: DslDir) -> BlockKeys:
        """The keys for a directory's blocks.

        Raises:
            UsageError: it is not encrypted.
            KeyUnavailableError: the key of its encryption root is not loaded.
            AuthenticationError: that key does not open this directory's.
        """
        key = self.key_object(directory)
        if key is None:
            raise UsageError(f"{directory.name} is not encrypted", "it needs no key")
        if key.root not in self._users:
            root = self.root_of(directory)
            name = directory.name if root is None else root.name
            raise KeyUnavailableError(f"{directory.name} is encrypted", f"load the key of {name} (--key {name}=FILE)")
        if key.number not in self._blocks:
            try:
                self._blocks[key.number] = key.unwrap(self._users[key.root])
            except AuthenticationError:
                raise AuthenticationError(
                    f"the key of the encryption root does not open the keys of {directory.name}",
                    object=key.number,
                ) from None
        return self._blocks[key.number]
