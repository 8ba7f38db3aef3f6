/* Which of several implementations of the same thing runs.
 *
 * A family is a table of candidates, best first by measurement, the last one plain C. The choice is made on
 * first use, or by name, and is one atomic pointer; two threads that meet there make the same choice.
 *
 * The extension modules are linked each with its own copy of this code. That there is still one choice for
 * the process comes from ub_family_share: the modules that only use a family take the place of its choice
 * from the module that owns it.
 */
#ifndef UB_CHOICE_H
#define UB_CHOICE_H

#include <stdatomic.h>
#include <stddef.h>

#include "ub_status.h"

/* What a candidate may need of the processor (and of an operating system that saves its registers). */
enum {
    UB_CPU_SSSE3 = 1,
    UB_CPU_AVX2 = 2,
    UB_CPU_AVX512 = 4, /* F, BW, VL and DQ */
    UB_CPU_GFNI = 8,
    UB_CPU_SHANI = 16, /* and SSE4.1 */
    UB_CPU_NEON = 32,
    UB_CPU_FEATURES = 6, /* how many bits these are */
};

/* Why the candidate in use is in use. */
enum {
    UB_BY_ORDER = 0,       /* the first that this machine can run */
    UB_BY_ENVIRONMENT = 1, /* the environment names it */
    UB_BY_CALL = 2,        /* the program asked for it */
};

typedef struct {
    const char *name;   /* NULL ends the table */
    const void *kernel; /* NULL: not in this build */
    unsigned needs;     /* UB_CPU_* */
} ub_candidate;

typedef struct {
    _Atomic(const ub_candidate *) candidate; /* NULL: not chosen yet */
    atomic_int why;
} ub_choice;

typedef struct {
    const char *name;
    const char *variable; /* of the environment */
    const ub_candidate *candidates;
    ub_choice *choice;
} ub_family;

/* The features of this processor, and the name of feature `bit` (0 .. UB_CPU_FEATURES - 1). */
unsigned ub_cpu_features(void);
const char *ub_cpu_feature_name(int bit);

/* The candidate of that name, or NULL. */
const ub_candidate *ub_family_find(const ub_family *family, const char *name);

/* UB_RUNNABLE, UB_UNKNOWN (also for NULL), UB_NOT_BUILT or UB_NOT_RUNNABLE. */
int ub_candidate_status(const ub_candidate *candidate);

/* Uses the candidate `name` from now on, in every thread; `why` is noted. NULL: the one that the environment
 * names if it can run, else the best. Returns its name, or NULL (nothing changed) where `name` cannot run. */
const char *ub_family_select(const ub_family *family, const char *name, int why);

/* The candidate in use; chosen now, if none was. */
const ub_candidate *ub_family_in_use(const ub_family *family);

/* From now on the choice is the one that lies at `choice`, in another module. Before any other thread can
 * call the family. */
void ub_family_share(ub_family *family, ub_choice *choice);

#endif
