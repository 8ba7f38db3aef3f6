# cython: language_level=3, boundscheck=False, wraparound=False
"""Column maps of raidz and draid for arrays of blocks: checks and conversions around geometry.c."""

from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    Py_buffer,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset


cdef extern from "geometry_impl.h" nogil:
    enum:
        UB_GEOMETRY_OK
        UB_GEOMETRY_BAD_VDEV
        UB_GEOMETRY_BAD_OFFSET
        UB_GEOMETRY_BAD_SIZE
        UB_GEOMETRY_BAD_WIDTH
        UB_GEOMETRY_NO_ROOM
        UB_GEOMETRY_MAX_CHILDREN

    ctypedef struct ub_column:
        int32_t leaf

    ctypedef struct ub_group:
        uint32_t first

    ctypedef struct ub_blocks:
        size_t count
        const uint64_t *offset
        const uint64_t *psize
        const uint32_t *logical

    ctypedef struct ub_layout:
        ub_column *columns
        ub_group *groups
        uint32_t *blocks
        uint64_t ncolumns
        uint64_t ngroups
        size_t failed

    ctypedef struct ub_raidz_geometry:
        uint32_t children
        uint32_t nparity
        uint32_t ashift
        const int32_t *leaf
        uint64_t base
        uint64_t moved
        uint64_t reflow

    ctypedef struct ub_draid_geometry:
        uint32_t children
        uint32_t ndata
        uint32_t nparity
        uint32_t nspares
        uint32_t ngroups
        uint32_t ashift
        uint32_t nperms
        const uint8_t *perms
        const int32_t *leaf
        uint64_t base

    int ub_raidz_count(const ub_raidz_geometry *, const ub_blocks *, ub_layout *)
    int ub_raidz_fill(const ub_raidz_geometry *, const ub_blocks *, ub_layout *)
    int ub_draid_count(const ub_draid_geometry *, const ub_blocks *, ub_layout *)
    int ub_draid_fill(const ub_draid_geometry *, const ub_blocks *, ub_layout *)
    int ub_draid_permutations(uint32_t, uint64_t, uint32_t, uint8_t *, uint64_t *)


NO_REFLOW = 0xFFFFFFFFFFFFFFFF

_REASONS = {
    UB_GEOMETRY_BAD_VDEV: "no such geometry of a vdev",
    UB_GEOMETRY_BAD_OFFSET: "offset not at a boundary, or too large",
    UB_GEOMETRY_BAD_SIZE: "size zero or too large",
    UB_GEOMETRY_BAD_WIDTH: "a logical width the vdev never had",
    UB_GEOMETRY_NO_ROOM: "no room for all columns and groups",
}


cdef class _View:
    """A contiguous buffer held for the time of one call."""

    cdef Py_buffer buffer
    cdef bint held

    def __cinit__(self, source, bint writable, size_t itemsize, str name):
        self.held = False
        PyObject_GetBuffer(source, &self.buffer, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        self.held = True
        if <size_t>self.buffer.len % itemsize:
            raise ValueError(f"{name}: {self.buffer.len} bytes are no whole number of elements")
        if <size_t>self.buffer.buf % 4 or (itemsize != 4 and <size_t>self.buffer.buf % 8):
            raise ValueError(f"{name}: not aligned")

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.buffer)

    cdef size_t count(self, size_t itemsize):
        return <size_t>self.buffer.len // itemsize

    cdef void *data(self):
        return self.buffer.buf


cdef class _Call:
    """The arguments of one count or fill."""

    cdef ub_blocks blocks
    cdef ub_layout layout
    cdef list views

    def __cinit__(self, offsets, psizes, logical):
        cdef _View view
        memset(&self.blocks, 0, sizeof(self.blocks))
        memset(&self.layout, 0, sizeof(self.layout))
        self.views = []
        view = self.view(offsets, False, 8, "offsets")
        self.blocks.count = view.count(8)
        self.blocks.offset = <const uint64_t *>view.data()
        view = self.view(psizes, False, 8, "psizes")
        if view.count(8) != self.blocks.count:
            raise ValueError("offsets and psizes differ in number")
        self.blocks.psize = <const uint64_t *>view.data()
        if logical is not None:
            view = self.view(logical, False, 4, "logical")
            if view.count(4) != self.blocks.count:
                raise ValueError("offsets and logical differ in number")
            self.blocks.logical = <const uint32_t *>view.data()

    cdef _View view(self, source, bint writable, size_t itemsize, str name):
        cdef _View view = _View(source, writable, itemsize, name)
        self.views.append(view)
        return view

    cdef int into(self, columns, groups, blocks) except -1:
        cdef _View view = self.view(columns, True, sizeof(ub_column), "columns")
        self.layout.columns = <ub_column *>view.data()
        self.layout.ncolumns = view.count(sizeof(ub_column))
        view = self.view(groups, True, sizeof(ub_group), "groups")
        self.layout.groups = <ub_group *>view.data()
        self.layout.ngroups = view.count(sizeof(ub_group))
        view = self.view(blocks, True, 4, "blocks")
        if view.count(4) != self.blocks.count + 1:
            raise ValueError("blocks needs one element more than there are offsets")
        self.layout.blocks = <uint32_t *>view.data()
        return 0

    cdef int check(self, int code) except -1:
        if code == UB_GEOMETRY_OK:
            return 0
        reason = _REASONS.get(code, "unknown failure")
        if code in (UB_GEOMETRY_BAD_OFFSET, UB_GEOMETRY_BAD_SIZE, UB_GEOMETRY_BAD_WIDTH):
            reason = f"block {self.layout.failed}: {reason}"
        raise ValueError(reason)


