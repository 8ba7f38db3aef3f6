"""Checksums of blocks (the contract is in checksum_impl.h, the types in checksum.pyi).

This file takes buffers apart, checks them, and releases the interpreter lock; it computes nothing.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_READ, PyBUF_SIMPLE, PyBUF_WRITABLE, \
    PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.pycapsule cimport PyCapsule_New
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc

import hashlib
from functools import partial

from blake3 import blake3 as blake3_package

cdef extern from "byteorder.h" nogil:
    const bint UB_HOST_IS_BIG
    void ub_store_le64(uint8_t *p, uint64_t v)
    uint64_t ub_le64(const uint8_t *p)

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
        UB_FAMILY_SHA512
        SALT_BYTES "UB_SALT_BYTES"
    ctypedef struct ub_salt:
        pass
    void ub_salt_set_for(int id, ub_salt *salt, const uint8_t *bytes)
    int ub_checksum(int id, const uint8_t *p, size_t n, int byteswap, const ub_salt *salt, uint64_t *out)
    int ub_checksum_many(int id, size_t count, const uint8_t *const *p, const size_t *n, int byteswap,
                         const ub_salt *salt, uint64_t (*out)[4], size_t *failed)
    void ub_fletcher2_update(uint64_t *sums, const uint8_t *p, size_t n, int byteswap)
    void ub_fletcher4_update(uint64_t *sums, const uint8_t *p, size_t n, int byteswap)
    void ub_fletcher2_combine(const uint64_t *first, const uint64_t *second, uint64_t pairs, uint64_t *out)
    void ub_fletcher4_combine(const uint64_t *first, const uint64_t *second, uint64_t words, uint64_t *out)
    ub_family *ub_checksum_family(int family)

cdef enum:
    FEW = 16  # buffers of a call that lie on the stack
    BLAKE3_BYTES = 512  # from here on the package of BLAKE3's authors hashes a lone buffer faster; ours hashes many
    SHA512_BYTES = 16384  # and hashlib, which needs most of a microsecond to begin with

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
sha512_library = partial(hashlib.new, "sha512_256") if "sha512_256" in hashlib.algorithms_available else None
SALTED = frozenset({"skein", "edonr", "blake3"})
FAMILIES = tuple([text(ub_checksum_family(i).name) for i in range(UB_FAMILIES)])


# --- buffers and salts --------------------------------------------------------------------------------------

cdef struct Views:
    # Buffers held while a call runs: their addresses and lengths. A few lie on the stack: getting memory would cost
    # more than a small block does.
    size_t count
    Py_buffer *views
    const uint8_t **start
    size_t *length
    Py_buffer few_views[FEW]
    const uint8_t *few_start[FEW]
    size_t few_length[FEW]


cdef int reserve(Views *held, size_t room, bint buffers) except -1:
    """Room for so many addresses and lengths, and for as many ``buffers`` or for none."""
    held.count = 0
    held.views, held.start, held.length = held.few_views, held.few_start, held.few_length
    if room > FEW:
        held.views = <Py_buffer *>malloc(room * sizeof(Py_buffer)) if buffers else NULL
        held.start = <const uint8_t **>malloc(room * sizeof(uint8_t *))
        held.length = <size_t *>malloc(room * sizeof(size_t))
        if (buffers and held.views == NULL) or held.start == NULL or held.length == NULL:
            let_go(held)
            raise MemoryError
    return 0


cdef void let_go(Views *held) noexcept:
    cdef size_t i
    for i in range(held.count):
        PyBuffer_Release(&held.views[i])
    held.count = 0
    if held.start != held.few_start:
        free(held.views)
        free(<void *>held.start)
        free(held.length)


cdef int add(Views *held, object buffer) except -1:
    cdef Py_buffer *view = &held.views[held.count]
    take(buffer, view, PyBUF_SIMPLE, "the data")
    held.start[held.count] = <const uint8_t *>view.buf
    held.length[held.count] = <size_t>view.len
    held.count += 1
    return 0


cdef int take(object buffer, Py_buffer *view, int flags, str what) except -1:
    if not PyObject_CheckBuffer(buffer):
        raise TypeError(f"{what}: {type(buffer).__name__} is no buffer")
    try:
        PyObject_GetBuffer(buffer, view, flags)
    except (BufferError, ValueError) as error:
        raise ValueError(f"{what}: not contiguous, or read-only where it must be written ({error})") from None
    return 0


cdef bint says_words(const char *form) noexcept:
    """Whether a format of the struct module is one 64-bit integer of this machine's order."""
    if form == NULL:
        return False
    if form[0] == c"@" or form[0] == c"=" or form[0] == (c">" if UB_HOST_IS_BIG else c"<"):
        form += 1
    return (form[0] == c"q" or form[0] == c"Q" or form[0] == c"l" or form[0] == c"L") and form[1] == 0


