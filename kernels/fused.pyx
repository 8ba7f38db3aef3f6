"""Two things in one pass: checksum while copying, parity and checksum (contracts: checksum_impl.h, fused_impl.h).

This file takes buffers apart, checks them, and releases the interpreter lock; it computes nothing.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t, uintptr_t

include "sharing.pxi"

cdef extern from "byteorder.h" nogil:
    const bint UB_HOST_IS_BIG
    void ub_store_le64(uint8_t *p, uint64_t v)
    uint64_t ub_le64(const uint8_t *p)

cdef extern from "checksum_impl.h" nogil:
    void ub_copy_fletcher4(uint8_t *to, const uint8_t *p, size_t n, int byteswap, uint64_t *sums)

cdef extern from "raidz_impl.h" nogil:
    enum:
        MAX_COLUMNS "UB_RAIDZ_MAX_COLUMNS"
        MAX_PARITY "UB_RAIDZ_MAX_PARITY"
        MAX_DATA "UB_RAIDZ_MAX_DATA"
        UB_RAIDZ_OK
        UB_RAIDZ_BAD_HEIGHT
        UB_RAIDZ_BAD_LENGTH

cdef extern from "fused_impl.h" nogil:
    enum:
        UB_FUSED_BAD_LENGTH
    int ub_generate_fletcher4(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *length,
                              uint8_t *const *parity, size_t height, int byteswap, uint64_t *sums)


cdef int take(object buffer, Py_buffer *view, bint writable, str what) except -1:
    if not PyObject_CheckBuffer(buffer):
        raise TypeError(f"{what}: {type(buffer).__name__} is no buffer")
    try:
        PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    except (BufferError, ValueError) as error:
        blame = "read-only or not contiguous" if writable else "not contiguous"
        raise ValueError(f"{what}: {blame} ({error})") from None
    return 0


cdef bint overlap(const Py_buffer *x, const Py_buffer *y) noexcept:
    cdef uintptr_t a = <uintptr_t>x.buf, b = <uintptr_t>y.buf
    return a < b + <size_t>y.len and b < a + <size_t>x.len


cdef bytes stored(const uint64_t *words):
    """Four words as 32 bytes of a little-endian pool."""
    cdef bytes result = PyBytes_FromStringAndSize(NULL, 32)
    cdef int i
    for i in range(4):
        ub_store_le64(<uint8_t *>PyBytes_AS_STRING(result) + 8 * i, words[i])
    return result


# --- copying ------------------------------------------------------------------------------------------------

def copy_fletcher4(source, target, *, bint byteswap=False, start=None):
    cdef Py_buffer data, room
    cdef uint64_t sums[4]
    cdef bytes before = bytes(32) if start is None else bytes(start)
    cdef int i
    if len(before) != 32:
        raise ValueError(f"start: a checksum has 32 bytes, not {len(before)}")
    for i in range(4):
        sums[i] = ub_le64(<const uint8_t *>PyBytes_AS_STRING(before) + 8 * i)
    take(source, &data, False, "source")
    try:
        take(target, &room, True, "target")
        try:
            if data.len % 4:
                raise ValueError(f"fletcher4 is not defined over {data.len} bytes, which is no multiple of 4")
            if room.len != data.len:
                raise ValueError(f"the target has {room.len} bytes, the source {data.len}")
            if overlap(&data, &room):
                raise ValueError("source and target overlap")
            with nogil:
                ub_copy_fletcher4(<uint8_t *>room.buf, <const uint8_t *>data.buf, <size_t>data.len,
                                  byteswap != UB_HOST_IS_BIG, sums)
        finally:
            PyBuffer_Release(&room)
    finally:
        PyBuffer_Release(&data)
    return stored(sums)


# --- parity -------------------------------------------------------------------------------------------------

cdef struct Columns:
    size_t count
    Py_buffer views[MAX_COLUMNS]  # parity first, then data
    uint8_t *start[MAX_COLUMNS]
    size_t length[MAX_COLUMNS]


cdef int add(Columns *held, object buffer, bint writable, str what) except -1:
    cdef Py_buffer *view = &held.views[held.count]
    take(buffer, view, writable, what)
    held.start[held.count] = <uint8_t *>view.buf
    held.length[held.count] = <size_t>view.len
    held.count += 1
    return 0


cdef int check_overlaps(const Columns *held, size_t nparity) except -1:
    cdef size_t i, j
    for i in range(nparity):
        for j in range(i + 1, held.count):
            if overlap(&held.views[i], &held.views[j]):
                raise ValueError("a parity column overlaps another column")
    return 0


cdef int refuse(int error) except -1:
    if error == UB_RAIDZ_OK:
        return 0
    if error == UB_FUSED_BAD_LENGTH:
        raise ValueError("fletcher4 is not defined over a column that is no multiple of 4 bytes")
    if error == UB_RAIDZ_BAD_LENGTH:
        raise ValueError("a data column is longer than the parity")
    if error == UB_RAIDZ_BAD_HEIGHT:
        raise ValueError("the parity columns are empty")
    raise AssertionError(f"unexpected error {error}")


def generate_fletcher4(data, parity, *, bint byteswap=False):
    cdef size_t ndata = len(data), nparity = len(parity), i
    cdef Columns held
    cdef uint64_t sums[4]
    cdef int error
    if ndata < 1 or ndata > MAX_DATA:
        raise ValueError(f"{ndata} data columns; possible are 1 to {MAX_DATA}")
    if nparity < 1 or nparity > MAX_PARITY:
        raise ValueError(f"{nparity} parity columns; possible are 1 to {MAX_PARITY}")
    held.count = 0
    try:
        for i in range(nparity):
            add(&held, parity[i], True, f"parity column {i}")
            if held.length[i] != held.length[0]:
                raise ValueError("the parity columns are of unequal length")
        for i in range(ndata):
            add(&held, data[i], False, f"data column {i}")
        check_overlaps(&held, nparity)
        with nogil:
            error = ub_generate_fletcher4(ndata, nparity, <const uint8_t *const *>&held.start[nparity],
                                          &held.length[nparity], held.start, held.length[0],
                                          byteswap != UB_HOST_IS_BIG, sums)
        refuse(error)
    finally:
        for i in range(held.count):
            PyBuffer_Release(&held.views[i])
    return stored(sums)