cdef class Raidz:
    """The geometry of one raidz vdev."""

    cdef ub_raidz_geometry vdev
    cdef readonly object leaves

    def __cinit__(self, leaves, uint32_t nparity, uint32_t ashift, uint64_t base, *,
                  uint64_t moved=0, uint64_t reflow=NO_REFLOW):
        self.leaves = bytes(leaves)
        self.vdev.leaf = <const int32_t *><const char *>self.leaves
        self.vdev.children = len(self.leaves) // 4
        self.vdev.nparity = nparity
        self.vdev.ashift = ashift
        self.vdev.base = base
        self.vdev.moved = moved
        self.vdev.reflow = reflow

    def count(self, offsets, psizes, logical=None):
        cdef _Call call = _Call(offsets, psizes, logical)
        cdef int code
        with nogil:
            code = ub_raidz_count(&self.vdev, &call.blocks, &call.layout)
        call.check(code)
        return call.layout.ncolumns, call.layout.ngroups

    def fill(self, offsets, psizes, columns, groups, blocks, logical=None):
        cdef _Call call = _Call(offsets, psizes, logical)
        cdef int code
        call.into(columns, groups, blocks)
        with nogil:
            code = ub_raidz_fill(&self.vdev, &call.blocks, &call.layout)
        call.check(code)


cdef class Draid:
    """The geometry of one draid vdev."""

    cdef ub_draid_geometry vdev
    cdef readonly object leaves
    cdef readonly object permutations

    def __cinit__(self, leaves, permutations, uint32_t ndata, uint32_t nparity, uint32_t nspares,
                  uint32_t ngroups, uint32_t ashift, uint64_t base):
        self.leaves = bytes(leaves)
        self.permutations = bytes(permutations)
        self.vdev.leaf = <const int32_t *><const char *>self.leaves
        self.vdev.perms = <const uint8_t *><const char *>self.permutations
        self.vdev.children = len(self.leaves) // 4
        if self.vdev.children == 0 or len(self.permutations) % self.vdev.children:
            raise ValueError("permutations are no whole number of rows")
        self.vdev.nperms = len(self.permutations) // self.vdev.children
        self.vdev.ndata = ndata
        self.vdev.nparity = nparity
        self.vdev.nspares = nspares
        self.vdev.ngroups = ngroups
        self.vdev.ashift = ashift
        self.vdev.base = base

    def count(self, offsets, psizes):
        cdef _Call call = _Call(offsets, psizes, None)
        cdef int code
        with nogil:
            code = ub_draid_count(&self.vdev, &call.blocks, &call.layout)
        call.check(code)
        return call.layout.ncolumns, call.layout.ngroups

    def fill(self, offsets, psizes, columns, groups, blocks):
        cdef _Call call = _Call(offsets, psizes, None)
        cdef int code
        call.into(columns, groups, blocks)
        with nogil:
            code = ub_draid_fill(&self.vdev, &call.blocks, &call.layout)
        call.check(code)


def draid_permutations(uint32_t children, uint64_t seed, uint32_t nperms):
    """Rows of the permutation map that follows from a seed, and its checksum."""
    cdef uint64_t checksum = 0
    cdef int code
    cdef uint8_t *place
    if not 2 <= children <= UB_GEOMETRY_MAX_CHILDREN or not 1 <= nperms <= 65536:
        raise ValueError("children or nperms outside their bounds")
    rows = bytearray(children * nperms)
    place = rows
    with nogil:
        code = ub_draid_permutations(children, seed, nperms, place, &checksum)
    if code != UB_GEOMETRY_OK:
        raise ValueError(_REASONS[code])
    return bytes(rows), checksum
