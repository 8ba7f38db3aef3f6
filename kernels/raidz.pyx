"""raidz parity: generation and reconstruction (the contract is in raidz_impl.h, the types in raidz.pyi).

This file takes buffers apart, checks them, and releases the interpreter lock; it decides nothing about
parity.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, \
    PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_New
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uintptr_t

include "choice.pxi"

cdef extern from "raidz_impl.h" nogil:
    enum:
        MAX_COLUMNS "UB_RAIDZ_MAX_COLUMNS"
        MAX_PARITY "UB_RAIDZ_MAX_PARITY"
        MAX_DATA "UB_RAIDZ_MAX_DATA"
        UB_RAIDZ_BAD_WIDTH
        UB_RAIDZ_BAD_PARITY
        UB_RAIDZ_BAD_HEIGHT
        UB_RAIDZ_BAD_LENGTH
        UB_RAIDZ_BAD_MISSING
    int ub_raidz_generate(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *length,
                          uint8_t *const *parity, size_t height)
    int ub_raidz_generate_kept(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *length,
                               uint8_t *const *parity, size_t height)
    int ub_raidz_reconstruct(size_t ncols, size_t nparity, uint8_t *const *cols, const size_t *length,
                             const unsigned *missing, size_t nmissing)
    int ub_raidz_reconstruct_kept(size_t ncols, size_t nparity, uint8_t *const *cols, const size_t *length,
                                  const unsigned *missing, size_t nmissing)
    void ub_raidz_settle()
    ub_family *ub_raidz_family()


# The buffers of one call, held while it runs. On the stack: an object would cost more than small columns do.
cdef struct Columns:
    size_t count
    Py_buffer views[MAX_COLUMNS]
    uint8_t *start[MAX_COLUMNS]
    size_t length[MAX_COLUMNS]
    bint output[MAX_COLUMNS]
    bint absent[MAX_COLUMNS]


cdef int add(Columns *columns, object buffer, int flags, str what, size_t index) except -1:
    cdef size_t c = columns.count
    if not PyObject_CheckBuffer(buffer):
        raise TypeError(f"{what} {index}: {type(buffer).__name__} is no buffer")
    try:
        PyObject_GetBuffer(buffer, &columns.views[c], flags)
    except (BufferError, ValueError) as error:
        blame = "read-only or not contiguous" if flags & PyBUF_WRITABLE else "not contiguous"
        raise ValueError(f"{what} {index}: {blame} ({error})") from None
    columns.start[c] = <uint8_t *>columns.views[c].buf
    columns.length[c] = <size_t>columns.views[c].len
    columns.output[c] = (flags & PyBUF_WRITABLE) != 0
    columns.absent[c] = False
    columns.count += 1
    return 0


cdef void add_absent(Columns *columns) noexcept:
    """A column that is not there and not wanted; its length follows from the others."""
    cdef size_t c = columns.count
    columns.start[c] = NULL
    columns.length[c] = 0
    columns.output[c] = False
    columns.absent[c] = True
    columns.count += 1


cdef void fill_absent(Columns *columns) noexcept:
    """Absent columns are as long as the longest one."""
    cdef size_t c, height = 0
    for c in range(columns.count):
        height = max(height, columns.length[c])
    for c in range(columns.count):
        if columns.absent[c]:
            columns.length[c] = height


cdef void release(Columns *columns) noexcept:
    cdef size_t c
    for c in range(columns.count):
        if not columns.absent[c]:
            PyBuffer_Release(&columns.views[c])
    columns.count = 0


cdef int check_overlaps(Columns *columns) except -1:
    """No output may share a byte with any other column."""
    cdef size_t i, j
    cdef uintptr_t a, b
    for i in range(columns.count):
        if not columns.output[i]:
            continue
        a = <uintptr_t>columns.start[i]
        for j in range(columns.count):
            b = <uintptr_t>columns.start[j]
            if i != j and a < b + columns.length[j] and b < a + columns.length[i]:
                raise ValueError("a column to be written overlaps another one")
    return 0


cdef int refuse(int error, size_t ndata, size_t nparity) except -1:
    """Raise what an error code of the kernels means."""
    if error == UB_RAIDZ_BAD_WIDTH:
        raise ValueError(f"{ndata} data columns; possible are 1 to {MAX_DATA}")
    if error == UB_RAIDZ_BAD_PARITY:
        raise ValueError(f"{nparity} parity columns; possible are 1 to {MAX_PARITY}")
    if error == UB_RAIDZ_BAD_HEIGHT:
        raise ValueError("the parity columns are empty or of unequal length")
    if error == UB_RAIDZ_BAD_LENGTH:
        raise ValueError("a data column is longer than the parity")
    if error == UB_RAIDZ_BAD_MISSING:
        raise ValueError(f"the missing columns must be 1 to {nparity} different ones that exist")
    return 0


cdef int make(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *length,
              uint8_t *const *parity, size_t height, bint keep) noexcept nogil:
    if keep:
        return ub_raidz_generate_kept(ndata, nparity, data, length, parity, height)
    return ub_raidz_generate(ndata, nparity, data, length, parity, height)


cdef int rebuild(size_t ncols, size_t nparity, uint8_t *const *cols, const size_t *length, const unsigned *missing,
                 size_t nmissing, bint keep) noexcept nogil:
    if keep:
        return ub_raidz_reconstruct_kept(ncols, nparity, cols, length, missing, nmissing)
    return ub_raidz_reconstruct(ncols, nparity, cols, length, missing, nmissing)


def generate(data, parity, *, bint keep=False):
    cdef size_t ndata = len(data), nparity = len(parity), i
    cdef int error
    if ndata < 1 or ndata > MAX_DATA:
        refuse(UB_RAIDZ_BAD_WIDTH, ndata, nparity)
    if nparity < 1 or nparity > MAX_PARITY:
        refuse(UB_RAIDZ_BAD_PARITY, ndata, nparity)
    cdef Columns columns
    columns.count = 0
    try:
        for i in range(nparity):
            add(&columns, parity[i], PyBUF_WRITABLE, "parity column", i)
            if columns.length[i] != columns.length[0]:
                refuse(UB_RAIDZ_BAD_HEIGHT, ndata, nparity)
        for i in range(ndata):
            add(&columns, data[i], PyBUF_SIMPLE, "data column", i)
        check_overlaps(&columns)
        with nogil:
            error = make(ndata, nparity, <const uint8_t *const *>&columns.start[nparity], &columns.length[nparity],
                         columns.start, columns.length[0], keep)
            if not keep:
                ub_raidz_settle()
        refuse(error, ndata, nparity)
    finally:
        release(&columns)


cdef int check_width(size_t ncols, size_t nparity) except -1:
    if nparity < 1 or nparity > MAX_PARITY:
        refuse(UB_RAIDZ_BAD_PARITY, 0, nparity)
    if ncols <= nparity or ncols - nparity > MAX_DATA:
        refuse(UB_RAIDZ_BAD_WIDTH, ncols - nparity if ncols > nparity else 0, nparity)
    return 0


cdef size_t read_missing(object missing, size_t ncols, size_t nparity, unsigned *numbers) except 0:
    """The numbers of the missing columns, checked for what the C side cannot see after conversion."""
    cdef size_t n = 0
    for number in missing:
        if n == nparity or not 0 <= number < ncols:
            refuse(UB_RAIDZ_BAD_MISSING, ncols - nparity, nparity)
        numbers[n] = number
        n += 1
    if n == 0:
        refuse(UB_RAIDZ_BAD_MISSING, ncols - nparity, nparity)
    return n


def reconstruct(columns, size_t nparity, missing, *, bint keep=False):
    cdef size_t ncols = len(columns), nmissing, i, m
    cdef unsigned numbers[MAX_PARITY]
    cdef bint lost
    cdef int error
    check_width(ncols, nparity)
    nmissing = read_missing(missing, ncols, nparity, numbers)
    cdef Columns held
    held.count = 0
    try:
        for i in range(ncols):
            lost = False
            for m in range(nmissing):
                lost = lost or numbers[m] == i
            if lost and columns[i] is None:
                add_absent(&held)
            else:
                add(&held, columns[i], PyBUF_WRITABLE if lost else PyBUF_SIMPLE, "column", i)
        check_overlaps(&held)
        fill_absent(&held)
        with nogil:
            error = rebuild(ncols, nparity, held.start, held.length, numbers, nmissing, keep)
            if not keep:
                ub_raidz_settle()
        refuse(error, ncols - nparity, nparity)
    finally:
        release(&held)


cdef class Stack:
    """Many stripes of one shape in one buffer: stripes x columns x bytes, contiguous."""

    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, object array, bint output, str what):
        self.held = False
        if not PyObject_CheckBuffer(array):
            raise TypeError(f"{what}: {type(array).__name__} is no buffer")
        try:
            PyObject_GetBuffer(array, &self.view, PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if output else 0))
        except (BufferError, ValueError) as error:
            raise ValueError(f"{what}: {'read-only or ' if output else ''}not contiguous ({error})") from None
        self.held = True
        if self.view.ndim != 3 or self.view.itemsize != 1:
            raise ValueError(f"{what}: an array of stripes x columns x bytes is wanted")

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    cdef size_t shape(self, int axis) noexcept nogil:
        return <size_t>self.view.shape[axis]

    cdef void columns(self, size_t stripe, uint8_t **start) noexcept nogil:
        """The addresses of the columns of one stripe."""
        cdef size_t c
        for c in range(self.shape(1)):
            start[c] = <uint8_t *>self.view.buf + (stripe * self.shape(1) + c) * self.shape(2)

    cdef bint overlaps(self, Stack other) noexcept:
        cdef uintptr_t a = <uintptr_t>self.view.buf, b = <uintptr_t>other.view.buf
        return a < b + <size_t>other.view.len and b < a + <size_t>self.view.len


def generate_many(data, parity, *, bint keep=False):
    cdef Stack source = Stack(data, False, "data"), target = Stack(parity, True, "parity")
    cdef size_t ndata = source.shape(1), nparity = target.shape(1), height = target.shape(2), i
    cdef const uint8_t *start[MAX_COLUMNS]
    cdef uint8_t *out[MAX_PARITY]
    cdef size_t length[MAX_COLUMNS]
    cdef int error = 0
    if ndata < 1 or ndata > MAX_DATA:
        refuse(UB_RAIDZ_BAD_WIDTH, ndata, nparity)
    if nparity < 1 or nparity > MAX_PARITY:
        refuse(UB_RAIDZ_BAD_PARITY, ndata, nparity)
    if source.shape(0) != target.shape(0):
        raise ValueError(f"{source.shape(0)} stripes of data, {target.shape(0)} of parity")
    if source.overlaps(target):
        raise ValueError("the parity overlaps the data")
    for i in range(ndata):
        length[i] = source.shape(2)
    with nogil:
        for i in range(source.shape(0)):
            source.columns(i, <uint8_t **>start)
            target.columns(i, out)
            error = make(ndata, nparity, start, length, out, height, keep)
            if error:
                break
        if not keep:
            ub_raidz_settle()
    refuse(error, ndata, nparity)


def reconstruct_many(columns, size_t nparity, missing, *, bint keep=False):
    cdef Stack stack = Stack(columns, True, "columns")
    cdef size_t ncols = stack.shape(1), nmissing, i
    cdef uint8_t *start[MAX_COLUMNS]
    cdef size_t length[MAX_COLUMNS]
    cdef unsigned numbers[MAX_PARITY]
    cdef int error = 0
    check_width(ncols, nparity)
    nmissing = read_missing(missing, ncols, nparity, numbers)
    for i in range(ncols):
        length[i] = stack.shape(2)
    with nogil:
        for i in range(stack.shape(0)):
            stack.columns(i, start)
            error = rebuild(ncols, nparity, start, length, numbers, nmissing, keep)
            if error:
                break
        if not keep:
            ub_raidz_settle()
    refuse(error, ncols - nparity, nparity)


def implementations():
    return names_of(ub_raidz_family(), True)


def known_implementations():
    return names_of(ub_raidz_family(), False)


def implementation():
    return name_in_use(ub_raidz_family())


def select(name=None):
    choose(ub_raidz_family(), name)
    return implementation()


def describe():
    return {"raidz": described(ub_raidz_family())}


#: Where the choice lies, for the modules that use these kernels too.
_choice = PyCapsule_New(ub_raidz_family().choice, "uberblock.kernels.raidz._choice", NULL)

#: The C functions of raidz_impl.h, for native code that wants to call them without Python.
_generate = PyCapsule_New(<void *>ub_raidz_generate, "uberblock.kernels.raidz._generate", NULL)
_reconstruct = PyCapsule_New(<void *>ub_raidz_reconstruct, "uberblock.kernels.raidz._reconstruct", NULL)

select()  # an unusable name in the environment is told at once
