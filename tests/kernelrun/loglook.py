"""What the guest finds in a pool whose logs it has replayed. Standard library only.

    python3 loglook.py OUT

Every file system is mounted by itself, so that none hides another's files; OUT is JSON: ``dataset:path`` -> facts.
"""

import hashlib
import json
import os
import stat
import subprocess
import sys

KINDS = {stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "symlink"}


def run(*words):
    """A command; its output."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def content(path):
    """Size and hash of a file or device."""
    with open(path, "rb") as file:
        data = file.read()
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def describe(path):
    """One file."""
    info = os.lstat(path)
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    facts = {"type": kind}
    if kind == "symlink":
        return {**facts, "target": os.readlink(path)}
    facts["mode"] = stat.S_IMODE(info.st_mode)
    facts["xattrs"] = {name: os.getxattr(path, name).hex() for name in os.listxattr(path)}
    if kind == "file":
        facts.update(content(path), nlink=info.st_nlink)
    return facts


def main(out):
    """Look at everything."""
    found = {}
    for number, line in enumerate(run("zfs", "list", "-H", "-o", "name,type", "-r", "lab").splitlines()):
        name, kind = line.split("\t")
        if kind == "volume":
            found[f"{name}:."] = {"type": "volume", **content(f"/dev/zvol/{name}")}
            continue
        top = f"/looked/{number}"
        os.makedirs(top)
        run("mount", "-t", "zfs", "-o", "zfsutil", name, top)
        found[f"{name}:."] = describe(top)
        for folder, folders, files in os.walk(top):
            for entry in [*folders, *files]:
                path = os.path.join(folder, entry)
                found[f"{name}:{os.path.relpath(path, top)}"] = describe(path)
        run("umount", top)
    with open(out, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1])
