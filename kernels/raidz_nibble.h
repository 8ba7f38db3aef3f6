/* Multiplication by a constant through two tables of 16 entries, one for each half of a byte. */
#ifndef UB_RAIDZ_NIBBLE_H
#define UB_RAIDZ_NIBBLE_H

#include <stdint.h>

/* The sums of 0 .. 7 of the constants a, 2a, 4a (entry i: by the bits of i), in bytes from the lowest up. */
static inline uint64_t ub_nibble_sums(uint64_t a, uint64_t a2, uint64_t a4)
{
    const uint64_t every = UINT64_C(0x0101010101010101);
    return (a * every & UINT64_C(0xff00ff00ff00ff00)) ^ (a2 * every & UINT64_C(0xffff0000ffff0000)) ^
           (a4 * every & UINT64_C(0xffffffff00000000));
}

/* table[0], table[1]: c times 0 .. 15; table[2], table[3]: c times 0x00, 0x10 .. 0xf0. Words are
 * little-endian. */
static inline void ub_nibble_tables(uint8_t c, uint64_t table[4])
{
    uint64_t power[8];
    power[0] = c;
    for (int i = 1; i < 8; i++)
        power[i] = (power[i - 1] << 1 & 0xff) ^ (power[i - 1] >> 7) * 0x1d;
    for (int half = 0; half < 2; half++) {
        const uint64_t *const a = power + 4 * half;
        table[2 * half] = ub_nibble_sums(a[0], a[1], a[2]);
        table[2 * half + 1] = table[2 * half] ^ a[3] * UINT64_C(0x0101010101010101);
    }
}

#endif
