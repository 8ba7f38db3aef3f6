"""Decompression of blocks (the contract is in decompress_impl.h, the types in decompress.pyi)."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, \
    PyObject_GetBuffer
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

cdef extern from "decompress_impl.h" nogil:
    enum:
        UB_OK
        UB_COMPRESS_LZJB
        UB_COMPRESS_ZLE
        UB_COMPRESS_LZ4
    int ub_decompress(int id, const uint8_t *src, size_t n, uint8_t *dst, size_t m)


cdef int take(object buffer, Py_buffer *view, int flags, str what) except -1:
    if not PyObject_CheckBuffer(buffer):
        raise TypeError(f"{what}: {type(buffer).__name__} is no buffer")
    try:
        PyObject_GetBuffer(buffer, view, flags)
    except (BufferError, ValueError) as error:
        raise ValueError(f"{what}: not contiguous, or read-only where it must be written ({error})") from None
    return 0


cdef int decode(str name, int number, object src, object dst) except -1:
    cdef Py_buffer stored, plain
    cdef const uint8_t *a
    cdef const uint8_t *b
    cdef int error
    take(src, &stored, PyBUF_SIMPLE, "src")
    try:
        take(dst, &plain, PyBUF_WRITABLE, "dst")
        try:
            a = <const uint8_t *>stored.buf
            b = <const uint8_t *>plain.buf
            if a < b + plain.len and b < a + stored.len:
                raise ValueError("src and dst overlap")
            with nogil:
                error = ub_decompress(number, a, <size_t>stored.len, <uint8_t *>plain.buf, <size_t>plain.len)
            if error != UB_OK:
                raise ValueError(
                    f"these {stored.len} bytes are no {name} stream of exactly {plain.len} bytes"
                )
        finally:
            PyBuffer_Release(&plain)
    finally:
        PyBuffer_Release(&stored)
    return 0


def lzjb(src, dst):
    decode("lzjb", UB_COMPRESS_LZJB, src, dst)


def zle(src, dst):
    decode("zle", UB_COMPRESS_ZLE, src, dst)


def lz4(src, dst):
    decode("lz4", UB_COMPRESS_LZ4, src, dst)
