/* The decoders under AddressSanitizer and UndefinedBehaviorSanitizer.
 *
 * Streams are made by chance, hurt by chance, and decoded from and into blocks of the heap of exactly their
 * size, so that a single byte read or written outside is seen. Every answer, yes or no, is compared with a
 * decoder that goes byte by byte and looks at every bound.
 *
 * usage: decompress_check ROUNDS SEED
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decompress_impl.h"

#define PLAIN_MAX 6000
#define STORED_MAX (2 * PLAIN_MAX)

static uint64_t random_state;

static uint64_t chance(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static void fail(const char *what, int id, size_t n, size_t m)
{
    fprintf(stderr, "%s: compression %d, %zu stored, %zu plain\n", what, id, n, m);
    exit(1);
}

/* --- the same decoders, slowly -------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *src;
    uint8_t *dst;
    size_t n, m, in, out;
} stream;

static int literal(stream *s, size_t count)
{
    for (; count != 0; count--) {
        if (s->in >= s->n || s->out >= s->m)
            return -1;
        s->dst[s->out++] = s->src[s->in++];
    }
    return 0;
}

static int repeat(stream *s, size_t distance, size_t count)
{
    for (; count != 0; count--, s->out++) {
        if (distance == 0 || distance > s->out || s->out >= s->m)
            return -1;
        s->dst[s->out] = s->dst[s->out - distance];
    }
    return 0;
}

static int byte(stream *s)
{
    return s->in < s->n ? s->src[s->in++] : -1;
}

static int slow_lzjb(stream *s)
{
    while (s->out < s->m) {
        int control = byte(s);
        if (control < 0)
            return -1;
        for (int bit = 0; bit < 8 && s->out < s->m; bit++) {
            if ((control >> bit & 1) == 0) {
                if (literal(s, 1))
                    return -1;
                continue;
            }
            int high = byte(s), low = byte(s);
            if (low < 0 || repeat(s, (size_t)(high & 3) << 8 | (size_t)low, (size_t)(high >> 2) + 3))
                return -1;
        }
    }
    return 0;
}

static int slow_zle(stream *s)
{
    while (s->out < s->m) {
        int code = byte(s);
        if (code < 0)
            return -1;
        if (code < 64) {
            if (literal(s, (size_t)code + 1))
                return -1;
            continue;
        }
        for (int i = 0; i < code - 63; i++) {
            if (s->out >= s->m)
                return -1;
            s->dst[s->out++] = 0;
        }
    }
    return 0;
}

static int slow_count(stream *s, size_t *count)
{
    int more = *count == 15 ? 255 : 0;
    while (more == 255) {
        more = byte(s);
        if (more < 0)
            return -1;
        *count += (size_t)more;
    }
    return 0;
}

static int slow_lz4(stream *s)
{
    size_t length = 0;
    for (int i = 0; i < 4; i++) {
        int next = byte(s);
        if (next < 0)
            return -1;
        length = length << 8 | (size_t)next;
    }
    if (length > s->n - 4)
        return -1;
    s->n = 4 + length;
    for (;;) {
        int token = byte(s);
        if (token < 0)
            return -1;
        size_t literals = (size_t)token >> 4, match = (size_t)token & 15;
        if (slow_count(s, &literals) || literal(s, literals))
            return -1;
        if (s->in == s->n)
            return s->out == s->m ? 0 : -1;
        int low = byte(s), high = byte(s);
        if (high < 0 || slow_count(s, &match) || repeat(s, (size_t)high << 8 | (size_t)low, match + 4))
            return -1;
    }
}

static int slow(int id, const uint8_t *src, size_t n, uint8_t *dst, size_t m)
{
    stream s = {src, dst, n, m, 0, 0};
    return id == UB_COMPRESS_LZJB ? slow_lzjb(&s) : id == UB_COMPRESS_ZLE ? slow_zle(&s) : slow_lz4(&s);
}

/* --- streams by chance ---------------------------------------------------------------------------------- */

typedef struct {
    uint8_t bytes[STORED_MAX];
    size_t n; /* stored so far */
    size_t m; /* what it stands for */
} made;

static void put(made *s, uint64_t value)
{
    if (s->n < STORED_MAX)
        s->bytes[s->n++] = (uint8_t)value;
}

static void put_noise(made *s, size_t count)
{
    s->m += count;
    while (count-- != 0)
        put(s, chance(256));
}

static size_t some_distance(size_t most)
{
    size_t distance = chance(4) != 0 ? 1 + chance(40) : 1 + chance(2000);
    return distance <= most ? distance : most;
}

static size_t some_count(size_t most)
{
    static const size_t edges[] = {0, 1, 7, 11, 12, 13, 14, 15, 16, 17, 28, 29, 45, 60, 61, 62, 269, 270};
    size_t count = chance(3) != 0 ? edges[chance(sizeof edges / sizeof edges[0])] : chance(400);
    return count <= most ? count : most;
}

static void make_lzjb(made *s, int groups)
{
    while (groups-- > 0) {
        size_t control = s->n;
        int literals_only = chance(3) == 0;
        put(s, 0);
        for (int bit = 0; bit < 8; bit++) {
            if (literals_only || s->m == 0 || chance(2) == 0) {
                put_noise(s, 1);
                continue;
            }
            size_t distance = some_distance(s->m < 1023 ? s->m : 1023), length = 3 + chance(64);
            s->bytes[control] |= (uint8_t)(1u << bit);
            put(s, (length - 3) << 2 | distance >> 8);
            put(s, distance & 255);
            s->m += length;
        }
    }
}

