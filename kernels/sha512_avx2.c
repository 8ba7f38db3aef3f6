/* SHA-512 with AVX2: the rounds one block after the other, the schedules of four blocks at once.
 *
 * The schedule depends on the message alone, so lane j of a vector computes the one of block j, and no word
 * needs a neighbour. It runs one group of four blocks ahead, two words in every eight rounds: the rounds, one
 * long chain in the general registers, leave the vector units idle.
 */
#include <immintrin.h>

#include "checksum_impl.h"
#include "sha2_constants.h"

#define INLINE static inline __attribute__((always_inline))
#define LANES 4
#define BLOCK 128
#define ROUNDS 80
#define WORDS 16 /* of the message; the other 64 words of a schedule follow from them */
#define AHEAD 20 /* words of the next schedule computed during one block: two in eight rounds */

INLINE __m256i rotr(__m256i x, const int n)
{
    return _mm256_or_si256(_mm256_srli_epi64(x, n), _mm256_slli_epi64(x, 64 - n));
}

INLINE __m256i xor3(__m256i a, __m256i b, __m256i c)
{
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}

/* Where the next words of the schedules go. */
typedef struct {
    __m256i *w, *ready;
    const uint64_t *constant;
} cursor;

INLINE void put(cursor *to, __m256i w)
{
    *to->w++ = w;
    *to->ready++ = _mm256_add_epi64(w, _mm256_set1_epi64x((long long)*to->constant++));
}

/* The next word of the schedules, from the sixteen before it. */
INLINE void extend(cursor *to)
{
    const __m256i *w = to->w, old = w[-15], new = w[-2];
    __m256i lower0 = xor3(rotr(old, 1), rotr(old, 8), _mm256_srli_epi64(old, 7));
    __m256i lower1 = xor3(rotr(new, 19), rotr(new, 61), _mm256_srli_epi64(new, 6));
    put(to, _mm256_add_epi64(_mm256_add_epi64(w[-16], lower1), _mm256_add_epi64(w[-7], lower0)));
}

/* The first sixteen words: the message, four words of four blocks turned at a time. */
static void load(cursor *to, const uint8_t *p)
{
    const __m128i half = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i order = _mm256_broadcastsi128_si256(half);
    for (int t = 0; t < WORDS; t += LANES, p += 8 * LANES) {
        __m256i row[LANES];
        for (int j = 0; j < LANES; j++) {
            row[j] = _mm256_loadu_si256((const __m256i *)(const void *)(p + j * BLOCK));
            row[j] = _mm256_shuffle_epi8(row[j], order);
        }
        const __m256i even01 = _mm256_unpacklo_epi64(row[0], row[1]);
        const __m256i even23 = _mm256_unpacklo_epi64(row[2], row[3]);
        const __m256i odd01 = _mm256_unpackhi_epi64(row[0], row[1]);
        const __m256i odd23 = _mm256_unpackhi_epi64(row[2], row[3]);
        put(to, _mm256_permute2x128_si256(even01, even23, 0x20));
        put(to, _mm256_permute2x128_si256(odd01, odd23, 0x20));
        put(to, _mm256_permute2x128_si256(even01, even23, 0x31));
        put(to, _mm256_permute2x128_si256(odd01, odd23, 0x31));
    }
}

INLINE uint64_t rotr64(uint64_t x, int n)
{
    return x >> n | x << (64 - n);
}

/* The majority of a, b and c is ((a ^ b) & (b ^ c)) ^ b; b_c comes from the round before. upper1 goes to d
 * last and directly: that chain is the one that sets the pace. */
#define ROUND(a, b, c, d, e, f, g, h, word)                                                       \
    do {                                                                                          \
        (h) += (word);                                                                            \
        (h) += (((f) ^ (g)) & (e)) ^ (g);                                                         \
        const uint64_t upper1 = rotr64(e, 14) ^ rotr64(e, 18) ^ rotr64(e, 41);                    \
        (d) += (h);                                                                               \
        (d) += upper1;                                                                            \
        (h) += upper1;                                                                            \
        const uint64_t a_b = (a) ^ (b);                                                           \
        (h) += (a_b & b_c) ^ (b);                                                                 \
        (h) += rotr64(a, 28) ^ rotr64(a, 34) ^ rotr64(a, 39);                                     \
        b_c = a_b;                                                                                \
    } while (0)

/* One block, whose words lie LANES apart at k; meanwhile, if `next`, AHEAD words of the schedules to come. */
INLINE void rounds(uint64_t state[8], const uint64_t *k, cursor *next)
{
    uint64_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint64_t e = state[4], f = state[5], g = state[6], h = state[7], b_c = b ^ c;
    for (int t = 0; t < ROUNDS; t += 8, k += 8 * LANES) {
        ROUND(a, b, c, d, e, f, g, h, k[0]);
        ROUND(h, a, b, c, d, e, f, g, k[LANES]);
        ROUND(g, h, a, b, c, d, e, f, k[2 * LANES]);
        ROUND(f, g, h, a, b, c, d, e, k[3 * LANES]);
        if (next)
            extend(next);
        ROUND(e, f, g, h, a, b, c, d, k[4 * LANES]);
        ROUND(d, e, f, g, h, a, b, c, k[5 * LANES]);
        ROUND(c, d, e, f, g, h, a, b, k[6 * LANES]);
        ROUND(b, c, d, e, f, g, h, a, k[7 * LANES]);
        if (next)
            extend(next);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

static __attribute__((noinline)) void rounds_only(uint64_t state[8], const __m256i *ready, int block)
{
    rounds(state, (const uint64_t *)(const void *)ready + block, NULL);
}

static __attribute__((noinline)) void rounds_ahead(uint64_t state[8], const __m256i *ready, int block,
                                                   cursor *next)
{
    cursor to = *next; /* a copy that nobody else can see stays in registers */
    rounds(state, (const uint64_t *)(const void *)ready + block, &to);
    *next = to;
}

static void blocks(uint64_t state[8], const uint8_t *p, size_t nblocks)
{
    __m256i w[ROUNDS];        /* schedule words of the group to come */
    __m256i ready[2][ROUNDS]; /* with the round constants added, of this group and of the one to come */
    int now = 0;
    if (nblocks >= LANES) {
        cursor to = {w, ready[now], ub_sha512_constants};
        load(&to, p);
        while (to.w != w + ROUNDS)
            extend(&to);
    }
    for (; nblocks >= LANES; nblocks -= LANES, p += LANES * BLOCK, now ^= 1) {
        int block = 0;
        if (nblocks >= 2 * LANES) {
            cursor to = {w, ready[now ^ 1], ub_sha512_constants};
            load(&to, p + LANES * BLOCK);
            for (; w + ROUNDS - to.w >= AHEAD; block++)
                rounds_ahead(state, ready[now], block, &to);
            while (to.w != w + ROUNDS)
                extend(&to);
        }
        for (; block < LANES; block++)
            rounds_only(state, ready[now], block);
    }
    ub_sha512_scalar.blocks(state, p, nblocks);
}

const ub_sha512_kernel ub_sha512_avx2 = {"avx2", blocks};
