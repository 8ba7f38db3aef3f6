/* The checksums under AddressSanitizer and UndefinedBehaviorSanitizer.
 *
 * Every implementation this machine runs sums blocks of the heap of exactly their size, at every alignment,
 * so that a byte read outside is seen, and must give what plain C gives.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum_impl.h"

#define LONGEST 2100

static void compare(int id, int family, const ub_salt *salt, size_t n, size_t shift, int byteswap)
{
    uint64_t want[4], got[4];
    uint8_t *room = malloc(n + shift + (n + shift == 0));
    if (room == NULL)
        exit(2);
    for (size_t i = 0; i < n + shift; i++)
        room[i] = (uint8_t)(i * 167 + i / 251 * 13 + 250);
    ub_checksum_select(family, "scalar");
    if (ub_checksum(id, room + shift, n, byteswap, salt, want) != UB_OK)
        exit(3);
    for (const ub_candidate *c = ub_checksum_family(family)->candidates; c->name != NULL; c++) {
        if (ub_checksum_select(family, c->name) == NULL)
            continue;
        int error = ub_checksum(id, room + shift, n, byteswap, salt, got);
        if (error != UB_OK || memcmp(got, want, sizeof got) != 0) {
            fprintf(stderr, "checksum %d by %s differs: %zu bytes\n", id, c->name, n);
            exit(1);
        }
    }
    free(room);
}

/* Sums that go on, with a copy made on the way, against those of plain C in one go. */
static void compare_parts(size_t n, size_t cut, int byteswap)
{
    uint64_t want[4], whole[4];
    uint8_t *room = malloc(n + (n == 0)), *first = malloc(cut + (cut == 0));
    uint8_t *second = malloc(n - cut + (n == cut));
    if (room == NULL || first == NULL || second == NULL)
        exit(2);
    for (size_t i = 0; i < n; i++)
        room[i] = (uint8_t)(i * 59 + i / 253 + 200);
    ub_checksum_select(UB_FAMILY_FLETCHER, "scalar");
    if (ub_checksum(UB_CHECKSUM_FLETCHER4, room, n, byteswap, NULL, want) != UB_OK)
        exit(3);
    for (const ub_candidate *c = ub_checksum_family(UB_FAMILY_FLETCHER)->candidates; c->name != NULL; c++) {
        if (ub_checksum_select(UB_FAMILY_FLETCHER, c->name) == NULL)
            continue;
        memset(whole, 0, sizeof whole);
        ub_copy_fletcher4(first, room, cut, byteswap, whole);
        ub_copy_fletcher4(second, room + cut, n - cut, byteswap, whole);
        if (memcmp(whole, want, sizeof want) != 0 || memcmp(first, room, cut) != 0 ||
            memcmp(second, room + cut, n - cut) != 0) {
            fprintf(stderr, "copy by %s differs: %zu bytes, %zu first\n", c->name, n, cut);
            exit(1);
        }
    }
    free(room);
    free(first);
    free(second);
}

/* Buffers of many lengths, each a piece of the heap of its own, side by side and one by one. */
static void compare_many(int id, int family, const ub_salt *salt, size_t longest, int byteswap)
{
    enum { COUNT = 150 };
    static uint64_t want[COUNT][4], got[COUNT][4];
    uint8_t *p[COUNT];
    size_t n[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        n[i] = i < 40 ? i * 7 : i < 90 ? longest : i * 2654435761u % longest;
        p[i] = malloc(n[i] + (n[i] == 0));
        if (p[i] == NULL)
            exit(2);
        for (size_t j = 0; j < n[i]; j++)
            p[i][j] = (uint8_t)(j * 31 + j / 77 + i);
        if (ub_checksum(id, p[i], n[i], byteswap, salt, want[i]) != UB_OK)
            exit(3);
    }
    for (const ub_candidate *c = ub_checksum_family(family)->candidates; c->name != NULL; c++) {
        if (ub_checksum_select(family, c->name) == NULL)
            continue;
        for (size_t count = 0; count <= COUNT; count += count < 20 ? 1 : 65) {
            memset(got, 0, sizeof got);
            int error = ub_checksum_many(id, count, (const uint8_t *const *)p, n, byteswap, salt, got, NULL);
            if (error != UB_OK || memcmp(got, want, count * sizeof got[0]) != 0) {
                fprintf(stderr, "checksum %d by %s differs: %zu buffers\n", id, c->name, count);
                exit(1);
            }
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        free(p[i]);
}

int main(void)
{
    static const struct {
        int id, family;
        size_t unit, step;
    } cases[] = {
        {UB_CHECKSUM_FLETCHER2, UB_FAMILY_FLETCHER, 16, 16},
        {UB_CHECKSUM_FLETCHER4, UB_FAMILY_FLETCHER, 4, 4},
        {UB_CHECKSUM_SHA256, UB_FAMILY_SHA256, 1, 7},
        {UB_CHECKSUM_SHA512, UB_FAMILY_SHA512, 1, 11},
        {UB_CHECKSUM_SKEIN, UB_FAMILY_SHA512, 1, 13},
        {UB_CHECKSUM_EDONR, UB_FAMILY_EDONR, 1, 13},
        {UB_CHECKSUM_BLAKE3, UB_FAMILY_BLAKE3, 1, 29},
    };
    uint8_t bytes[UB_SALT_BYTES];
    ub_salt salt;
    uint64_t out[4];
    memset(bytes, 0x5a, sizeof bytes);
    ub_salt_set(&salt, bytes);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        size_t round = 0;
        for (size_t n = 0; n < LONGEST; n += cases[c].step, round++)
            compare(cases[c].id, cases[c].family, &salt, n, round % 17, (int)(round & 1));
        if (cases[c].unit > 1 && ub_checksum(cases[c].id, bytes, 7, 0, NULL, out) != UB_BAD_LENGTH)
            return 4;
        if (ub_checksum(cases[c].id, NULL, 0, 0, &salt, out) != UB_OK)
            return 5;
    }
    for (size_t n = 0; n < LONGEST; n += 4)
        compare_parts(n, n / 3 / 4 * 4, (int)(n / 4 & 1));
    if (ub_checksum(UB_CHECKSUM_SKEIN, bytes, 8, 0, NULL, out) != UB_NO_SALT ||
        ub_checksum(UB_CHECKSUM_BLAKE3, bytes, 8, 0, NULL, out) != UB_NO_SALT ||
        ub_checksum(9, bytes, 8, 0, &salt, out) != UB_UNSUPPORTED)
        return 6;
    for (int byteswap = 0; byteswap < 2; byteswap++) {
        compare_many(UB_CHECKSUM_SHA256, UB_FAMILY_SHA256_MANY, &salt, 640, byteswap);
        compare_many(UB_CHECKSUM_SHA512, UB_FAMILY_SHA512_MANY, &salt, 1280, byteswap);
        compare_many(UB_CHECKSUM_BLAKE3, UB_FAMILY_BLAKE3, &salt, 5632, byteswap);
        compare_many(UB_CHECKSUM_SKEIN, UB_FAMILY_SKEIN_MANY, &salt, 1280, byteswap);
        compare_many(UB_CHECKSUM_EDONR, UB_FAMILY_EDONR_MANY, &salt, 1280, byteswap);
    }
    compare(UB_CHECKSUM_BLAKE3, UB_FAMILY_BLAKE3, &salt, 600 * 1024 + 77, 3, 0);
    puts("all equal");
    return 0;
}