static void make_zle(made *s, int runs)
{
    while (runs-- > 0) {
        unsigned code = (unsigned)chance(256);
        put(s, code);
        if (code < 64)
            put_noise(s, code + 1);
        else
            s->m += code - 63;
    }
}

static void put_count(made *s, size_t count)
{
    if (count < 15)
        return;
    for (count -= 15; count >= 255; count -= 255)
        put(s, 255);
    put(s, count);
}

/* The last sequence, and the length word. */
static void finish_lz4(made *s, size_t last)
{
    put(s, (last < 15 ? last : 15) << 4);
    put_count(s, last);
    put_noise(s, last);
    for (int i = 0; i < 4; i++)
        s->bytes[i] = (uint8_t)((s->n - 4) >> (24 - 8 * i));
}

static void make_lz4(made *s, int sequences)
{
    s->n = 4;
    while (sequences-- > 0) {
        size_t literals = some_count(300), match = some_count(700);
        if (s->m == 0 && literals == 0)
            literals = 1;
        put(s, (literals < 15 ? literals : 15) << 4 | (match < 15 ? match : 15));
        put_count(s, literals);
        put_noise(s, literals);
        size_t distance = some_distance(s->m < 65535 ? s->m : 65535);
        put(s, distance & 255);
        put(s, distance >> 8);
        put_count(s, match);
        s->m += match + 4;
    }
    finish_lz4(s, some_count(40));
}

static void hurt(made *s)
{
    for (uint64_t times = chance(4) == 0 ? 1 + chance(8) : chance(2); times != 0 && s->n != 0; times--) {
        size_t at = chance(4) == 0 ? s->n - 1 - chance(s->n < 30 ? s->n : 30) : chance(s->n);
        switch (chance(4)) {
        case 0:
            s->bytes[at] ^= (uint8_t)(1u << chance(8));
            break;
        case 1:
            s->bytes[at] = (uint8_t)(chance(2) != 0 ? 255 * chance(2) : chance(256));
            break;
        case 2:
            s->n = at;
            break;
        default:
            memmove(s->bytes + at, s->bytes + at + 1, s->n - at - 1);
            s->n--;
        }
    }
}

/* --- comparison ----------------------------------------------------------------------------------------- */

/* Returns whether it was a stream. */
static int compare(int id, const uint8_t *bytes, size_t n, size_t m)
{
    uint8_t *src = malloc(n), *got = malloc(m), *want = calloc(m + 1, 1);
    if ((n != 0 && src == NULL) || (m != 0 && got == NULL) || want == NULL)
        fail("no memory", id, n, m);
    if (n != 0)
        memcpy(src, bytes, n);
    int right = slow(id, src, n, want, m), answer = ub_decompress(id, src, n, got, m);
    if ((answer != UB_OK) != (right != 0))
        fail(right == 0 ? "refused a good stream" : "took a bad stream", id, n, m);
    if (answer == UB_OK && m != 0 && memcmp(got, want, m) != 0)
        fail("wrong bytes", id, n, m);
    free(src);
    free(got);
    free(want);
    return answer == UB_OK;
}

/* Every short sequence right before the end, where copies may no longer run over: all counts of literals,
 * copied bytes and final literals up to a little more than fits a token, at distances of every kind. */
static void compare_ends(void)
{
    static const size_t distances[] = {1, 3, 7, 8, 12, 16, 20};
    static made s;
    for (size_t literals = 0; literals < 18; literals++) {
        for (size_t match = 0; match < 18; match++) {
            for (size_t last = 0; last < 18; last++) {
                size_t distance = distances[(literals + match + last) % 7];
                s.n = 4;
                s.m = 0;
                put(&s, 15 << 4 | (literals & 7));
                put_count(&s, 20);
                put_noise(&s, 20);
                put(&s, 20);
                put(&s, 0);
                s.m += 4 + (literals & 7);
                put(&s, (literals < 15 ? literals : 15) << 4 | (match < 15 ? match : 15));
                put_count(&s, literals);
                put_noise(&s, literals);
                put(&s, distance);
                put(&s, 0);
                put_count(&s, match);
                s.m += match + 4;
                finish_lz4(&s, last);
                if (!compare(UB_COMPRESS_LZ4, s.bytes, s.n, s.m))
                    fail("a stream as made is not good", UB_COMPRESS_LZ4, s.n, s.m);
                for (size_t m = s.m - 20; m < s.m; m++)
                    compare(UB_COMPRESS_LZ4, s.bytes, s.n, m);
            }
        }
    }
}

int main(int argc, char **argv)
{
    static const int ids[] = {UB_COMPRESS_LZJB, UB_COMPRESS_ZLE, UB_COMPRESS_LZ4};
    static made s;
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000, good = 0;
    random_state = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    compare_ends();
    for (unsigned long round = 0; round < rounds; round++) {
        int id = ids[round % 3], size = (int)chance(9);
        memset(&s, 0, sizeof s);
        if (id == UB_COMPRESS_LZJB)
            make_lzjb(&s, size);
        else if (id == UB_COMPRESS_ZLE)
            make_zle(&s, size);
        else
            make_lz4(&s, size);
        if (s.n > STORED_MAX - 2 || s.m > PLAIN_MAX)
            continue;
        if (!compare(id, s.bytes, s.n, s.m))
            fail("a stream as made is not good", id, s.n, s.m);
        hurt(&s);
        size_t m = s.m - chance(s.m < 9 ? s.m + 1 : 9);
        if (chance(3) == 0)
            m = chance(s.m + 20);
        good += (unsigned long)compare(id, s.bytes, s.n, m);
    }
    printf("%lu rounds, %lu hurt streams were still good\n", rounds, good);
    return 0;
}
