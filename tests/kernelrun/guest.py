"""What the guest does: import every pool, read all of it, scrub, change it, export. Standard library only.

    python3 guest.py PLAN SEARCH OUT [read]

PLAN is JSON: a list of {pool, kinds: {dataset: kind}}. For every pool OUT/POOL.json tells what was found, and what is
there after the changes; with ``read`` nothing is changed.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import traceback

from tree import sha256_of, walk


def run(*words, check=True):
    """A command; its output."""
    done = subprocess.run(words, capture_output=True, text=True, errors="replace")
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def volume_path(name):
    """The device of a volume."""
    path = f"/dev/zvol/{name}"
    for _ in range(50):
        run("zvol-links", check=False)
        if os.path.exists(path):
            return path
        time.sleep(0.2)
    raise RuntimeError(f"{name}: no device came")


def mounts(*, writable=False):
    """Dataset -> where it is mounted."""
    found = {}
    with open("/proc/mounts") as stream:
        for line in stream:
            device, place, kind, options, *_ = line.split()
            if kind == "zfs" and not (writable and "ro" in options.split(",")):
                found[device] = place.encode().decode("unicode_escape")
    return found


def look(kinds):
    """What every dataset holds."""
    where, found = mounts(), {}
    for name, kind in kinds.items():
        if kind == "volume":
            found[name] = {"volume_sha256": sha256_of(volume_path(name))}
        elif name in where:
            found[name] = {"tree": walk(where[name])}
        else:
            found[name] = {"problem": "not mounted"}
    return found


def usual(path):
    """A folder in which nothing is mounted, and none of ours."""
    return os.path.isdir(path) and not os.path.ismount(path) and not path.endswith("/kernel")


def change_files(top, name):
    """Change files in all the ways there are."""
    base = f"{top}/kernel"
    os.makedirs(f"{base}/deep/er/and/deeper")
    for number in range(300):
        with open(f"{base}/deep/f{number}", "w") as file:
            file.write("x" * number * 7)
    with open(f"{base}/large", "wb") as file:
        for number in range(24):
            file.write(os.urandom(65536) + bytes([number]) * 65536)
    with open(f"{base}/large", "r+b") as file:
        file.seek(1_000_001)
        file.write(b"in the middle" * 100)
        file.truncate(2_500_000)
    subprocess.run(["fallocate", "-p", "-o", "262144", "-l", "524288", f"{base}/large"], check=True)
    shutil.copy(f"{base}/large", f"{base}/copy")
    os.symlink("large", f"{base}/short")
    os.symlink("l" * 800, f"{base}/long")
    os.link(f"{base}/large", f"{base}/hard")
    os.rename(f"{base}/deep/f7", f"{base}/deep/er/moved")
    os.setxattr(f"{base}/copy", "user.kernel", b"v" * 200)
    run("setfacl", "-m", "u:1234:rwx", f"{base}/copy", check=False)  # where acltype says so
    shutil.rmtree(f"{base}/deep/er/and")
    for number in range(0, 300, 3):
        os.unlink(f"{base}/deep/f{number}")
    # and what was made by others
    files = sorted(path for path in os.listdir(top) if os.path.isfile(f"{top}/{path}"))
    for place, path in enumerate(files[:6]):
        full = f"{top}/{path}"
        if place % 3 == 0:
            with open(full, "ab") as file:
                file.write(b"appended by the kernel" * 1000)
        elif place % 3 == 1:
            os.unlink(full)
        else:
            os.chmod(full, 0o640)
            os.utime(full, ns=(10**18, 10**18 + 12345))
            os.setxattr(full, "user.more", b"m" * 3000)
    folders = sorted(path for path in os.listdir(top) if usual(f"{top}/{path}"))
    if len(folders) > 1:
        shutil.rmtree(f"{top}/{folders[0]}")
    for folder in folders[1:]:
        with open(f"{top}/{folder}/touched by the kernel", "w") as file:
            file.write(name)


def change_volume(name):
    """Write into a volume, and discard a part of it."""
    path = volume_path(name)
    with open(path, "r+b") as device:
        device.write(b"boot" * 2000)
        device.seek(-5000, os.SEEK_END)
        device.write(b"end!" * 1000)
        device.flush()
        os.fsync(device.fileno())
    run("blkdiscard", "-o", str(512 << 10), "-l", str(256 << 10), path, check=False)


def judge(pool, kinds, search, reading):
    """Everything with one pool."""
    result = {"problems": []}
    try:
        os.makedirs(f"/mnt/{pool}", exist_ok=True)
        result["import"] = run("zpool", "import", "-d", search, "-R", f"/mnt/{pool}", pool)
        result["before"] = look(kinds)
        names = run("zfs", "list", "-H", "-o", "name", "-t", "all", "-r", pool).split("\n")
        if set(filter(None, names)) != set(kinds):
            result["problems"].append(f"datasets are {names}, not {sorted(kinds)}")
        run("zpool", "scrub", "-w", pool)
        result["scrubbed"] = run("zpool", "status", "-v", "-p", pool)
        if not reading:
            where = mounts(writable=True)
            for name, kind in kinds.items():
                if kind == "volume":
                    change_volume(name)
                elif name in where:
                    change_files(where[name], name)
            run("zfs", "create", f"{pool}/made-by-the-kernel")
            with open(f"{mounts()[pool + '/made-by-the-kernel']}/file", "w") as file:
                file.write("hello\n" * 10000)
            kinds = {**kinds, f"{pool}/made-by-the-kernel": "filesystem"}
            run("zpool", "sync", pool)
            result["after"] = look(kinds)
            result["status"] = run("zpool", "status", "-v", "-p", pool)
        run("zpool", "export", pool)
    except Exception:
        result["problems"].append(traceback.format_exc())
        run("zpool", "export", "-f", pool, check=False)
    return result


def main():
    plan, search, out = sys.argv[1:4]
    with open(plan) as stream:
        cases = json.load(stream)
    for case in cases:
        began = time.monotonic()
        result = judge(case["pool"], case["kinds"], search, "read" in sys.argv[4:])
        with open(f"{out}/{case['pool']}.json", "w") as stream:
            json.dump(result, stream)
        print(f"{case['pool']}: {time.monotonic() - began:.0f} s, {len(result['problems'])} problems", flush=True)


main()