cdef int take_words(object buffer, Py_buffer *view, bint writable, str what) except -1:
    """A contiguous buffer of 64-bit integers."""
    take(buffer, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0), what)
    if view.itemsize != 8 or not says_words(view.format):
        form = view.format.decode() if view.format != NULL else "B"
        PyBuffer_Release(view)
        raise ValueError(f"{what}: want 64-bit integers in native order, not {form!r}")
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


cdef int fill_salt(str name, int number, object salt, ub_salt *to) except -1:
    """Ready the salt of a salted checksum; for the others it is not looked at."""
    if number != UB_CHECKSUM_SKEIN and number != UB_CHECKSUM_EDONR and number != UB_CHECKSUM_BLAKE3:
        return 0
    cdef bytes held = salt if type(salt) is bytes else bytes(salt)
    if len(held) != SALT_BYTES:
        raise ValueError(f"{name} needs the pool's salt of {SALT_BYTES} bytes, not {len(held)}")
    ub_salt_set_for(number, to, <const uint8_t *>PyBytes_AS_STRING(held))
    return 0


# --- one buffer ---------------------------------------------------------------------------------------------

cdef bytes stored(const uint64_t *words):
    """Four words as 32 bytes of a little-endian pool."""
    cdef bytes result = PyBytes_FromStringAndSize(NULL, 32)
    cdef uint8_t *digest = <uint8_t *>PyBytes_AS_STRING(result)
    cdef int i
    for i in range(4):
        ub_store_le64(digest + 8 * i, words[i])
    return result


cdef int load(object checksum, uint64_t *words, str what) except -1:
    """The words of a checksum of 32 bytes."""
    cdef Py_buffer view
    cdef int i
    take(checksum, &view, PyBUF_SIMPLE, what)
    try:
        if view.len != 32:
            raise ValueError(f"{what}: a checksum has 32 bytes, not {view.len}")
        for i in range(4):
            words[i] = ub_le64(<const uint8_t *>view.buf + 8 * i)
    finally:
        PyBuffer_Release(&view)
    return 0


cdef bytes one(str name, int number, object buf, object salt, bint byteswap):
    cdef Py_buffer view
    cdef ub_salt ready
    cdef uint64_t words[4]
    cdef int error
    fill_salt(name, number, salt, &ready)
    take(buf, &view, PyBUF_SIMPLE, "the data")
    try:
        with nogil:
            error = ub_checksum(number, <const uint8_t *>view.buf, <size_t>view.len,
                                byteswap != UB_HOST_IS_BIG, &ready, words)
        refuse(name, error, <size_t>view.len)
    finally:
        PyBuffer_Release(&view)
    return stored(words)


cdef bytes fletcher(str name, int number, object buf, bint byteswap, object start):
    """The sums, which go on from those of what comes before."""
    cdef Py_buffer view
    cdef uint64_t sums[4]
    if start is None:
        return one(name, number, buf, b"", byteswap)
    load(start, sums, "start")
    take(buf, &view, PyBUF_SIMPLE, "the data")
    try:
        if view.len % (16 if number == UB_CHECKSUM_FLETCHER2 else 4):
            refuse(name, UB_BAD_LENGTH, <size_t>view.len)
        with nogil:
            if number == UB_CHECKSUM_FLETCHER2:
                ub_fletcher2_update(sums, <const uint8_t *>view.buf, <size_t>view.len, byteswap != UB_HOST_IS_BIG)
            else:
                ub_fletcher4_update(sums, <const uint8_t *>view.buf, <size_t>view.len, byteswap != UB_HOST_IS_BIG)
    finally:
        PyBuffer_Release(&view)
    return stored(sums)


def fletcher2(buf, *, bint byteswap=False, start=None):
    return fletcher("fletcher2", UB_CHECKSUM_FLETCHER2, buf, byteswap, start)


def fletcher4(buf, *, bint byteswap=False, start=None):
    return fletcher("fletcher4", UB_CHECKSUM_FLETCHER4, buf, byteswap, start)


def sha256(buf, *, bint byteswap=False):
    return one("sha256", UB_CHECKSUM_SHA256, buf, b"", byteswap)


cdef bytes by_library(object hashing, const Py_buffer *view, bint byteswap, dict options):
    """The digest that somebody else's code makes; hashlib and blake3 release the interpreter lock themselves."""
    cdef bytes digest = hashing(PyMemoryView_FromMemory(<char *>view.buf, view.len, PyBUF_READ), **options).digest()
    return b"".join([digest[at:at + 8][::-1] for at in range(0, 32, 8)]) if byteswap else digest


def sha512(buf, *, bint byteswap=False):
    # A kernel that somebody has asked for gets all blocks.
    cdef Py_buffer view
    take(buf, &view, PyBUF_SIMPLE, "the data")
    try:
        if view.len >= SHA512_BYTES and sha512_library is not None and \
                ub_checksum_family(UB_FAMILY_SHA512).choice.why == UB_BY_ORDER:
            return by_library(sha512_library, &view, byteswap, {})
    finally:
        PyBuffer_Release(&view)
    return one("sha512", UB_CHECKSUM_SHA512, buf, b"", byteswap)


