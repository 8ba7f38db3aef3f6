/* CRC-64 as the hash of ZAP keys, one table lookup a byte. */
#include "byteorder.h"
#include "zaphash_impl.h"

/* A CRC is linear: the table's entry of a byte is the sum of the entries of its bits. These eight are the
 * polynomial and what seven further shifts of it leave. */
#define BIT(i, n, entry) ((i) >> (n) & 1 ? UINT64_C(entry) : 0)
#define ENTRY(i) \
    (BIT(i, 0, 0xb32e4cbe03a75f6f) ^ BIT(i, 1, 0xf4843657a840a05b) ^ BIT(i, 2, 0x7bd0c384ff8f5e33) ^ \
     BIT(i, 3, 0xf7a18709ff1ebc66) ^ BIT(i, 4, 0x7d9ba13851336649) ^ BIT(i, 5, 0xfb374270a266cc92) ^ \
     BIT(i, 6, 0x64b62bcaebc387a1) ^ BIT(i, 7, 0xc96c5795d7870f42))
#define ENTRIES4(i) ENTRY(i), ENTRY((i) + 1), ENTRY((i) + 2), ENTRY((i) + 3)
#define ENTRIES16(i) ENTRIES4(i), ENTRIES4((i) + 4), ENTRIES4((i) + 8), ENTRIES4((i) + 12)
#define ENTRIES64(i) ENTRIES16(i), ENTRIES16((i) + 16), ENTRIES16((i) + 32), ENTRIES16((i) + 48)

static const uint64_t table[256] = {ENTRIES64(0), ENTRIES64(64), ENTRIES64(128), ENTRIES64(192)};

static inline uint64_t shift(uint64_t h, unsigned byte)
{
    return h >> 8 ^ table[(h ^ byte) & 255];
}

uint64_t ub_zap_hash_name(uint64_t salt, const uint8_t *name, size_t n)
{
    uint64_t h = salt;
    for (size_t i = 0; i < n; i++)
        h = shift(h, name[i]);
    return h;
}

uint64_t ub_zap_hash_words(uint64_t salt, const uint8_t *words, size_t count)
{
    uint64_t h = salt;
    for (size_t i = 0; i < count; i++) {
        uint64_t word = ub_load64(words + 8 * i);
        for (int j = 0; j < 8; j++, word >>= 8)
            h = shift(h, word & 255);
    }
    return h;
}
