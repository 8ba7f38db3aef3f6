/* fletcher2 and fletcher4, word by word: the definition that every other kernel must equal.
 *
 * Source: OpenZFS, zfs_fletcher.h: running sums modulo 2^64, each of the sum before it.
 */
#include "byteorder.h"
#include "checksum_impl.h"

static void fletcher2(uint64_t sums[4], const uint8_t *p, size_t n, int byteswap)
{
    uint64_t a0 = sums[0], a1 = sums[1], b0 = sums[2], b1 = sums[3];
    for (const uint8_t *end = p + n; p != end; p += 16) {
        uint64_t x = ub_load64(p), y = ub_load64(p + 8);
        if (byteswap) {
            x = __builtin_bswap64(x);
            y = __builtin_bswap64(y);
        }
        a0 += x;
        a1 += y;
        b0 += a0;
        b1 += a1;
    }
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = b0;
    sums[3] = b1;
}

static void fletcher4(uint64_t sums[4], const uint8_t *p, size_t n, int byteswap, uint8_t *copy)
{
    uint64_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    if (copy != NULL && n != 0)
        memcpy(copy, p, n);
    for (const uint8_t *end = p + n; p != end; p += 4) {
        uint32_t x = ub_load32(p);
        if (byteswap)
            x = __builtin_bswap32(x);
        a += x;
        b += a;
        c += b;
        d += c;
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

const ub_fletcher_kernel ub_fletcher_scalar = {"scalar", fletcher2, fletcher4};

/* r (r + 1) / 2 and r (r + 1) (r + 2) / 6 modulo 2^64: divide before the product can overflow. */
static uint64_t triangle(uint64_t r)
{
    return r % 2 == 0 ? r / 2 * (r + 1) : (r + 1) / 2 * r;
}

static uint64_t tetrahedron(uint64_t r)
{
    uint64_t factor[3] = {r, r + 1, r + 2};
    factor[r % 2 == 0 ? 0 : 1] /= 2;
    for (int i = 0; i < 3; i++) {
        if ((r + (uint64_t)i) % 3 == 0) {
            factor[i] /= 3;
            break;
        }
    }
    return factor[0] * factor[1] * factor[2];
}

void ub_fletcher2_combine(const uint64_t first[4], const uint64_t second[4], uint64_t pairs, uint64_t out[4])
{
    const uint64_t a0 = first[0], a1 = first[1];
    out[2] = second[2] + first[2] + pairs * a0;
    out[3] = second[3] + first[3] + pairs * a1;
    out[0] = second[0] + a0;
    out[1] = second[1] + a1;
}

void ub_fletcher4_combine(const uint64_t first[4], const uint64_t second[4], uint64_t words, uint64_t out[4])
{
    uint64_t a = first[0], b = first[1], c = first[2], d = first[3];
    if ((a | b | c | d) == 0) {
        memmove(out, second, 4 * sizeof out[0]);
        return;
    }
    uint64_t one = words, two = triangle(words), three = tetrahedron(words);
    uint64_t sums[4] = {
        second[0] + a,
        second[1] + b + one * a,
        second[2] + c + one * b + two * a,
        second[3] + d + one * c + two * b + three * a,
    };
    for (int i = 0; i < 4; i++)
        out[i] = sums[i];
}