def skein(buf, salt, *, bint byteswap=False):
    return one("skein", UB_CHECKSUM_SKEIN, buf, salt, byteswap)


def edonr(buf, salt, *, bint byteswap=False):
    return one("edonr", UB_CHECKSUM_EDONR, buf, salt, byteswap)


def blake3(buf, salt, *, bint byteswap=False):
    cdef Py_buffer view
    cdef bytes key = salt if type(salt) is bytes else bytes(salt)
    if len(key) != SALT_BYTES:
        raise ValueError(f"blake3 needs the pool's salt of {SALT_BYTES} bytes, not {len(key)}")
    take(buf, &view, PyBUF_SIMPLE, "the data")
    try:
        if view.len >= BLAKE3_BYTES:
            return by_library(blake3_package, &view, byteswap, {"key": key})
    finally:
        PyBuffer_Release(&view)
    return one("blake3", UB_CHECKSUM_BLAKE3, buf, key, byteswap)


# --- many buffers -------------------------------------------------------------------------------------------

cdef int run(str name, size_t count, const uint8_t **start, size_t *length, uint64_t *out, object salt,
             bint byteswap) except -1:
    cdef int number = number_of(name)
    cdef ub_salt ready
    cdef size_t failed = 0
    cdef int error
    fill_salt(name, number, salt, &ready)
    with nogil:
        error = ub_checksum_many(number, count, start, length, byteswap != UB_HOST_IS_BIG, &ready,
                                 <uint64_t (*)[4]>out, &failed)
    return refuse(name, error, length[failed] if count else 0)


def many(str name, buffers, out, *, salt=b"", bint byteswap=False):
    cdef list held = buffers if type(buffers) is list else list(buffers)
    cdef Py_buffer result
    cdef Views views
    cdef size_t count = len(held), i
    number_of(name)
    take_words(out, &result, True, "out")
    try:
        if <size_t>result.len != 32 * count:
            raise ValueError(f"out holds {result.len} bytes, but {count} checksums have {32 * count}")
        reserve(&views, count, True)
        try:
            for i in range(count):
                add(&views, held[i])
            run(name, views.count, views.start, views.length, <uint64_t *>result.buf, salt, byteswap)
        finally:
            let_go(&views)
    finally:
        PyBuffer_Release(&result)


cdef int place(Views *views, const uint8_t *base, size_t size, const int64_t *offsets, const int64_t *sizes,
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


cdef int run_at(str name, const Py_buffer *data, const Py_buffer *at, const Py_buffer *length,
                const Py_buffer *result, object salt, bint byteswap) except -1:
    cdef size_t count = <size_t>at.len // 8
    cdef Views views
    if length.len != at.len or result.len != 4 * at.len:
        raise ValueError(
            f"{count} offsets want as many sizes, not {length.len // 8}, "
            f"and {32 * count} bytes of out, not {result.len}"
        )
    reserve(&views, count, False)
    try:
        place(&views, <const uint8_t *>data.buf, <size_t>data.len, <const int64_t *>at.buf,
              <const int64_t *>length.buf, count)
        return run(name, count, views.start, views.length, <uint64_t *>result.buf, salt, byteswap)
    finally:
        let_go(&views)


def many_at(str name, base, offsets, sizes, out, *, salt=b"", bint byteswap=False):
    cdef Py_buffer held[4]
    cdef int count = 0
    number_of(name)
    try:
        take(base, &held[0], PyBUF_SIMPLE, "base")
        count = 1
        take_words(offsets, &held[1], False, "offsets")
        count = 2
        take_words(sizes, &held[2], False, "sizes")
        count = 3
        take_words(out, &held[3], True, "out")
        count = 4
        run_at(name, &held[0], &held[1], &held[2], &held[3], salt, byteswap)
    finally:
        while count:
            count -= 1
            PyBuffer_Release(&held[count])


def fletcher2_combine(first, second, uint64_t nbytes):
    cdef uint64_t sums[2][4]
    if nbytes % 16:
        refuse("fletcher2", UB_BAD_LENGTH, nbytes)
    load(first, sums[0], "first")
    load(second, sums[1], "second")
    ub_fletcher2_combine(sums[0], sums[1], nbytes // 16, sums[1])
    return stored(sums[1])


def fletcher4_combine(first, second, uint64_t nbytes):
    cdef uint64_t sums[2][4]
    if nbytes % 4:
        refuse("fletcher4", UB_BAD_LENGTH, nbytes)
    load(first, sums[0], "first")
    load(second, sums[1], "second")
    ub_fletcher4_combine(sums[0], sums[1], nbytes // 4, sums[1])
    return stored(sums[1])


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
