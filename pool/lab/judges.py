"""What other programs say of a pool on image files: complaints, and none if there are none.

``zdb`` ends with status 0 on a plain leak, so its words count as well.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

SECONDS = 1800
NO_LEAKS = "No leaks (block sum matches space maps exactly)"
#: What each of zdb's reports must not contain.
BAD = {
    "-bcc": r"leaked space|block traversal size|Got error|refcount mismatch|ASSERT|Error counts|double|invalid",
    "-d": r"MOS object .* leaked|mismatch|ASSERT",
    "-y": r"ASSERT|error|ERROR",
}
_PROGRESS = re.compile(r"(loading|verifying)[^\r\n]*[\r\n]?")


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)


def zdb_complaints(zdb: str, folder: Path | Iterable[Path], pool: str) -> list[str]:
    """Everything ``zdb`` has against an exported pool: blocks and space, objects, metaslabs.

    Args:
        zdb: path of the program. folder: with the images; or the images.

    Raises:
        OSError: it cannot be run.
    """
    places = [folder] if isinstance(folder, Path) else folder
    search = [word for one in places for word in ("-p", str(one))]
    found: list[str] = []
    for option, bad in BAD.items():
        done = _run([zdb, "-e", *search, option, pool])
        text = done.stdout + _PROGRESS.sub("", done.stderr)
        wrong = [line.strip() for line in text.splitlines() if re.search(bad, line)]
        if done.returncode or wrong or (option == "-bcc" and NO_LEAKS not in done.stdout):
            found.append(f"zdb {option}: status {done.returncode}: {' | '.join(wrong[:5]) or text.strip()[-500:]}")
    return found


def command_complaints(command: str, folder: Path, pool: str) -> list[str]:
    """Lines with FAIL that a command prints, or that it ends with another status than 0.

    Args:
        command: as a shell has it; ``{dir}`` and ``{pool}`` are replaced.

    Raises:
        OSError: it cannot be run.
    """
    words = [word.replace("{dir}", str(folder)).replace("{pool}", pool) for word in shlex.split(command)]
    done = _run(words)
    wrong = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    if done.returncode and not wrong:
        wrong.append(f"status {done.returncode}: {(done.stdout + done.stderr).strip()[-500:]}")
    return [f"{command}: {line}" for line in wrong]
