"""What a batch of blocks comes with, from Python: buffers held for a call, records in them, the pool's salt."""

from cpython.buffer cimport PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free

cdef extern from "checksum_impl.h" nogil:
    ctypedef struct ub_salt:
        pass
    void ub_salt_set(ub_salt *salt, const uint8_t *bytes)
    enum:
        UB_SALT_BYTES


cdef Py_ssize_t records(Py_buffer *view, Py_ssize_t item, str name) except -1:
    """Number of records of `item` bytes in a buffer."""
    if view.len % item:
        raise ValueError(f"{name} holds {view.len} bytes, which are no records of {item}")
    return view.len // item


cdef const ub_salt *salted(ub_salt *prepared, bytes salt) except? NULL:
    """The salt of checksums that need one, prepared; NULL: the pool has none."""
    if not salt:
        return NULL
    if len(salt) != UB_SALT_BYTES:
        raise ValueError(f"the salt has {len(salt)} bytes instead of {UB_SALT_BYTES}")
    ub_salt_set(prepared, <const uint8_t *>salt)
    return prepared


cdef class _Held:
    """Buffers of Python objects, released together."""

    cdef Py_buffer *views
    cdef Py_ssize_t count

    def __cinit__(self, Py_ssize_t most):
        self.views = <Py_buffer *>calloc(most + 1, sizeof(Py_buffer))
        if self.views == NULL:
            raise MemoryError

    cdef Py_buffer *take(self, object buffer, int flags) except NULL:
        PyObject_GetBuffer(buffer, &self.views[self.count], flags)
        self.count += 1
        return &self.views[self.count - 1]

    cdef int device(
        self, object entry, Py_ssize_t number, int flags, int *fd, void **base, uint64_t *size
    ) except -1:
        """An entry of a device table: descriptor and size, memory that is held, or None for one that is not there."""
        cdef Py_buffer *view
        fd[0] = -1
        if isinstance(entry, tuple):
            descriptor, length = entry
            if descriptor < 0 or length < 0:
                raise ValueError(f"device {number}: descriptor {descriptor} and size {length} must not be negative")
            fd[0] = descriptor
            size[0] = length
        elif entry is not None:
            view = self.take(entry, flags)
            base[0] = view.buf
            size[0] = <uint64_t>view.len
        return 0

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.count):
            PyBuffer_Release(&self.views[i])
        free(self.views)
