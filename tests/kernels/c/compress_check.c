/* The encoders under AddressSanitizer and UndefinedBehaviorSanitizer.
 *
 * Blocks are made by chance and packed into blocks of the heap of exactly the size allowed, so that a single byte read
 * or written outside is seen. What comes out is unpacked again and compared.
 *
 * usage: compress_check ROUNDS SEED
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress_impl.h"

#define PLAIN_MAX 9000

static uint64_t random_state;

static uint64_t chance(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static void fail(const char *what, int id, size_t n, size_t room)
{
    fprintf(stderr, "%s: compression %d, %zu plain, room for %zu\n", what, id, n, room);
    exit(1);
}

/* Bytes by chance, runs of one byte, and copies of what was before. */
static uint8_t *make_plain(size_t n)
{
    uint8_t *plain = malloc(n + (n == 0));
    for (size_t at = 0; at < n;) {
        size_t length = 1 + chance(chance(4) == 0 ? 400 : 20);
        if (length > n - at)
            length = n - at;
        const uint64_t kind = chance(4);
        const size_t back = at == 0 ? 0 : 1 + chance(at);
        for (size_t k = 0; k < length; k++, at++)
            plain[at] = kind == 0 ? 0 : kind == 1 ? (uint8_t)length : kind == 2 && back != 0 ? plain[at - back] : (uint8_t)chance(256);
    }
    return plain;
}

static size_t pack(int id, const uint8_t *plain, size_t n, size_t room)
{
    uint8_t *packed = malloc(room + (room == 0));
    const size_t size = ub_encoder_of(id)(plain, n, packed, room);
    if (size > room)
        fail("longer than allowed", id, n, room);
    if (size != 0) {
        uint8_t *back = malloc(n);
        if (ub_decompress(id, packed, size, back, n) != UB_OK || memcmp(back, plain, n) != 0)
            fail("does not come back", id, n, room);
        free(back);
    }
    free(packed);
    return size;
}

int main(int argc, char **argv)
{
    static const int ids[] = {UB_COMPRESS_LZJB, UB_COMPRESS_ZLE, UB_COMPRESS_LZ4};
    const long rounds = argc > 1 ? atol(argv[1]) : 1000;
    random_state = argc > 2 ? (uint64_t)atol(argv[2]) * 0x9e3779b97f4a7c15ull + 1 : 1;
    if (ub_encoder_of(UB_COMPRESS_OFF) != NULL)
        fail("an encoder of nothing", UB_COMPRESS_OFF, 0, 0);
    for (long round = 0; round < rounds; round++) {
        const size_t n = 1 + chance(chance(3) == 0 ? PLAIN_MAX : 60);
        uint8_t *plain = make_plain(n);
        for (int k = 0; k < 3; k++) {
            const size_t whole = pack(ids[k], plain, n, 2 * n + 32);
            if (whole == 0)
                fail("does not fit twice its size", ids[k], n, 2 * n + 32);
            pack(ids[k], plain, n, whole);
            if (pack(ids[k], plain, n, chance(whole)) != 0)
                fail("fits less than it needs", ids[k], n, whole);
        }
        free(plain);
    }
    printf("%ld rounds\n", rounds);
    return 0;
}
