"""What is in a mounted tree, as entries of a manifest. Standard library only: it also runs in the guest.

Of each path (``.`` is the top): type, mode, uid, gid, nlink, size, mtime_ns, object, and where they apply sha256,
target, rdev, xattr (by name: hex, or size and sha256 beyond 64 bytes).
"""

import hashlib
import os
import stat

XATTR_INLINE = 64
TYPES = {
    stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char", stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket",
}  # fmt: skip


def sha256_of(path):
    """Checksum of a file or device."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while data := stream.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def describe(path, status):
    """The entry of one path."""
    kind = TYPES[stat.S_IFMT(status.st_mode)]
    facts = {
        "type": kind, "mode": f"{status.st_mode & 0o7777:04o}", "uid": status.st_uid, "gid": status.st_gid,
        "nlink": status.st_nlink, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "object": status.st_ino,
    }  # fmt: skip
    if kind == "file":
        facts["sha256"] = sha256_of(path)
    elif kind == "symlink":
        facts["target"] = os.fsdecode(os.readlink(path))
    elif kind in ("char", "block"):
        facts["rdev"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    found = {}
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        value = os.getxattr(path, name, follow_symlinks=False)
        short = len(value) <= XATTR_INLINE
        found[name] = value.hex() if short else {"size": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if found:
        facts["xattr"] = found
    return facts


def walk(top):
    """Entries by path of everything below a folder, other file systems left out."""
    top = os.fsencode(top)
    device = os.lstat(top).st_dev
    found, todo = {}, [b""]
    while todo:
        inner = todo.pop()
        path = top + inner
        status = os.lstat(path)
        if status.st_dev != device:
            continue
        found[os.fsdecode(inner[1:]) or "."] = describe(path, status)
        if stat.S_ISDIR(status.st_mode):
            todo += [inner + b"/" + name for name in os.listdir(path)]
    return found
