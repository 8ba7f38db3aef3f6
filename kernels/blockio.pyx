# cython: language_level=3, boundscheck=False, wraparound=False
"""Batched block input: read, rebuild, verify, decompress. The face of blockio_impl.h."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_SIMPLE, PyBUF_WRITABLE
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

include "batch.pxi"
include "sharing.pxi"

cdef extern from "blockio_impl.h" nogil:
    ctypedef struct ub_column:
        pass
    ctypedef struct ub_group:
        pass
    ctypedef struct ub_job:
        pass
    ctypedef struct ub_device:
        int fd
        const uint8_t *base
        uint64_t size
    ctypedef struct ub_batch:
        const ub_column *columns
        size_t ncolumns
        const ub_group *groups
        size_t ngroups
        const ub_job *jobs
        size_t njobs
        const ub_device *devices
        size_t ndevices
        const ub_salt *salt
        uint8_t *out
        uint64_t out_size
        uint8_t *status
        uint8_t *faults
    int ub_blockio(const ub_batch *batch)
    int UB_MODE_DATA, UB_MODE_RAW, UB_MODE_SCRUB
    int UB_FLAG_SWAP, UB_FLAG_CRYPT, UB_FLAG_DELIVER
    int UB_JOB_OK, UB_JOB_UNREADABLE, UB_JOB_CHECKSUM, UB_JOB_DECOMPRESS, UB_JOB_BAD, UB_JOB_UNSUPPORTED
    int UB_JOB_MISSING
    int UB_FAULT_NONE, UB_FAULT_READ, UB_FAULT_PARITY, UB_FAULT_PADDING

cdef enum:
    NBUFFERS = 6

MODE_DATA = UB_MODE_DATA
MODE_RAW = UB_MODE_RAW
MODE_SCRUB = UB_MODE_SCRUB
FLAG_SWAP = UB_FLAG_SWAP
FLAG_CRYPT = UB_FLAG_CRYPT
FLAG_DELIVER = UB_FLAG_DELIVER
JOB_OK = UB_JOB_OK
JOB_UNREADABLE = UB_JOB_UNREADABLE
JOB_CHECKSUM = UB_JOB_CHECKSUM
JOB_DECOMPRESS = UB_JOB_DECOMPRESS
JOB_BAD = UB_JOB_BAD
JOB_UNSUPPORTED = UB_JOB_UNSUPPORTED
JOB_MISSING = UB_JOB_MISSING
FAULT_NONE = UB_FAULT_NONE
FAULT_READ = UB_FAULT_READ
FAULT_PARITY = UB_FAULT_PARITY
FAULT_PADDING = UB_FAULT_PADDING

#: The record types of the arrays ``read`` takes, for ``numpy.dtype``.
COLUMN_FIELDS = [("leaf", "<i4"), ("parity", "<i4"), ("offset", "<u8"), ("where", "<u8"), ("length", "<u4"),
                 ("stored", "<u4")]
GROUP_FIELDS = [("first", "<u4"), ("ncols", "<u4"), ("nparity", "<u4"), ("height", "<u4")]
JOB_FIELDS = [("first", "<u4"), ("ngroups", "<u4"), ("psize", "<u4"), ("lsize", "<u4"), ("checksum", "u1"),
              ("compress", "u1"), ("mode", "u1"), ("flags", "u1"), ("reserved", "<u4"), ("words", "<u8", (4,)),
              ("dest", "<u8")]


cdef class _Devices:
    """The device table of one call; holds the buffers of memory devices."""

    cdef ub_device *table
    cdef Py_ssize_t count
    cdef _Held held

    def __cinit__(self, devices):
        cdef Py_ssize_t i
        cdef ub_device *row
        entries = list(devices)
        self.count = len(entries)
        self.held = _Held(self.count)
        self.table = <ub_device *>calloc(self.count + 1, sizeof(ub_device))
        if self.table == NULL:
            raise MemoryError
        for i in range(self.count):
            row = &self.table[i]
            self.held.device(entries[i], i, PyBUF_SIMPLE, &row.fd, <void **>&row.base, &row.size)

    def __dealloc__(self):
        free(self.table)


def read(columns, groups, jobs, devices, out, status, faults, *, salt=b""):
    """Run a batch of jobs; see the type stub for the arguments."""
    cdef _Held held = _Held(NBUFFERS)
    cdef Py_buffer *view = held.views
    cdef ub_batch batch
    cdef ub_salt prepared
    cdef int rc
    cdef _Devices table = _Devices(devices)
    memset(&batch, 0, sizeof(batch))
    batch.salt = salted(&prepared, bytes(salt))
    for array, flags in ((columns, PyBUF_C_CONTIGUOUS), (groups, PyBUF_C_CONTIGUOUS),
                         (jobs, PyBUF_C_CONTIGUOUS), (out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE),
                         (status, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE),
                         (faults, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)):
        held.take(array, flags)
    batch.columns = <const ub_column *>view[0].buf
    batch.ncolumns = records(&view[0], sizeof(ub_column), "columns")
    batch.groups = <const ub_group *>view[1].buf
    batch.ngroups = records(&view[1], sizeof(ub_group), "groups")
    batch.jobs = <const ub_job *>view[2].buf
    batch.njobs = records(&view[2], sizeof(ub_job), "jobs")
    batch.out = <uint8_t *>view[3].buf
    batch.out_size = <uint64_t>view[3].len
    batch.status = <uint8_t *>view[4].buf
    batch.faults = <uint8_t *>view[5].buf
    if <size_t>view[4].len != batch.njobs:
        raise ValueError(f"status holds {view[4].len} bytes for {batch.njobs} jobs")
    if <size_t>view[5].len != batch.ncolumns:
        raise ValueError(f"faults holds {view[5].len} bytes for {batch.ncolumns} columns")
    batch.devices = table.table
    batch.ndevices = <size_t>table.count
    with nogil:
        rc = ub_blockio(&batch)
    if rc != 0:
        raise MemoryError


def implementation():
    """The kernels this module runs: those that raidz and checksum say."""
    return kernels_in_use()
