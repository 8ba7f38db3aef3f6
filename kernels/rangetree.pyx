# cython: language_level=3, boundscheck=False, wraparound=False
"""Sets of segments (the contract is in rangetree_impl.h, the types in rangetree.pyi)."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

import numpy as np

cdef extern from "byteorder.h" nogil:
    const bint UB_HOST_IS_BIG

cdef extern from "rangetree_impl.h" nogil:
    enum:
        UB_RANGETREE_OK
        UB_RANGETREE_EMPTY
        UB_RANGETREE_OVERLAP
        UB_RANGETREE_ABSENT
        UB_RANGETREE_MEMORY
        UB_RANGETREE_BROKEN
        UB_RANGETREE_BUSY
        UB_RANGETREE_CLASSES

    ctypedef struct ub_rangetree:
        uint64_t segments
        uint64_t space
        uint64_t histogram[64]

    void ub_rangetree_init(ub_rangetree *tree)
    int ub_rangetree_clear(ub_rangetree *tree)
    int ub_rangetree_add(ub_rangetree *, const uint64_t *, const uint64_t *, size_t, size_t *)
    int ub_rangetree_remove(ub_rangetree *, const uint64_t *, const uint64_t *, size_t, size_t *)
    int ub_rangetree_allocate(ub_rangetree *, const uint64_t *, size_t, uint64_t, uint64_t, uint64_t *, size_t *)
    int ub_rangetree_contains(ub_rangetree *, const uint64_t *, const uint64_t *, size_t, uint8_t *)
    int ub_rangetree_overlaps(ub_rangetree *, const uint64_t *, const uint64_t *, size_t, uint8_t *)
    int ub_rangetree_largest(ub_rangetree *, uint64_t *)
    int ub_rangetree_segments(ub_rangetree *, uint64_t *, uint64_t *, size_t)
    int ub_rangetree_check(ub_rangetree *)


cdef class _Words:
    """A contiguous buffer of unsigned 64-bit integers, held for the time of one call."""

    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, source, str what, bint writable=False):
        self.held = False
        cdef int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
        try:
            PyObject_GetBuffer(source, &self.view, flags)
        except BufferError as error:
            raise ValueError(f"{what}: not contiguous, or read-only where it must be written ({error})") from None
        self.held = True
        cdef bytes form = self.view.format if self.view.format != NULL else b"B"
        if self.view.itemsize != 8 or form.lstrip(b"@=<>!") not in (b"Q", b"L") or \
                form[:1] == (b"<" if UB_HOST_IS_BIG else b">"):
            raise ValueError(f"{what}: want unsigned 64-bit integers in native order, not {form.decode()!r}")

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    cdef size_t count(self) noexcept nogil:
        return <size_t>self.view.len // 8

    cdef uint64_t *data(self) noexcept nogil:
        return <uint64_t *>self.view.buf


cdef class RangeTree:
    """A set of addresses, kept as disjoint segments."""

    cdef ub_rangetree tree

    def __cinit__(self, starts=None, ends=None):
        ub_rangetree_init(&self.tree)
        if starts is not None:
            self.add(starts, ends)

    def __dealloc__(self):
        ub_rangetree_clear(&self.tree)

    cdef int check(self, int code, size_t failed=0, _Words starts=None, _Words ends=None) except -1:
        if code == UB_RANGETREE_OK:
            return 0
        if code == UB_RANGETREE_MEMORY:
            raise MemoryError("no memory for a set of segments")
        if code == UB_RANGETREE_BROKEN:
            raise RuntimeError("a set of segments is broken: memory ran out in the middle of a change")
        if code == UB_RANGETREE_BUSY:
            raise RuntimeError("two threads at one set of segments")
        if starts is None:
            raise ValueError(f"block {failed}: a size or an alignment of 0")
        what = {
            UB_RANGETREE_EMPTY: "is empty, or ends before it starts",
            UB_RANGETREE_OVERLAP: "is to be added, but some of it is in the set already",
            UB_RANGETREE_ABSENT: "is to be removed, but is not in the set as a whole",
        }[code]
        raise ValueError(f"range {failed}, {starts.data()[failed]:#x}..{ends.data()[failed]:#x}: it {what}")

    cdef tuple pair(self, starts, ends):
        cdef _Words first = _Words(starts, "starts")
        cdef _Words last = _Words(ends, "ends")
        if first.count() != last.count():
            raise ValueError("starts and ends differ in number")
        return first, last

    def add(self, starts, ends):
        cdef _Words first, last
        cdef size_t failed = 0
        cdef int code
        first, last = self.pair(starts, ends)
        with nogil:
            code = ub_rangetree_add(&self.tree, first.data(), last.data(), first.count(), &failed)
        self.check(code, failed, first, last)

    def remove(self, starts, ends):
        cdef _Words first, last
        cdef size_t failed = 0
        cdef int code
        first, last = self.pair(starts, ends)
        with nogil:
            code = ub_rangetree_remove(&self.tree, first.data(), last.data(), first.count(), &failed)
        self.check(code, failed, first, last)

    def allocate(self, sizes, *, uint64_t align=1, uint64_t run=1 << 20):
        cdef _Words wanted = _Words(sizes, "sizes")
        offsets = np.empty(wanted.count(), dtype=np.uint64)
        cdef _Words result = _Words(offsets, "offsets", True)
        cdef size_t placed = 0
        cdef int code
        with nogil:
            code = ub_rangetree_allocate(&self.tree, wanted.data(), wanted.count(), align, run, result.data(), &placed)
        self.check(code, placed)
        return offsets[:placed]

    cdef _answers(self, starts, ends, bint whole):
        cdef _Words first, last
        cdef int code
        first, last = self.pair(starts, ends)
        answers = bytearray(first.count())
        cdef uint8_t *into = answers
        with nogil:
            if whole:
                code = ub_rangetree_contains(&self.tree, first.data(), last.data(), first.count(), into)
            else:
                code = ub_rangetree_overlaps(&self.tree, first.data(), last.data(), first.count(), into)
        self.check(code)
        return np.frombuffer(answers, dtype=np.bool_)

    def contains(self, starts, ends):
        return self._answers(starts, ends, True)

    def overlaps(self, starts, ends):
        return self._answers(starts, ends, False)

    def segments(self):
        cdef size_t count = self.tree.segments
        starts, ends = np.empty(count, dtype=np.uint64), np.empty(count, dtype=np.uint64)
        cdef _Words first = _Words(starts, "starts", True)
        cdef _Words last = _Words(ends, "ends", True)
        cdef int code
        with nogil:
            code = ub_rangetree_segments(&self.tree, first.data(), last.data(), count)
        self.check(code)
        return starts, ends

    def histogram(self):
        return np.array([self.tree.histogram[i] for i in range(UB_RANGETREE_CLASSES)], dtype=np.uint64)

    def count_of(self, int power):
        if not 0 <= power < UB_RANGETREE_CLASSES:
            raise ValueError(f"no power of two of a size: {power}")
        return self.tree.histogram[power]

    def clear(self):
        self.check(ub_rangetree_clear(&self.tree))

    def check_inside(self):
        cdef int code = ub_rangetree_check(&self.tree)
        if code:
            raise AssertionError(f"a set of segments is broken inside: rule {code}")

    @property
    def space(self):
        return self.tree.space

    @property
    def largest(self):
        cdef uint64_t result = 0
        self.check(ub_rangetree_largest(&self.tree, &result))
        return result

    def __len__(self):
        return self.tree.segments

    def __bool__(self):
        return self.tree.segments != 0

    def __repr__(self):
        return f"<RangeTree {len(self)} segments, {self.space} bytes>"
