# cython: language_level=3, boundscheck=False, wraparound=False
"""Batched block output: checksum, parity, write. The face of blockwrite_impl.h."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE
from libc.stdint cimport int32_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

include "batch.pxi"
include "sharing.pxi"

cdef extern from "blockwrite_impl.h" nogil:
    ctypedef struct ub_column:
        pass
    ctypedef struct ub_group:
        pass
    ctypedef struct ub_job:
        pass
    ctypedef struct ub_source:
        const uint8_t *base
        uint64_t size
    ctypedef struct ub_target:
        int fd
        uint8_t *base
        uint64_t size
    ctypedef struct ub_output:
        const ub_column *columns
        size_t ncolumns
        const ub_group *groups
        size_t ngroups
        ub_job *jobs
        size_t njobs
        const ub_target *devices
        size_t ndevices
        const ub_source *sources
        size_t nsources
        const ub_salt *salt
        uint8_t *status
        int32_t *errors
    int ub_blockwrite(const ub_output *output)
    int ub_write_durable(int fd, const uint8_t *data, size_t n, uint64_t offset)
    int ub_is_zero(const uint8_t *p, size_t n)

cdef enum:
    NBUFFERS = 5


cdef class _Targets:
    """The device table of one call."""

    cdef ub_target *table
    cdef Py_ssize_t count
    cdef _Held held

    def __cinit__(self, devices):
        cdef Py_ssize_t i
        cdef ub_target *row
        entries = list(devices)
        self.count = len(entries)
        self.held = _Held(self.count)
        self.table = <ub_target *>calloc(self.count + 1, sizeof(ub_target))
        if self.table == NULL:
            raise MemoryError
        for i in range(self.count):
            row = &self.table[i]
            self.held.device(entries[i], i, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE, &row.fd, <void **>&row.base, &row.size)

    def __dealloc__(self):
        free(self.table)


cdef class _Sources:
    """What the bytes come from."""

    cdef ub_source *table
    cdef Py_ssize_t count
    cdef _Held held

    def __cinit__(self, buffers):
        cdef Py_ssize_t i
        cdef Py_buffer *view
        entries = list(buffers)
        self.count = len(entries)
        self.held = _Held(self.count)
        self.table = <ub_source *>calloc(self.count + 1, sizeof(ub_source))
        if self.table == NULL:
            raise MemoryError
        for i in range(self.count):
            view = self.held.take(entries[i], PyBUF_C_CONTIGUOUS)
            self.table[i].base = <const uint8_t *>view.buf
            self.table[i].size = <uint64_t>view.len

    def __dealloc__(self):
        free(self.table)


def write(columns, groups, jobs, devices, sources, status, errors, *, salt=b""):
    """Run a batch of jobs; see the type stub for the arguments."""
    cdef _Held held = _Held(NBUFFERS)
    cdef Py_buffer *view = held.views
    cdef ub_output output
    cdef ub_salt prepared
    cdef int rc
    cdef _Targets targets = _Targets(devices)
    cdef _Sources origin = _Sources(sources)
    memset(&output, 0, sizeof(output))
    output.salt = salted(&prepared, bytes(salt))
    for array, flags in ((columns, PyBUF_C_CONTIGUOUS), (groups, PyBUF_C_CONTIGUOUS),
                         (jobs, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE),
                         (status, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE),
                         (errors, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)):
        held.take(array, flags)
    output.columns = <const ub_column *>view[0].buf
    output.ncolumns = records(&view[0], sizeof(ub_column), "columns")
    output.groups = <const ub_group *>view[1].buf
    output.ngroups = records(&view[1], sizeof(ub_group), "groups")
    output.jobs = <ub_job *>view[2].buf
    output.njobs = records(&view[2], sizeof(ub_job), "jobs")
    output.status = <uint8_t *>view[3].buf
    output.errors = <int32_t *>view[4].buf
    if <size_t>view[3].len != output.njobs:
        raise ValueError(f"status holds {view[3].len} bytes for {output.njobs} jobs")
    if <size_t>view[4].len != output.ncolumns * sizeof(int32_t):
        raise ValueError(f"errors holds {view[4].len} bytes for {output.ncolumns} columns")
    output.devices = targets.table
    output.ndevices = <size_t>targets.count
    output.sources = origin.table
    output.nsources = <size_t>origin.count
    with nogil:
        rc = ub_blockwrite(&output)
    if rc != 0:
        raise MemoryError


def write_durable(int fd, const uint8_t[::1] data, uint64_t offset):
    """One write and a flush; see the type stub for the arguments."""
    cdef size_t size = <size_t>data.shape[0]
    cdef const uint8_t *first = &data[0] if size else NULL
    cdef int code
    with nogil:
        code = ub_write_durable(fd, first, size, offset)
    return code


def are_zero(sources, offsets, lengths, out):
    """Which ranges hold nothing but zeros; see the type stub for the arguments."""
    cdef _Sources origin = _Sources(sources)
    cdef const uint64_t[::1] at = offsets
    cdef const uint64_t[::1] size = lengths
    cdef uint8_t[::1] result = out
    cdef Py_ssize_t i, k, n = at.shape[0]
    cdef bint shared = origin.count == 1
    if size.shape[0] != n or result.shape[0] != n or not (shared or origin.count == n):
        raise ValueError("sources, offsets, lengths and out differ in number")
    for i in range(n):
        k = 0 if shared else i
        if at[i] > origin.table[k].size or size[i] > origin.table[k].size - at[i]:
            raise ValueError(f"range {i} leaves its source")
    with nogil:
        for i in range(n):
            k = 0 if shared else i
            result[i] = ub_is_zero(origin.table[k].base + at[i], <size_t>size[i])


def implementation():
    """The kernels this module runs: those that raidz and checksum say."""
    return kernels_in_use()
