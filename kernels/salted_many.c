/* Skein and Edon-R of many buffers side by side: which message is in which lane.
 *
 * Buffers are taken as long as whole blocks of all lanes last, those of nearly equal length together; then each is
 * finished alone.
 */
#include "byteorder.h"
#include "checksum_impl.h"

enum {
    WINDOW = 64, /* buffers among which those of equal length are looked for */
    SKEIN_WORDS = 8,
    EDONR_WORDS = 16,
};

/* The numbers of the buffers, longest first. */
static void by_length(size_t count, const size_t *n, uint8_t order[WINDOW])
{
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at != 0 && n[order[at - 1]] < n[i]; at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)i;
    }
}

/* Lanes with the buffers order[0 .. lanes-1], of which the last is the shortest: `steps` blocks of each, from the
 * state `salted` of so many words on. */
static void run(const ub_salted_many_kernel *kernel, const uint64_t *salted, size_t words, const uint8_t *order,
                const uint8_t *const *p, size_t steps, uint64_t *state)
{
    const uint8_t *start[UB_SALTED_LANES_MAX];
    for (size_t j = 0; j < kernel->lanes; j++) {
        start[j] = p[order[j]];
        for (size_t i = 0; i < words; i++)
            state[i * kernel->lanes + j] = salted[i];
    }
    if (steps != 0)
        kernel->blocks(state, start, steps);
}

static void of_lane(const uint64_t *state, size_t lanes, size_t words, uint64_t *own)
{
    for (size_t i = 0; i < words; i++)
        own[i] = state[i * lanes];
}

void ub_skein_many(const ub_salted_many_kernel *kernel, const uint64_t salted[SKEIN_WORDS], size_t count,
                   const uint8_t *const *p, const size_t *n, uint8_t (*digest)[32])
{
    for (size_t now; count != 0; count -= now, p += now, n += now, digest += now) {
        uint8_t order[WINDOW];
        size_t at = 0;
        now = count < WINDOW ? count : WINDOW;
        by_length(now, n, order);
        for (; kernel->lanes != 0 && now - at >= kernel->lanes; at += kernel->lanes) {
            uint64_t state[SKEIN_WORDS * UB_SALTED_LANES_MAX], own[SKEIN_WORDS];
            const size_t least = n[order[at + kernel->lanes - 1]];
            const size_t steps = least == 0 ? 0 : (least - 1) / UB_SKEIN_BLOCK; /* the last one is special */
            run(kernel, salted, SKEIN_WORDS, order + at, p, steps, state);
            for (size_t j = 0; j < kernel->lanes; j++) {
                const size_t i = order[at + j];
                of_lane(state + j, kernel->lanes, SKEIN_WORDS, own);
                ub_skein_finish(own, p[i], n[i], steps * UB_SKEIN_BLOCK, digest[i]);
            }
        }
        for (; at < now; at++)
            ub_skein(salted, p[order[at]], n[order[at]], digest[order[at]]);
    }
}

void ub_edonr_many(const ub_salted_many_kernel *kernel, const ub_edonr_kernel *single,
                   const uint64_t salted[EDONR_WORDS], size_t count, const uint8_t *const *p, const size_t *n,
                   uint8_t (*digest)[32])
{
    for (size_t now; count != 0; count -= now, p += now, n += now, digest += now) {
        uint8_t order[WINDOW];
        size_t at = 0;
        now = count < WINDOW ? count : WINDOW;
        by_length(now, n, order);
        for (; kernel->lanes != 0 && now - at >= kernel->lanes; at += kernel->lanes) {
            uint64_t state[EDONR_WORDS * UB_SALTED_LANES_MAX], own[EDONR_WORDS];
            const size_t steps = n[order[at + kernel->lanes - 1]] / UB_EDONR_BLOCK;
            run(kernel, salted, EDONR_WORDS, order + at, p, steps, state);
            for (size_t j = 0; j < kernel->lanes; j++) {
                const size_t i = order[at + j];
                of_lane(state + j, kernel->lanes, EDONR_WORDS, own);
                ub_edonr_finish(single, own, p[i], n[i], steps * UB_EDONR_BLOCK, digest[i]);
            }
        }
        for (; at < now; at++)
            ub_edonr(single, salted, p[order[at]], n[order[at]], digest[order[at]]);
    }
}

const ub_salted_many_kernel ub_salted_many_single = {"single", 0, NULL};
