"""Kernels of raidz and checksum in another module, which links them again: the same choice holds for both."""

from cpython.pycapsule cimport PyCapsule_GetPointer

from uberblock.kernels import checksum, raidz

cdef extern from "choice.h" nogil:
    ctypedef struct ub_choice:
        pass
    ctypedef struct ub_candidate:
        const char *name
    ctypedef struct ub_family:
        const char *name
    const ub_candidate *ub_family_in_use(const ub_family *family)
    void ub_family_share(ub_family *family, ub_choice *choice)

cdef extern from "raidz_impl.h" nogil:
    ub_family *ub_raidz_family()

cdef extern from "checksum_impl.h" nogil:
    enum:
        UB_FAMILIES
    ub_family *ub_checksum_family(int family)


cdef int share_choices() except -1:
    """Run the kernels that raidz and checksum have chosen, and will choose."""
    cdef ub_choice *choices = <ub_choice *>PyCapsule_GetPointer(checksum._choices, "uberblock.kernels.checksum._choices")
    cdef int family
    for family in range(UB_FAMILIES):
        ub_family_share(ub_checksum_family(family), &choices[family])
    choices = <ub_choice *>PyCapsule_GetPointer(raidz._choice, "uberblock.kernels.raidz._choice")
    ub_family_share(ub_raidz_family(), choices)
    return 0


share_choices()


cdef dict kernels_in_use():
    """Name of the kernel that runs, by family."""
    families = {"raidz": ub_family_in_use(ub_raidz_family()).name.decode("ascii")}
    cdef int i
    for i in range(UB_FAMILIES):
        name = ub_checksum_family(i).name.decode("ascii")
        families[name] = ub_family_in_use(ub_checksum_family(i)).name.decode("ascii")
    return families
