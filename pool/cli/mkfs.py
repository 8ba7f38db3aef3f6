"""``uberblock mkfs``: an image of a pool from folders and tar archives, in one go and without root."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dsl.nicenum import nicenum
from ..errors import UsageError
from ..zio.workers import workers
from .limits import positive
from .main import Parser
from .output import print_json, visible
from .progress import progress

if TYPE_CHECKING:
    from ..mkfs import Plan, Recipe, Result

DESCRIPTION = """\
Makes image files with a pool in them, fills its datasets from folders and tar archives, and exports it: zpool import,
zdb, GRUB and every OpenZFS can take it from there. LAYOUT is made of the words of zpool create; its devices are files
that are made. Nothing needs root, and nothing is mounted.
"""
EPILOG = """\
A dataset is NAME[:PROPERTY=VALUE,...][=SOURCE]. NAME is POOL/NAME, or /NAME for short; POOL or / is the root dataset.
SOURCE is a folder, a tar archive (.tar, .tar.gz, .tar.xz ...), or - for one on standard input (which needs --size).

The same input, --seed and SOURCE_DATE_EPOCH give the same bytes, wherever the images are made. Without --seed guids
and salts are random. If SOURCE_DATE_EPOCH is set, it is the time of everything in the image that has no time of its
own, and files that are newer are said to be as old as it (--keep-mtime: as they are).

examples:
  uberblock mkfs data data.img --dataset /=public/                 a folder becomes an image of the size it needs
  uberblock mkfs -o ashift=12 -O compression=zstd tank mirror a.img b.img \\
      --dataset /home=home/ --dataset /www:recordsize=1M,atime=off=site.tar.gz
  uberblock mkfs --vdev-type disk --label-path /dev/vdb --owner 0:0 tank disk.raw --dataset /=rootfs/
                                                                    for a virtual machine's second disk
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) uberblock mkfs --seed release-7 tank out.img --dataset /=build/
                                                                    a build that can be made again
  docker export app | uberblock mkfs --size 2G app app.img --dataset /=-

exit status:
  0  made (with -n: it can be made)
  1  not made, or a file could not be copied as it is
  2  wrong use
