/* What the checksum and decompression kernels return. */
#ifndef UB_STATUS_H
#define UB_STATUS_H

enum {
    UB_OK = 0,
    UB_CORRUPT = 1,     /* no stream of that kind, or one that gives another length than asked for */
    UB_UNSUPPORTED = 2, /* an id this kernel does not know, or leaves to others */
    UB_BAD_LENGTH = 3,  /* a checksum over a length it is not defined for */
    UB_NO_SALT = 4,     /* a salted checksum without the pool's salt */
};

/* What a request for a named implementation meets. */
enum {
    UB_RUNNABLE = 0,
    UB_UNKNOWN = 1,      /* nothing was ever called that */
    UB_NOT_BUILT = 2,    /* not in this build: other processor family, or a compiler without it */
    UB_NOT_RUNNABLE = 3, /* built, but this machine lacks the instructions */
};

#endif
