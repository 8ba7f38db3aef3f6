/* Multiplication by a constant as an 8x8 matrix over bits, the operand of GF2P8AFFINEQB.
 *
 * The instruction takes the row of result bit i from byte 7-i of the matrix. Multiplication is linear in the
 * constant too, so the matrix of c is the sum of those of its bits; the table is made by the preprocessor
 * from these eight.
 */
#ifndef UB_RAIDZ_GFNI_H
#define UB_RAIDZ_GFNI_H

#include <stdint.h>

#define UB_GFNI_BIT(c, b, m) ((c) >> (b)&1 ? UINT64_C(m) : 0)
#define UB_GFNI_MATRIX(c)                                                                                    \
    (UB_GFNI_BIT(c, 0, 0x0102040810204080) ^ UB_GFNI_BIT(c, 1, 0x8001828488102040) ^                         \
     UB_GFNI_BIT(c, 2, 0x408041c2c4881020) ^ UB_GFNI_BIT(c, 3, 0x2040a061e2c48810) ^                         \
     UB_GFNI_BIT(c, 4, 0x102050b071e2c488) ^ UB_GFNI_BIT(c, 5, 0x8810a8d83871e2c4) ^                         \
     UB_GFNI_BIT(c, 6, 0xc488d46c1c3871e2) ^ UB_GFNI_BIT(c, 7, 0xe2c46a368e1c3871))

#define UB_GFNI_4(c)                                                                                         \
    UB_GFNI_MATRIX(c), UB_GFNI_MATRIX((c) + 1), UB_GFNI_MATRIX((c) + 2), UB_GFNI_MATRIX((c) + 3)
#define UB_GFNI_16(c) UB_GFNI_4(c), UB_GFNI_4((c) + 4), UB_GFNI_4((c) + 8), UB_GFNI_4((c) + 12)
#define UB_GFNI_64(c) UB_GFNI_16(c), UB_GFNI_16((c) + 16), UB_GFNI_16((c) + 32), UB_GFNI_16((c) + 48)

static const uint64_t ub_gfni_matrix[256] = {UB_GFNI_64(0), UB_GFNI_64(64), UB_GFNI_64(128), UB_GFNI_64(192)};

#endif
