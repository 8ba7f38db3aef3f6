"""How large the images have to be, and what labels will say of them.

What every block takes at most on the vdevs of the layout (sectors, parity, copies) is summed up, what a pool keeps
back is added, and the smallest size with that much room is rounded up to whole MiB. Compression makes it less than
planned; that room is free in the end.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from ..alloc.slop import slop_space
from ..device.memory import MemoryDevice
from ..env import Env
from ..errors import ExistsError, LimitError, UsageError
from ..ondisk import label
from ..poolcreate import plan_pool
from ..poolwrite import dnode_bytes
from ..spa.newvdevs import NewOptions, large_enough, metaslab_shift, new_vdevs, resolve
from ..spa.space import DEFLATE_BLOCK
from ..spa.vdevspec import Place, PoolSpec, group_type, parse_for_create
from ..vdev.tree import VdevTree
from .measure import Content, measure
from .recipe import STDIN, Recipe

MIB = 1 << 20
SIZE_MAX = 1 << 50
#: Blocks of the pool's own, of a dataset, and of each metaslab: (bytes, how many), copies counted.
POOL_BLOCKS, DATASET_BLOCKS, METASLAB_BLOCKS = (16 << 10, 240), (16 << 10, 24), (4096, 12)
METADATA_COPIES = 2
#: For striping that does not come out even, and room behind blocks that is too small for the next.
SLACK = 1.06


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be made.

    Attributes:
        images: paths of the files, in the order of the layout. label_paths: what labels say of each.
        size: bytes of each. automatic: it follows from the content.
        content: of each dataset with a source that can be looked at beforehand.
        spec: the layout.
    """

    images: tuple[str, ...]
    label_paths: Mapping[str, str]
    size: int
    automatic: bool
    content: Mapping[str, Content]
    spec: PoolSpec = field(repr=False)

    @property
    def total(self) -> int:
        """Bytes of content."""
        return sum(one.size for one in self.content.values())

    def larger(self) -> Plan:
        """The same with a quarter more room."""
        return replace(self, size=_rounded(self.size + self.size // 4))


def plan_image(recipe: Recipe) -> Plan:
    """Look at everything a recipe names, and say what will be made. Nothing is written.

    Raises:
        UsageError, SpecError ...: what was asked for cannot be. ExistsError: a file is there already.
        OSError, CorruptError: a source cannot be read.
    """
    recipe.check()
    spec = parse_for_create(list(recipe.layout))
    properties = plan_pool(recipe.properties, recipe.root.properties, None, recipe.compatibility)
    images = tuple(resolve(str(place), may_create=True) for place in spec.places)
    for image in images:
        path = Path(image)
        if path.is_symlink() or path.exists():
            if not path.is_file() or path.is_symlink():
                raise UsageError("images are files; something else is there", path=image)
            if not recipe.force:
                raise ExistsError("there is such a file already", "-f replaces it", path=image)
    _check_apart(recipe, images)
    content = {
        one.name: _measured(recipe, one.name, one.source)
        for one in (recipe.root, *recipe.below)
        if one.source not in (None, STDIN)
    }
    tree = _tree(spec, recipe.ashift or properties.ashift, force=recipe.force)
    size = recipe.size
    if size is None:
        size = needed_size(recipe, spec, tree, content)
    elif size < label.MIN_DEVICE:
        raise UsageError(f"an image has at least {label.MIN_DEVICE // MIB} MiB", size=size)
    return Plan(images, label_paths(recipe, images), size, recipe.size is None, content, spec)


def _check_apart(recipe: Recipe, images: Sequence[str]) -> None:
    """No image may be in a folder it is filled from, or be an archive that it is filled from."""
    for one in recipe.datasets:
        if one.source not in (None, STDIN):
            source = Path(one.source or "").resolve()
            for image in images:
                if Path(image).resolve().is_relative_to(source):
                    raise UsageError("an image would be filled with itself", "make it elsewhere", path=image)


def _measured(recipe: Recipe, dataset: str, source: str | None) -> Content:
    recordsize = int(recipe.value(dataset, "recordsize"))
    found = measure(source or "", recordsize)
    found.finish(dnode_bytes(int(recipe.value(dataset, "dnodesize"))))
    copies = int(recipe.value(dataset, "copies"))
    found.data = Counter({size: count * copies for size, count in found.data.items()})
    return found


def label_paths(recipe: Recipe, images: Sequence[str]) -> dict[str, str]:
    """What labels say of each image. Without a template: its name alone, below the root.

    Raises:
        UsageError: a template makes no sense, or two images would have one path.
    """
    templates = list(recipe.label_paths) or ["/{name}"]
    if len(templates) == 1:
        templates *= len(images)
    if len(templates) != len(images):
        raise UsageError(f"{len(images)} images need one label path, or {len(images)}", given=len(templates))
    found: dict[str, str] = {}
    for number, (image, template) in enumerate(zip(images, templates)):
        words = {
            "name": Path(image).name, "stem": Path(image).stem, "path": image, "n": number, "letter": _letters(number),
        }  # fmt: skip
        try:
            path = template.format(**words)
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            advice = "{name}, {stem}, {path}, {n} and {letter} are known"
            raise UsageError(f"the label path {template!r} makes no sense", advice) from error
        if not path.startswith("/") or "\0" in path:
            raise UsageError("a label path is absolute", path=path)
        if path in found.values():
            raise UsageError("two images would have the same label path", "put {n} or {name} into it", path=path)
        found[image] = path
    return found


def _letters(number: int) -> str:
    """a, b ... z, aa, ab ..., as disks are called."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


# --- sizes --------------------------------------------------------------------------------------------------------


def needed_size(recipe: Recipe, spec: PoolSpec, tree: VdevTree, content: Mapping[str, Content]) -> int:
    """Bytes that each image must have.

    Args:
        tree: vdevs of the layout, of any size.

    Raises:
        LimitError: more than any image can have.
    """
    usual = [number for number in range(len(tree.tops)) if spec.tops[number].cls == "normal"]
    asize = _asizes(tree, usual)
    need = POOL_BLOCKS[1] * asize(POOL_BLOCKS[0])
    need += (len(recipe.datasets) + 1) * DATASET_BLOCKS[1] * asize(DATASET_BLOCKS[0])
    for one in content.values():
        need += sum(count * asize(size) for size, count in one.data.items())
        need += sum(count * asize(size) * METADATA_COPIES for size, count in one.metadata.items())
    ratio = DEFLATE_BLOCK / asize(DEFLATE_BLOCK)  # as datasets count: without parity
    need = int(need * SLACK * ratio) + recipe.free

    def enough(size: int) -> bool:
        if not all(large_enough(top.space(label.data_size(size))) for top in tree.tops):
            return False
        spaces = [tree.tops[number].space(label.data_size(size)) for number in usual]
        shifts = [metaslab_shift(space) for space in spaces]
        room = sum(space >> shift << shift for space, shift in zip(spaces, shifts))
        maps = sum(space >> shift for space, shift in zip(spaces, shifts)) * METASLAB_BLOCKS[1]
        room = int((room - maps * asize(METASLAB_BLOCKS[0])) * ratio)
        return room - slop_space(room) >= need

    return _smallest(enough)


def _smallest(enough: Callable[[int], bool]) -> int:
    """The smallest size, in steps that grow with it, that is enough."""
    low, high = 0, label.MIN_DEVICE
    while not enough(high):
        low, high = high, high * 2
        if high > SIZE_MAX:
            raise LimitError("the content fits into no image that could be made", limit=SIZE_MAX)
    while high - low > MIB:
        middle = (low + high) // 2 // MIB * MIB
        if middle > low and enough(middle):
            high = middle
        else:
            low = max(middle, low + MIB)
    return _rounded(max(high, label.MIN_DEVICE))


def _rounded(size: int) -> int:
    """Up to whole MiB; large sizes up to 1/64 of themselves, so that small changes do not change them."""
    step = max(MIB, 1 << max(0, size.bit_length() - 7))
    return -(-size // step) * step


def _tree(spec: PoolSpec, ashift: int, *, force: bool) -> VdevTree:
    """The vdevs of a layout, over memory that is never touched.

    Raises:
        SpecError: what does not go together.
    """
    words: list[Place] = []
    for word in _words(spec):
        if group_type(word) is not None:
            words.append(word)
        else:
            words.append(MemoryDevice(memoryview(mmap.mmap(-1, 4 * label.MIN_DEVICE)), name=str(word)))
    return new_vdevs(parse_for_create(words), Env.fixed(), NewOptions(ashift=ashift, force=force)).tree


def _words(spec: PoolSpec) -> list[Place]:
    """The words of the top-level vdevs, without spare and cache devices."""
    words: list[Place] = []
    cls = "normal"
    for top in spec.tops:
        if top.cls != cls:
            cls = top.cls
            words.append(cls)
        if top.kind == "draid":
            words.append(f"draid{top.nparity}:{top.ndata}d:{len(top.places)}c:{top.nspares}s")
        elif top.kind != "leaf":
            words.append(f"{top.kind}{top.nparity or ''}")
        words += top.places
    return words


def _asizes(tree: VdevTree, tops: Sequence[int]) -> Callable[[int], int]:
    """How much a block of a size takes, where that is most."""

    @cache
    def asize(size: int) -> int:
        return max(int(tree.asizes(number, [size], [0])[0]) for number in tops)

    return asize
