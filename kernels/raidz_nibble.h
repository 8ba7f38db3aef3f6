/* Multiplication by a constant through two tables of 16 entries, one for each half of a byte.
 *
 * Multiplication is linear in the constant too, so the tables of c are the sum of those of its bits; all 256 are made
 * by the preprocessor from these eight. Words are little-endian.
 */
#ifndef UB_RAIDZ_NIBBLE_H
#define UB_RAIDZ_NIBBLE_H

#include <stdint.h>

#define UB_NIBBLE_BIT(c, b, w) ((c) >> (b)&1 ? UINT64_C(w) : 0)
#define UB_NIBBLE_WORD(c, w0, w1, w2, w3, w4, w5, w6, w7)                                                    \
    (UB_NIBBLE_BIT(c, 0, w0) ^ UB_NIBBLE_BIT(c, 1, w1) ^ UB_NIBBLE_BIT(c, 2, w2) ^ UB_NIBBLE_BIT(c, 3, w3) ^  \
     UB_NIBBLE_BIT(c, 4, w4) ^ UB_NIBBLE_BIT(c, 5, w5) ^ UB_NIBBLE_BIT(c, 6, w6) ^ UB_NIBBLE_BIT(c, 7, w7))

/* c times 0 .. 15, then c times 0x00, 0x10 .. 0xf0 */
#define UB_NIBBLE_TABLES(c)                                                                                  \
    {UB_NIBBLE_WORD(c, 0x0706050403020100, 0x0e0c0a0806040200, 0x1c1814100c080400, 0x3830282018100800,       \
                    0x7060504030201000, 0xe0c0a08060402000, 0xdd9d5d1dc0804000, 0xa727ba3a9d1d8000),         \
     UB_NIBBLE_WORD(c, 0x0f0e0d0c0b0a0908, 0x1e1c1a1816141210, 0x3c3834302c282420, 0x7870686058504840,       \
                    0xf0e0d0c0b0a09080, 0xfdddbd9d7d5d3d1d, 0xe7a76727faba7a3a, 0xd353ce4ee969f474),         \
     UB_NIBBLE_WORD(c, 0x7060504030201000, 0xe0c0a08060402000, 0xdd9d5d1dc0804000, 0xa727ba3a9d1d8000,       \
                    0x534e6974273a1d00, 0xa69cd2e84e743a00, 0x5125b9cd9ce87400, 0xa24a6f8725cde800),         \
     UB_NIBBLE_WORD(c, 0xf0e0d0c0b0a09080, 0xfdddbd9d7d5d3d1d, 0xe7a76727faba7a3a, 0xd353ce4ee969f474,       \
                    0xbba6819ccfd2f5e8, 0x6b511f2583b9f7cd, 0xd6a23e4a1b6ff387, 0xb1597c9436defb13)}

#define UB_NIBBLE_4(c)                                                                                       \
    UB_NIBBLE_TABLES(c), UB_NIBBLE_TABLES((c) + 1), UB_NIBBLE_TABLES((c) + 2), UB_NIBBLE_TABLES((c) + 3)
#define UB_NIBBLE_16(c) UB_NIBBLE_4(c), UB_NIBBLE_4((c) + 4), UB_NIBBLE_4((c) + 8), UB_NIBBLE_4((c) + 12)
#define UB_NIBBLE_64(c) UB_NIBBLE_16(c), UB_NIBBLE_16((c) + 16), UB_NIBBLE_16((c) + 32), UB_NIBBLE_16((c) + 48)

static const _Alignas(64) uint64_t ub_nibble[256][4] = {UB_NIBBLE_64(0), UB_NIBBLE_64(64), UB_NIBBLE_64(128),
                                                        UB_NIBBLE_64(192)};

/* A constant made ready for multiplication: where its tables are. */
typedef const uint64_t *ub_factor;
#define ub_factor_set(f, c) (*(f) = ub_nibble[c])

#endif
