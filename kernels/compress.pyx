# cython: language_level=3, boundscheck=False, wraparound=False
"""Compression of blocks (the contract is in compress_impl.h, the types in compress.pyi)."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "compress_impl.h" nogil:
    enum:
        UB_COMPRESS_LZJB
        UB_COMPRESS_ZLE
        UB_COMPRESS_LZ4
        UB_COMPRESS_MAX
    ctypedef size_t ub_encoder(const uint8_t *src, size_t n, uint8_t *dst, size_t room)
    ub_encoder *ub_encoder_of(int id)

IDS = {"lzjb": UB_COMPRESS_LZJB, "zle": UB_COMPRESS_ZLE, "lz4": UB_COMPRESS_LZ4}


cdef ub_encoder *encoder_of(str name) except NULL:
    if name not in IDS:
        raise ValueError(f"no encoder is called {name!r}")
    return ub_encoder_of(IDS[name])


def encode(str name, src, dst):
    """One block; see the type stub."""
    cdef Py_buffer plain, packed
    cdef size_t size
    cdef const uint8_t *a
    cdef const uint8_t *b
    cdef ub_encoder *run = encoder_of(name)
    PyObject_GetBuffer(src, &plain, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(dst, &packed, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            a = <const uint8_t *>plain.buf
            b = <const uint8_t *>packed.buf
            if plain.len > UB_COMPRESS_MAX:
                raise ValueError(f"src has {plain.len} bytes, more than {UB_COMPRESS_MAX}")
            if a < b + packed.len and b < a + plain.len:
                raise ValueError("src and dst overlap")
            with nogil:
                size = run(a, <size_t>plain.len, <uint8_t *>packed.buf, <size_t>packed.len)
        finally:
            PyBuffer_Release(&packed)
    finally:
        PyBuffer_Release(&plain)
    return size


def many(str name, sources, const uint32_t[::1] source, const uint64_t[::1] offsets, size_t length, size_t most,
         uint8_t[::1] out, size_t stride, uint64_t[::1] sizes):
    """Blocks of one size; see the type stub."""
    cdef ub_encoder *run = encoder_of(name)
    cdef Py_ssize_t i, n = offsets.shape[0], held = 0
    cdef list entries = list(sources)
    cdef Py_ssize_t count = len(entries)
    cdef Py_buffer *views = <Py_buffer *>calloc(count + 1, sizeof(Py_buffer))
    cdef Py_buffer *view
    cdef uint8_t *room
    if views == NULL:
        raise MemoryError
    try:
        for entry in entries:
            PyObject_GetBuffer(entry, &views[held], PyBUF_C_CONTIGUOUS)
            held += 1
        if source.shape[0] != n or sizes.shape[0] != n:
            raise ValueError("source, offsets and sizes differ in number")
        if length > UB_COMPRESS_MAX or most > stride or (n and stride > <size_t>out.shape[0] // <size_t>n):
            raise ValueError("blocks too long, or not enough room")
        for i in range(n):
            if source[i] >= <uint32_t>count:
                raise ValueError(f"block {i} is in no source")
            view = &views[source[i]]
            if length > <size_t>view.len or offsets[i] > <size_t>view.len - length:
                raise ValueError(f"block {i} leaves its source")
        if n and stride:
            with nogil:
                for i in range(n):
                    room = &out[0] + <size_t>i * stride
                    sizes[i] = run(<const uint8_t *>views[source[i]].buf + offsets[i], length, room, most)
                    if sizes[i] != 0:
                        memset(room + sizes[i], 0, stride - <size_t>sizes[i])
        else:
            sizes[:] = 0
    finally:
        for i in range(held):
            PyBuffer_Release(&views[i])
        free(views)
