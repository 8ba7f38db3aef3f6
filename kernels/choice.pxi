"""Choosing among implementations, from Python: what raidz.pyx and checksum.pyx share (see choice.h)."""

import os

cdef extern from "choice.h" nogil:
    enum:
        UB_UNKNOWN
        UB_NOT_BUILT
        UB_NOT_RUNNABLE
        UB_RUNNABLE
        UB_CPU_FEATURES
        UB_BY_ORDER
        UB_BY_ENVIRONMENT
        UB_BY_CALL
    ctypedef struct ub_candidate:
        const char *name
        const void *kernel
        unsigned needs
    ctypedef struct ub_choice:
        int why
    ctypedef struct ub_family:
        const char *name
        const char *variable
        const ub_candidate *candidates
        ub_choice *choice
    unsigned ub_cpu_features()
    const char *ub_cpu_feature_name(int bit)
    const ub_candidate *ub_family_find(const ub_family *family, const char *name)
    int ub_candidate_status(const ub_candidate *candidate)
    const char *ub_family_select(const ub_family *family, const char *name, int why)
    const ub_candidate *ub_family_in_use(const ub_family *family)

REASONS = {UB_BY_ORDER: "order", UB_BY_ENVIRONMENT: "environment", UB_BY_CALL: "call"}


cdef str text(const char *name):
    return name.decode("ascii")


cdef tuple names_of(const ub_family *family, bint runnable):
    """Names of the candidates, best first: all of them, or those that can run here."""
    found = []
    cdef const ub_candidate *c = family.candidates
    while c.name != NULL:
        if not runnable or ub_candidate_status(c) == UB_RUNNABLE:
            found.append(text(c.name))
        c += 1
    return tuple(found)


cdef str name_in_use(const ub_family *family):
    return text(ub_family_in_use(family).name)


cdef tuple feature_names(unsigned features):
    cdef int bit
    return tuple([text(ub_cpu_feature_name(bit)) for bit in range(UB_CPU_FEATURES) if features >> bit & 1])


cdef dict described(const ub_family *family):
    """A family as ``uberblock.kernels.FamilyInfo`` has it."""
    cdef const ub_candidate *c = family.candidates
    cdef dict needs = {}
    cdef list built = []
    while c.name != NULL:
        needs[text(c.name)] = feature_names(c.needs)
        if c.kernel != NULL:
            built.append(text(c.name))
        c += 1
    return {
        "used": name_in_use(family),
        "why": REASONS[family.choice.why],
        "variable": text(family.variable),
        "order": names_of(family, False),
        "built": tuple(built),
        "runnable": names_of(family, True),
        "needs": needs,
    }


cdef int choose(const ub_family *family, object name) except -1:
    """Use the candidate ``name``; None: the one that the environment names, or the best."""
    cdef int why = UB_BY_CALL, status
    if name is None:
        name = os.environ.get(text(family.variable)) or None
        why = UB_BY_ENVIRONMENT
    if name is None:
        ub_family_select(family, NULL, UB_BY_ORDER)
        return 0
    cdef bytes wanted = name.encode("utf-8")
    cdef str kind = text(family.name)
    status = ub_candidate_status(ub_family_find(family, wanted))
    if status == UB_UNKNOWN:
        known = ", ".join(names_of(family, False))
        raise ValueError(f"no {kind} kernel is called {name!r}; known are {known}")
    if status == UB_NOT_BUILT:
        raise NotImplementedError(f"the {kind} kernel {name!r} is not in this build")
    if status == UB_NOT_RUNNABLE:
        raise RuntimeError(f"the {kind} kernel {name!r} needs instructions this processor lacks")
    ub_family_select(family, wanted, why)
    return 0
