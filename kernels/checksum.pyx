"""Checksums of blocks (the contract is in checksum_impl.h, the types in checksum.pyi).

This file takes buffers apart, checks them, and releases the interpreter lock; it computes nothing.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_SIMPLE, PyBUF_WRITABLE, \
    PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.pycapsule cimport PyCapsule_New
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free

cdef extern from "byteorder.h" nogil:
    const bint UB_HOST_IS_BIG
    void ub_store_le64(uint8_t *p, uint64_t v)

include "choice.pxi"

cdef extern from "checksum_impl.h" nogil:
    enum:
        UB_OK
        UB_BAD_LENGTH
        UB_CHECKSUM_FLETCHER2
        UB_CHECKSUM_FLETCHER4
        UB_CHECKSUM_SHA256
        UB_CHECKSUM_SHA512
        UB_CHECKSUM_SKEIN
        UB_CHECKSUM_EDONR
        UB_CHECKSUM_BLAKE3
        UB_FAMILIES
        SALT_BYTES "UB_SALT_BYTES"
    ctypedef struct ub_salt:
        pass
    void ub_salt_set(ub_salt *salt, const uint8_t *bytes)
    int ub_checksum(int id, const uint8_t *p, size_t n, int byteswap, const ub_salt *salt, uint64_t *out)
    int ub_checksum_many(int id, size_t count, const uint8_t *const *p, const size_t *n, int byteswap,
                         const ub_salt *salt, uint64_t (*out)[4], size_t *failed)
    void ub_fletcher4_combine(const uint64_t *first, const uint64_t *second, uint64_t words, uint64_t *out)
    ub_family *ub_checksum_family(int family)

#: Name -> number of the checksum on disk.
IDS = {
    "fletcher2": UB_CHECKSUM_FLETCHER2,
    "fletcher4": UB_CHECKSUM_FLETCHER4,
    "sha256": UB_CHECKSUM_SHA256,
    "sha512": UB_CHECKSUM_SHA512,
    "skein": UB_CHECKSUM_SKEIN,
    "edonr": UB_CHECKSUM_EDONR,
    "blake3": UB_CHECKSUM_BLAKE3,
}
SALTED = frozenset({"skein", "edonr", "blake3"})
FAMILIES = tuple([text(ub_checksum_family(i).name) for i in range(UB_FAMILIES)])


# --- buffers and salts --------------------------------------------------------------------------------------

cdef class Views:
    """Buffers held while a call runs: their addresses and lengths, and the promise to let go of them."""

    cdef Py_buffer *views
    cdef const uint8_t **start
    cdef size_t *length
    cdef size_t count

    def __cinit__(self, size_t room):
        self.count = 0
        self.views = <Py_buffer *>calloc(room + 1, sizeof(Py_buffer))
        self.start = <const uint8_t **>calloc(room + 1, sizeof(uint8_t *))
        self.length = <size_t *>calloc(room + 1, sizeof(size_t))
        if self.views == NULL or self.start == NULL or self.length == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.count):
            PyBuffer_Release(&self.views[i])
        free(self.views)
        free(<void *>self.start)
        free(self.length)

    cdef int add(self, object buffer) except -1:
        take(buffer, &self.views[self.count], PyBUF_SIMPLE, "the data")
        self.start[self.count] = <const uint8_t *>self.views[self.count].buf
        self.length[self.count] = <size_t>self.views[self.count].len
        self.count += 1
        return 0


cdef int take(object buffer, Py_buffer *view, int flags, str what) except -1:
    if not PyObject_CheckBuffer(buffer):
        raise TypeError(f"{what}: {type(buffer).__name__} is no buffer")
    try:
        PyObject_GetBuffer(buffer, view, flags)
    except (BufferError, ValueError) as error:
        raise ValueError(f"{what}: not contiguous, or read-only where it must be written ({error})") from None
    return 0


cdef int take_words(object buffer, Py_buffer *view, bint writable, str what) except -1:
    """A contiguous buffer of 64-bit integers."""
    take(buffer, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0), what)
    cdef bytes form = view.format if view.format != NULL else b"B"
    if view.itemsize != 8 or form.lstrip(b"@=<>!") not in (b"q", b"Q", b"l", b"L") or \
            form[:1] == (b"<" if UB_HOST_IS_BIG else b">"):
        PyBuffer_Release(view)
        raise ValueError(f"{what}: want 64-bit integers in native order, not {form.decode()!r}")
    return 0


cdef int number_of(str name) except -1:
    number = IDS.get(name)
    if number is None:
        raise ValueError(f"no checksum is called {name!r}; known are {', '.join(IDS)}")
    return number


cdef int refuse(str name, int error, size_t length) except -1:
    if error == UB_OK:
        return 0
    if error == UB_BAD_LENGTH:
        unit = 16 if name == "fletcher2" else 4
        raise ValueError(f"{name} is not defined over {length} bytes, which is no multiple of {unit}")
    raise AssertionError(f"{name}: unexpected error {error}")


cdef int fill_salt(str name, object salt, ub_salt *to) except -1:
    """Ready the salt of a salted checksum; for the others it is not looked at."""
    if name not in SALTED:
        return 0
    cdef bytes held = bytes(salt)
    if len(held) != SALT_BYTES:
        raise ValueError(f"{name} needs the pool's salt of {SALT_BYTES} bytes, not {len(held)}")
    ub_salt_set(to, <const uint8_t *>PyBytes_AS_STRING(held))
    return 0


# --- one buffer ---------------------------------------------------------------------------------------------

cdef bytes one(str name, int number, object buf, object salt, bint byteswap):
    cdef Py_buffer view
    cdef ub_salt ready
    cdef uint64_t words[4]
    cdef uint8_t *digest
    cdef int error, i
    fill_salt(name, salt, &ready)
    take(buf, &view, PyBUF_SIMPLE, "the data")
    try:
        with nogil:
            error = ub_checksum(number, <const uint8_t *>view.buf, <size_t>view.len,
                                byteswap != UB_HOST_IS_BIG, &ready, words)
        refuse(name, error, <size_t>view.len)
    finally:
        PyBuffer_Release(&view)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, 32)
    digest = <uint8_t *>PyBytes_AS_STRING(result)
    for i in range(4):
        ub_store_le64(digest + 8 * i, words[i])
    return result


def fletcher2(buf, *, bint byteswap=False):
    return one("fletcher2", UB_CHECKSUM_FLETCHER2, buf, b"", byteswap)


def fletcher4(buf, *, bint byteswap=False):
    return one("fletcher4", UB_CHECKSUM_FLETCHER4, buf, b"", byteswap)


def sha256(buf, *, bint byteswap=False):
    return one("sha256", UB_CHECKSUM_SHA256, buf, b"", byteswap)


def sha512(buf, *, bint byteswap=False):
    return one("sha512", UB_CHECKSUM_SHA512, buf, b"", byteswap)


def skein(buf, salt, *, bint byteswap=False):
    return one("skein", UB_CHECKSUM_SKEIN, buf, salt, byteswap)


def edonr(buf, salt, *, bint byteswap=False):
    return one("edonr", UB_CHECKSUM_EDONR, buf, salt, byteswap)


def blake3(buf, salt, *, bint byteswap=False):
    # For one buffer nothing is faster than the package of BLAKE3's authors; ours hashes many side by side.
    from blake3 import blake3 as keyed

    cdef Py_buffer view
    cdef bytes key = bytes(salt)
    if len(key) != SALT_BYTES:
        raise ValueError(f"blake3 needs the pool's salt of {SALT_BYTES} bytes, not {len(key)}")
    take(buf, &view, PyBUF_SIMPLE, "the data")
    PyBuffer_Release(&view)
    cdef bytes digest = keyed(memoryview(buf).cast("B"), key=key).digest()
    if byteswap:
        return b"".join(digest[at:at + 8][::-1] for at in range(0, 32, 8))
    return digest


# --- many buffers -------------------------------------------------------------------------------------------

cdef int run(str name, size_t count, const uint8_t **start, size_t *length, uint64_t *out, object salt,
             bint byteswap) except -1:
    cdef int number = number_of(name)
    cdef ub_salt ready
    cdef size_t failed = 0
    cdef int error
    fill_salt(name, salt, &ready)
    with nogil:
        error = ub_checksum_many(number, count, start, length, byteswap != UB_HOST_IS_BIG, &ready,
                                 <uint64_t (*)[4]>out, &failed)
    return refuse(name, error, length[failed] if count else 0)


def many(str name, buffers, out, *, salt=b"", bint byteswap=False):
    cdef list held = list(buffers)
    cdef Py_buffer result
    cdef Views views
    number_of(name)
    take_words(out, &result, True, "out")
    try:
        if result.len != 32 * len(held):
            raise ValueError(f"out holds {result.len} bytes, but {len(held)} checksums have {32 * len(held)}")
        views = Views.__new__(Views, len(held))
        for buffer in held:
            views.add(buffer)
        run(name, views.count, views.start, views.length, <uint64_t *>result.buf, salt, byteswap)
    finally:
        PyBuffer_Release(&result)


cdef int place(Views views, const uint8_t *base, size_t size, const int64_t *offsets, const int64_t *sizes,
               size_t count) except -1:
    """Turn ranges of one buffer into addresses; each must lie inside it."""
    cdef size_t i
    for i in range(count):
        if offsets[i] < 0 or <size_t>offsets[i] > size or \
                sizes[i] < 0 or <size_t>sizes[i] > size - <size_t>offsets[i]:
            raise ValueError(
                f"range {i} ({sizes[i]} bytes at {offsets[i]}) leaves the buffer of {size} bytes"
            )
        views.start[i] = base + offsets[i]
        views.length[i] = <size_t>sizes[i]
    return 0


def many_at(str name, base, offsets, sizes, out, *, salt=b"", bint byteswap=False):
    cdef Py_buffer data, at, length, result
    cdef size_t count
    cdef Views views
    number_of(name)
    take(base, &data, PyBUF_SIMPLE, "base")
    try:
        take_words(offsets, &at, False, "offsets")
        try:
            take_words(sizes, &length, False, "sizes")
            try:
                take_words(out, &result, True, "out")
                try:
                    count = <size_t>at.len // 8
                    if length.len != at.len or result.len != 4 * at.len:
                        raise ValueError(
                            f"{count} offsets want as many sizes, not {length.len // 8}, "
                            f"and {32 * count} bytes of out, not {result.len}"
                        )
                    views = Views.__new__(Views, count)
                    place(views, <const uint8_t *>data.buf, <size_t>data.len, <const int64_t *>at.buf,
                          <const int64_t *>length.buf, count)
                    run(name, count, views.start, views.length, <uint64_t *>result.buf, salt, byteswap)
                finally:
                    PyBuffer_Release(&result)
            finally:
                PyBuffer_Release(&length)
        finally:
            PyBuffer_Release(&at)
    finally:
        PyBuffer_Release(&data)


def fletcher4_combine(first, second, uint64_t nbytes):
    cdef uint64_t sums[3][4]
    cdef int i, j
    cdef bytes held
    if nbytes % 4:
        raise ValueError(f"fletcher4 is not defined over {nbytes} bytes, which is no multiple of 4")
    for i, part in enumerate((first, second)):
        held = bytes(part)
        if len(held) != 32:
            raise ValueError(f"a checksum has 32 bytes, not {len(held)}")
        for j in range(4):
            sums[i][j] = int.from_bytes(held[8 * j : 8 * j + 8], "little")
    ub_fletcher4_combine(sums[0], sums[1], nbytes // 4, sums[2])
    return b"".join([int(sums[2][j]).to_bytes(8, "little") for j in range(4)])


# --- choice of implementations ------------------------------------------------------------------------------

cdef int family_number(str family) except -1:
    if family not in FAMILIES:
        raise ValueError(f"no family of checksums is called {family!r}; known are {', '.join(FAMILIES)}")
    return FAMILIES.index(family)


def implementations():
    return {family: names_of(ub_checksum_family(i), True) for i, family in enumerate(FAMILIES)}


def known_implementations():
    return {family: names_of(ub_checksum_family(i), False) for i, family in enumerate(FAMILIES)}


def implementation():
    return {family: name_in_use(ub_checksum_family(i)) for i, family in enumerate(FAMILIES)}


def select(family=None, name=None):
    if family is not None:
        choose(ub_checksum_family(family_number(family)), name)
    elif name is not None:
        raise ValueError("an implementation is chosen for one family: name the family too")
    else:
        for each in FAMILIES:
            select(each)
    return implementation()


def describe():
    return {family: described(ub_checksum_family(i)) for i, family in enumerate(FAMILIES)}


#: Where the choices lie, for the modules that use these kernels too.
_choices = PyCapsule_New(ub_checksum_family(0).choice, "uberblock.kernels.checksum._choices", NULL)

select()  # an unusable name in the environment is told at once
