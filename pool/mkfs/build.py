"""Making an image: files, a pool on them, its datasets, their content, and the pool exported.

The bytes of the images follow from the recipe and its sources alone: chance and time come from the recipe's ``Env``,
txgs end after so many bytes and never after so long, folders are read in the order of names, and neither the host nor
the paths of the images are written anywhere. Times of last read are those of last change, since reading a source
changes them.

What fails leaves no image behind. Files that are replaced are gone when the first new one is made.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ..errors import NoSpaceError
from ..extract.content import Progress, Told
from ..ingest import copy_in, tar_in
from ..ingest.maker import Source
from ..poolcreate import create_pool
from ..poolwrite import WritablePool
from ..spa.newvdevs import NewOptions
from .plan import Plan, plan_image
from .recipe import STDIN, DatasetRecipe, Recipe, mapped

#: Bytes that wait before a txg is written. The bytes of images depend on it.
DIRTY_MAX = 256 << 20
#: A size that follows from the content is an estimate. It is tried so often, a quarter larger each time.
TRIES = 6
NS = 10**9


@dataclass(frozen=True, slots=True)
class Image:
    """A file that was made. ``size``: its length, ``allocated``: bytes it takes, ``label_path``: what labels say."""

    path: str
    label_path: str
    size: int
    allocated: int


@dataclass(frozen=True, slots=True)
class Result:
    """What was made.

    Attributes:
        name, guid, txg: of the pool.
        images: in the order of the layout.
        filled: dataset -> its source.
        used, available: bytes that all datasets use, and that are free for more.
        told: a sentence for everything that is not in the image as it is in its source.
    """

    name: str
    guid: int
    txg: int
    images: tuple[Image, ...]
    filled: dict[str, str]
    used: int
    available: int
    told: Told


def make_image(
    recipe: Recipe, plan: Plan | None = None, *, progress: Progress | None = None, stdin: BinaryIO | None = None
) -> Result:
    """Make the image of a recipe.

    Args:
        plan: made of it before; None: it is made here.
        progress: called with the bytes of content done since the last call; negative when a larger image is begun.
        stdin: in place of standard input.

    Raises:
        ExistsError: a file is there already. NoSpaceError: the size that was given is too small.
        UsageError ...: what was asked for cannot be. OSError, CorruptError: a source cannot be read.
    """
    plan = plan or plan_image(recipe)
    for attempt in range(TRIES):
        counted = _Counted(progress)
        try:
            return _make(recipe, plan, counted, stdin or sys.stdin.buffer)
        except NoSpaceError:
            if not plan.automatic or attempt == TRIES - 1:
                raise
            counted.back()
            plan = plan.larger()
    raise AssertionError  # the last attempt has returned or raised


class _Counted:
    """Progress that can be taken back."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.done = 0

    def __call__(self, done: int) -> None:
        self.done += done
        if self.progress is not None:
            self.progress(done)

    def back(self) -> None:
        self(-self.done)


@contextmanager
def _new_files(plan: Plan) -> Iterator[None]:
    """Files that are in the way go; what was made goes when something fails."""
    for image in plan.images:
        Path(image).unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        for image in plan.images:
            with contextlib.suppress(OSError):
                Path(image).unlink()
        raise


def _make(recipe: Recipe, plan: Plan, progress: Progress, stdin: BinaryIO) -> Result:
    failures: list[str] = []
    notes: list[str] = []
    with _new_files(plan):
        pool = _create(recipe, plan)
        try:
            for one in sorted(recipe.below, key=lambda one: one.name.count("/")):  # those above come first
                pool.create_filesystem(one.name, dict(one.properties), parents=True)
            filled = {}
            for one in (recipe.root, *recipe.below):
                if one.source is not None:
                    told = _fill(recipe, pool, one, progress, stdin)
                    filled[one.name] = one.source
                    (failures if told.damaged else notes).extend(told)
            pool.sync()
            space = pool.spa.space.datasets
            root = pool.spa.dsl.root
            used = root.phys.used_bytes
            available = max(0, space.usable - used)
            pool.export()
        except BaseException:
            pool.abandon()
            raise
    images = tuple(_image(path, plan) for path in plan.images)
    return Result(recipe.name, pool.guid, pool.txg, images, filled, used, available, Told(failures, notes))


def _create(recipe: Recipe, plan: Plan) -> WritablePool:
    options = NewOptions(
        size=plan.size, ashift=recipe.ashift, force=recipe.force, leaf_type=recipe.leaf_type,
        label_paths=plan.label_paths,
    )  # fmt: skip
    return create_pool(
        recipe.name,
        list(recipe.layout),
        compatibility=recipe.compatibility,
        properties=recipe.properties,
        dataset_properties=recipe.root.properties,
        owner=(*(recipe.owner or (0, 0)), stat.S_IFDIR | 0o755),
        command=f"uberblock mkfs {recipe.name}",
        options=options,
        env=recipe.env(),
        threads=recipe.threads,
        txg_seconds=0,
        dirty_max=DIRTY_MAX,
    )


def _image(path: str, plan: Plan) -> Image:
    status = os.stat(path)  # noqa: PTH116
    return Image(path, plan.label_paths[path], status.st_size, status.st_blocks * 512)


# --- content ------------------------------------------------------------------------------------------------------


def _fill(recipe: Recipe, pool: WritablePool, one: DatasetRecipe, progress: Progress, stdin: BinaryIO) -> Told:
    vfs = pool.fs(one.name)
    adapt = partial(adapted, recipe)
    assert one.source is not None
    if one.source == STDIN:
        return tar_in(vfs, stdin, "/", progress=progress, adapt=adapt, reproducible=True)
    if Path(one.source).is_dir():
        return copy_in(vfs, one.source, "/", progress=progress, adapt=adapt, reproducible=True)
    with open(one.source, "rb") as stream:  # noqa: PTH123
        return tar_in(vfs, stream, "/", progress=progress, adapt=adapt, reproducible=True)


def adapted(recipe: Recipe, source: Source) -> Source:
    """Something of a source with the owner and the times it is to have in the image."""
    uid, gid = recipe.owner or (mapped(source.uid, recipe.uids), mapped(source.gid, recipe.gids))
    now = recipe.now * NS
    mtime = now if source.mtime_ns is None else source.mtime_ns  # a directory that an archive implies has none
    if recipe.clamp:
        mtime = min(mtime, now)
    xattrs = dict(sorted(source.xattrs.items()))
    return replace(source, uid=uid, gid=gid, mtime_ns=mtime, atime_ns=mtime, xattrs=xattrs)
