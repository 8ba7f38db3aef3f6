"""The command ``uberblock``: finds the subcommand, runs it, turns errors into one clear line and an exit status.

Only the module of the subcommand that was asked for is imported, so that scripts that call it often stay fast.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from ..errors import PoolError, UsageError

#: name -> (module below this package, what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    "zpool": ("zpool", "pools: create, destroy, import, export, status, list, get, set, history, labelclear"),
    "zfs": ("zfs", "datasets: create, destroy, list, get, set, inherit"),
    "zdb": ("zdb", "structures on disk: labels, uberblocks, objects, blocks, logs, space maps"),
    "ls": ("files", "list a directory in a pool"),
    "cat": ("files", "print a file, or a volume, of a pool"),
    "cp": ("files", "copy files, trees and volumes out of a pool; files, folders and tar streams into one"),
    "mkdir": ("edit", "make directories in a pool"),
    "rm": ("edit", "remove files from a pool"),
    "mv": ("edit", "move files within a file system"),
    "ln": ("edit", "make links in a pool"),
    "mkfs": ("mkfs", "an image of a pool from folders and tar archives, in one go; the same bytes every time"),
    "manifest": ("manifest", "describe every file of a pool with its checksum, or check such a description"),
    "lab": ("lab", "power cuts on simulated disks, every crash state verified; the write hole; long runs"),
    "verify": ("verify", "read every copy and every parity column of every block"),
}

EPILOG = """\
A path inside a pool is written POOL/DATASET[@SNAPSHOT]:/path, a volume POOL/VOLUME[@SNAPSHOT].
Every command takes -d DIR (repeatable): a folder, disk image or device to search for pools.
Without -d the folders in UBERBLOCK_PATH are searched, or where pools were created or imported, or this machine's
devices.

examples:
  uberblock zpool import -d images/                     what pools are in this folder
  uberblock zfs list -d images/ -r -t all tank          datasets and snapshots of one
  uberblock ls -d images/ tank/home@monday:/            look into a snapshot
  uberblock cp -r -d images/ tank/home@monday:/ OUT     get its files out
  uberblock verify -d images/ tank                      read and check every block of the pool
  uberblock zpool create --size 1G tank raidz1 a b c    make a pool of three files
  uberblock cp -r DIR tank:/                            put a folder into it
"""


class Command(Protocol):
    """What a command module offers."""

    def run(self, name: str, argv: Sequence[str]) -> int:
        """Run the command called ``name`` with the words after it; gives the exit status."""


def _help() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return (
        "usage: uberblock COMMAND [OPTION]... [ARGUMENT]...\n\n"
        "OpenZFS pools without kernel module and without root: create, read, write, verify and recover pools in disk\n"
        f"images, files and devices.\n\ncommands:\n{rows}\n\n"
        f"'uberblock COMMAND --help' tells more.\n\n{EPILOG}"
    )


def dispatch(argv: Sequence[str]) -> int:
    """Run ``uberblock`` with these words; gives the exit status, lets errors through."""
    if len(argv) > 1 and argv[0] == "help" and argv[1] in COMMANDS:
        argv = [*argv[1:], "--help"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help(), end="")
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        # The package around this one is made by the build: only its installed form has a version.
        print(f"uberblock {importlib.import_module('uberblock').__version__}")
        return 0
    entry = COMMANDS.get(argv[0])
    if entry is None:
        print(f"uberblock: there is no command {argv[0]!r}; 'uberblock --help' lists them", file=sys.stderr)
        return 2
    module: Command = importlib.import_module(f".{entry[0]}", __package__)
    return module.run(argv[0], argv[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command. Errors of this package become one line on stderr, without a traceback."""
    words = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names may hold any bytes; they come out as they lie on disk.
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        status = dispatch(words)
        sys.stdout.flush()
        return status
    except PoolError as error:
        from .output import visible

        print(f"uberblock: {visible(str(error))}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        # The reader of our output went away (head, less): that is no error, but nothing more may be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"uberblock: {error.strerror or error}: {error.filename or 'no file name'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("uberblock: interrupted", file=sys.stderr)
        return 130


class Parser(argparse.ArgumentParser):
    """An argument parser with this command's manners: help that keeps its line breaks, exit status 2 on misuse."""

    def __init__(self, prog: str, description: str, epilog: str = "", *, short_help: bool = True) -> None:
        super().__init__(
            add_help=False,
            prog=f"uberblock {prog}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._short = prog
        names = ("-h", "--help") if short_help else ("--help",)
        self.add_argument(*names, action="help", help="show this help and end")

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse, with options allowed between and behind the other words, as zpool and zfs have it."""
        return self.parse_intermixed_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Wrong use, said in one line as every error is. Raises: UsageError."""
        raise UsageError(f"{self._short}: {message}", f"'{self.prog} --help' tells more")


if __name__ == "__main__":
    sys.exit(main())