"""


def run(name: str, argv: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    parser = _parser(name)
    args = parser.parse_args(argv)
    recipe = _recipe(args)
    from ..mkfs import make_image, plan_image

    plan = plan_image(recipe)
    if args.dry_run:
        _show_plan(args, recipe, plan)
        return 0
    began = time.monotonic()
    with progress("writing", plan.total or None, quiet=args.quiet) as advance:
        result = make_image(recipe, plan, progress=advance)
    _show_result(args, recipe, plan, result, time.monotonic() - began)
    for text in result.told:
        print(f"uberblock: {visible(text)}", file=sys.stderr)
    return 1 if result.told.damaged else 0


def _parser(name: str) -> Parser:
    parser = Parser(name, DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("pool", metavar="POOL", help="name of the pool")
    add("layout", nargs="+", metavar="LAYOUT", help="image files and words like mirror, raidz2, special, log")
    add("--dataset", action="append", default=[], metavar="NAME[:PROP=VAL,...][=SOURCE]",
        help="make a file system, fill it from a folder or tar archive (repeatable, in this order)")  # fmt: skip
    group = parser.add_argument_group("the pool")
    group.add_argument("-o", dest="properties", action="append", default=[], metavar="PROP=VAL",
                       help="property of the pool: ashift, compatibility, feature@..., comment ...")  # fmt: skip
    group.add_argument("-O", dest="dataset_properties", action="append", default=[], metavar="PROP=VAL",
                       help="property of the root dataset, which those below it inherit")  # fmt: skip
    group = parser.add_argument_group("the images")
    group.add_argument("--size", metavar="SIZE", help="of each file; without it what the content needs, rounded up")
    group.add_argument("--free", metavar="SIZE", default="0", help="room for so much more than the content")
    group.add_argument("--vdev-type", choices=("file", "disk"), default="file",
                       help="what labels call the devices; disk: for images that become block devices")  # fmt: skip
    group.add_argument("--label-path", action="append", default=[], metavar="TEMPLATE",
                       help="path that labels say (one for all, or one for each): {name} {stem} {path} of the file, "
                            "{n} 0 1 ..., {letter} a b ...; without it /{name}")  # fmt: skip
    group.add_argument("-f", "--force", action="store_true", help="replace files that are there")
    group = parser.add_argument_group("owners, times, chance")
    group.add_argument("--owner", metavar="UID:GID", help="of everything; without it as in the source")
    group.add_argument("--map-uid", action="append", default=[], metavar="FROM:TO[:COUNT]", help="map user ids")
    group.add_argument("--map-gid", action="append", default=[], metavar="FROM:TO[:COUNT]", help="map group ids")
    group.add_argument("--seed", metavar="TEXT", help="all guids and salts follow from it and the pool's name")
    group.add_argument("--keep-mtime", action="store_true", help="times after SOURCE_DATE_EPOCH stay as they are")
    group = parser.add_argument_group("the command")
    group.add_argument("-n", "--dry-run", action="store_true", help="say what would be made, and make nothing")
    group.add_argument("-j", "--json", action="store_true", help="print JSON")
    group.add_argument("--sha256", action="store_true", help="print the checksum of each image")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress bar, nothing on success")
    group.add_argument("--threads", type=positive, default=workers(0), metavar="N",
                       help="that share the work; the bytes do not depend on it")  # fmt: skip
    return parser


def _recipe(args: argparse.Namespace) -> Recipe:
    from ..dsl.propset import parse_size
    from ..mkfs import Recipe, parse_dataset
    from ..mkfs.recipe import EPOCH, parse_epoch, parse_map, parse_owner

    epoch = parse_epoch(os.environ.get(EPOCH))
    return Recipe(
        name=args.pool,
        layout=args.layout,
        datasets=[parse_dataset(word, args.pool) for word in args.dataset],
        size=parse_size(args.size, "--size") if args.size else None,
        free=parse_size(args.free, "--free"),
        properties=_pairs(args.properties),
        dataset_properties=_pairs(args.dataset_properties),
        leaf_type=args.vdev_type,
        label_paths=args.label_path,
        seed=args.seed,
        now=int(time.time()) if epoch is None else epoch,
        clamp=epoch is not None and not args.keep_mtime,
        owner=parse_owner(args.owner) if args.owner else None,
        uids=[parse_map(text) for text in args.map_uid],
        gids=[parse_map(text) for text in args.map_gid],
        force=args.force,
        threads=args.threads,
    )


def _pairs(words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(f"a property is PROPERTY=VALUE, not {word!r}")
        if name in found:
            raise UsageError(f"the property {name} is given twice")
        found[name] = value
    return found


# --- what is printed ----------------------------------------------------------------------------------------------


def _show_plan(args: argparse.Namespace, recipe: Recipe, plan: Plan) -> None:
    names = [recipe.name, *(one.name for one in recipe.below)]
    sources = {one.name: one.source for one in (recipe.root, *recipe.below)}
    if args.json:
        rows: dict[str, Any] = {}
        for name in names:
            held = plan.content.get(name)
            rows[name] = {"source": sources[name]}
            if held is not None:
                rows[name] |= {"files": held.files, "objects": held.objects, "bytes": held.size}
        images = [{"path": path, "label_path": plan.label_paths[path], "size": plan.size} for path in plan.images]
        print_json("uberblock mkfs", {"pool": recipe.name, "dry_run": True, "images": images, "datasets": rows})
        return
    print(f"would make the pool {recipe.name} on {len(plan.images)} file(s) of {nicenum(plan.size)}:")
    for path in plan.images:
        print(f"  {visible(path)}  (labels say {visible(plan.label_paths[path])})")
    for name in names:
        held = plan.content.get(name)
        what = f"  from {visible(sources[name] or '')}" if sources[name] else ""
        if held is not None:
            what += f": {held.files} files, {nicenum(held.size)}"
        print(f"  {name}{what}")


def _show_result(args: argparse.Namespace, recipe: Recipe, plan: Plan, result: Result, seconds: float) -> None:
    sums = {one.path: _sha256(one.path) for one in result.images} if args.sha256 else {}
    if args.json:
        images = [
            {"path": one.path, "label_path": one.label_path, "size": one.size, "allocated": one.allocated,
             **({"sha256": sums[one.path]} if sums else {})}
            for one in result.images
        ]  # fmt: skip
        held = {name: plan.content.get(name) for name in result.filled}
        rows = {
            name: {"source": result.filled[name], **({"files": one.files, "bytes": one.size} if one else {})}
            for name, one in held.items()
        }
        document = {
            "pool": result.name, "guid": str(result.guid), "txg": result.txg, "images": images, "datasets": rows,
            "used": result.used, "available": result.available, "seconds": round(seconds, 3),
            "reproducible": recipe.seed is not None, "not_kept": list(result.told),
        }  # fmt: skip
        print_json("uberblock mkfs", document)
        return
    if not args.quiet:
        done = f"{nicenum(result.used)} used, {nicenum(result.available)} free, {seconds:.1f} s"
        print(f"made the pool {result.name} (guid {result.guid}, exported): {done}")
        for one in result.images:
            print(f"  {visible(one.path)}  {nicenum(one.size)}, {nicenum(one.allocated)} on disk")
    for path, value in sums.items():
        print(f"{value}  {visible(path)}")


def _sha256(path: str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
