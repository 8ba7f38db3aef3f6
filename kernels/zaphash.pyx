"""The hash of ZAP keys (the contract is in zaphash_impl.h, the types in zaphash.pyi)."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, \
    PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

cdef extern from "byteorder.h" nogil:
    const bint UB_HOST_IS_BIG

cdef extern from "zaphash_impl.h" nogil:
    uint64_t ub_zap_hash_name(uint64_t salt, const uint8_t *name, size_t n)
    uint64_t ub_zap_hash_words(uint64_t salt, const uint8_t *words, size_t count)


cdef int take_words(object buffer, Py_buffer *view, bint writable, str what) except -1:
    """A contiguous buffer of unsigned 64-bit integers."""
    cdef int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
    try:
        PyObject_GetBuffer(buffer, view, flags)
    except BufferError as error:
        raise ValueError(f"{what}: not contiguous, or read-only where it must be written ({error})") from None
    cdef bytes form = view.format if view.format != NULL else b"B"
    if view.itemsize != 8 or form.lstrip(b"@=<>!") not in (b"Q", b"L") or \
            form[:1] == (b"<" if UB_HOST_IS_BIG else b">"):
        PyBuffer_Release(view)
        raise ValueError(f"{what}: want unsigned 64-bit integers in native order, not {form.decode()!r}")
    return 0


def hash_name(uint64_t salt, bytes name not None):
    return ub_zap_hash_name(salt, <const uint8_t *>PyBytes_AS_STRING(name), <size_t>PyBytes_GET_SIZE(name))


def hash_names(uint64_t salt, names, out):
    cdef list held = list(names)
    cdef Py_buffer result
    cdef size_t i = 0
    cdef bytes name
    take_words(out, &result, True, "out")
    try:
        if result.len != 8 * len(held):
            raise ValueError(f"out has room for {result.len // 8} hashes, but there are {len(held)} names")
        for item in held:
            if not isinstance(item, bytes):
                raise TypeError(f"name {i}: {type(item).__name__} instead of bytes")
            name = item
            (<uint64_t *>result.buf)[i] = ub_zap_hash_name(salt, <const uint8_t *>PyBytes_AS_STRING(name),
                                                           <size_t>PyBytes_GET_SIZE(name))
            i += 1
    finally:
        PyBuffer_Release(&result)


def hash_words(uint64_t salt, words):
    cdef Py_buffer view
    cdef uint64_t result
    take_words(words, &view, False, "words")
    try:
        result = ub_zap_hash_words(salt, <const uint8_t *>view.buf, <size_t>view.len // 8)
    finally:
        PyBuffer_Release(&view)
    return result
