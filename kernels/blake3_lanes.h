/* BLAKE3's compression function for several chunks or parent nodes side by side, written once for plain C and
 * every vector instruction set: lane j of each vector belongs to node j.
 *
 * The including file defines UB_LANES, UB_NARROW, UB_KERNEL, UB_KERNEL_NAME, UB_MANY_REGISTERS where there are 32 vector
 * registers, and for vectors of UB_LANES
 * words of 32 bits:
 *     ub_vec, ub_add(a, b), ub_xor(a, b), ub_rotr(v, bits)
 *     ub_splat(word)           the word in every lane
 *     ub_load(p)               a word for each lane
 *     ub_message(w, p, at)     the 16 words, from little-endian bytes, at p[lane] + at
 *     ub_output(p, v)          8 words, as little-endian bytes, to p[lane]
 *
 * Source: BLAKE3, one function, fast everywhere (O'Connor, Aumasson, Neves, Wilcox-O'Hearn), 2.2 to 2.4.
 */
#include "blake3_impl.h"

#if defined(UB_MANY_REGISTERS)
/* Half of the mixing function, on four independent quarters of the state at once: columns (s = 0), or
 * diagonals (s = 1), where the second, third and fourth row begin one, two and three columns further. */
#define COLUMN(row, shift, i) v[(row) + (((i) + (shift)) & 3)]
#define HALF(s, m0, m1, m2, m3, bits_d, bits_b)                                          \
    do {                                                                                 \
        COLUMN(0, 0, 0) = ub_add(ub_add(COLUMN(0, 0, 0), w[m0]), COLUMN(4, s, 0));       \
        COLUMN(0, 0, 1) = ub_add(ub_add(COLUMN(0, 0, 1), w[m1]), COLUMN(4, s, 1));       \
        COLUMN(0, 0, 2) = ub_add(ub_add(COLUMN(0, 0, 2), w[m2]), COLUMN(4, s, 2));       \
        COLUMN(0, 0, 3) = ub_add(ub_add(COLUMN(0, 0, 3), w[m3]), COLUMN(4, s, 3));       \
        for (int i = 0; i < 4; i++)                                                      \
            COLUMN(12, 3 * s, i) = ub_xor(COLUMN(12, 3 * s, i), COLUMN(0, 0, i));        \
        for (int i = 0; i < 4; i++)                                                      \
            COLUMN(12, 3 * s, i) = ub_rotr(COLUMN(12, 3 * s, i), bits_d);                \
        for (int i = 0; i < 4; i++)                                                      \
            COLUMN(8, 2 * s, i) = ub_add(COLUMN(8, 2 * s, i), COLUMN(12, 3 * s, i));     \
        for (int i = 0; i < 4; i++)                                                      \
            COLUMN(4, s, i) = ub_xor(COLUMN(4, s, i), COLUMN(8, 2 * s, i));              \
        for (int i = 0; i < 4; i++)                                                      \
            COLUMN(4, s, i) = ub_rotr(COLUMN(4, s, i), bits_b);                          \
    } while (0)

#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15)      \
    HALF(0, m0, m2, m4, m6, 16, 12);                                                     \
    HALF(0, m1, m3, m5, m7, 8, 7);                                                       \
    HALF(1, m8, m10, m12, m14, 16, 12);                                                  \
    HALF(1, m9, m11, m13, m15, 8, 7)
#else
/* Where sixteen registers hold the state and nothing else, one mixing function after the other: what is put aside
 * meanwhile is not wanted soon. */
#define HALF_MIX(a, b, c, d, m, bits_d, bits_b)                                          \
    (v[a] = ub_add(ub_add(v[a], w[m]), v[b]), v[d] = ub_rotr(ub_xor(v[d], v[a]), bits_d), \
     v[c] = ub_add(v[c], v[d]), v[b] = ub_rotr(ub_xor(v[b], v[c]), bits_b))
#define MIX(a, b, c, d, m0, m1) HALF_MIX(a, b, c, d, m0, 16, 12), HALF_MIX(a, b, c, d, m1, 8, 7)
#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15)      \
    MIX(0, 4, 8, 12, m0, m1);                                                            \
    MIX(1, 5, 9, 13, m2, m3);                                                            \
    MIX(2, 6, 10, 14, m4, m5);                                                           \
    MIX(3, 7, 11, 15, m6, m7);                                                           \
    MIX(0, 5, 10, 15, m8, m9);                                                           \
    MIX(1, 6, 11, 12, m10, m11);                                                         \
    MIX(2, 7, 8, 13, m12, m13);                                                          \
    MIX(3, 4, 9, 14, m14, m15)
#endif

static void ub_hash(const uint32_t key[8], const ub_blake3_call *call, const ub_blake3_lanes *lanes)
{
    ub_vec h[8];
    for (int i = 0; i < 8; i++)
        h[i] = ub_splat(key[i]);
    for (size_t block = 0; block < call->nblocks; block++) {
        const int last = block + 1 == call->nblocks;
        const uint32_t flags = call->flags | (block == 0 ? call->first : 0);
        ub_vec w[16], v[16];
        ub_message(w, lanes->p, block * UB_BLAKE3_BLOCK);
        for (int i = 0; i < 8; i++)
            v[i] = h[i];
        for (int i = 0; i < 4; i++)
            v[8 + i] = ub_splat(ub_blake3_initial[i]);
        v[12] = ub_load(lanes->counter_low);
        v[13] = ub_load(lanes->counter_high);
        v[14] = last ? ub_load(lanes->last_length) : ub_splat(UB_BLAKE3_BLOCK);
        v[15] = last ? ub_xor(ub_splat(flags), ub_load(lanes->last_flags)) : ub_splat(flags);
        ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
        ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
        ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
        ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
        ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
        ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);
        for (int i = 0; i < 8; i++)
            h[i] = ub_xor(v[i], v[i + 8]);
    }
    ub_output(lanes->out, h);
}

const ub_blake3_kernel UB_KERNEL = {UB_KERNEL_NAME, UB_LANES, UB_NARROW, ub_hash};
