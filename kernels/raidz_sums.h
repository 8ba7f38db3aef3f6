/* Rebuilding by sums, for kernels that multiply by any constant much slower than by 2 and 4 (ub_raidz_sums).
 *
 * The columns are walked as in generation, with zeros for those that are lost; what follows, a small matrix, is done
 * once for all columns. Included by raidz_template.h.
 */
#ifndef UB_RAIDZ_SUMS_H
#define UB_RAIDZ_SUMS_H

typedef struct {
    ub_vec sum[UB_RAIDZ_MAX_PARITY][UB_GROUP];
} ub_kinds;

/* sums = g sums + a, for the sums of the kinds (bits P 1, Q 2, R 4) */
UB_INLINE void ub_kinds_step(ub_kinds *s, const ub_vec a[UB_GROUP], const unsigned kinds, const int g)
{
    UB_UNROLL
    for (int i = 0; i < g; i++) {
        if (kinds & 1)
            s->sum[0][i] = ub_xor(s->sum[0][i], a[i]);
        if (kinds & 2)
            s->sum[1][i] = ub_horner2(s->sum[1][i], a[i]);
        if (kinds & 4)
            s->sum[2][i] = ub_horner4(s->sum[2][i], a[i]);
    }
}

UB_INLINE void ub_kinds_bias(ub_kinds *s, const unsigned kinds, const int g)
{
#ifdef UB_BIAS
    UB_UNROLL
    for (unsigned k = 1; k < UB_RAIDZ_MAX_PARITY; k++) {
        UB_UNROLL
        for (int i = 0; i < g; i++)
            if (kinds >> k & 1)
                s->sum[k][i] = ub_xor(s->sum[k][i], UB_BIAS);
    }
#else
    (void)s, (void)kinds, (void)g;
#endif
}

/* The target that is worth `coef` of the sums. */
UB_INLINE void ub_kinds_weigh(const ub_kinds *s, const uint8_t *coef, ub_vec out[UB_GROUP], const unsigned kinds,
                              const int g)
{
    UB_UNROLL
    for (int i = 0; i < g; i++)
        out[i] = ub_zero();
    UB_UNROLL
    for (unsigned k = 0; k < UB_RAIDZ_MAX_PARITY; k++) {
        if (!(kinds >> k & 1) || coef[k] == 0)
            continue;
        if (coef[k] == 1) {
            UB_UNROLL
            for (int i = 0; i < g; i++)
                out[i] = ub_xor(out[i], s->sum[k][i]);
        } else {
            ub_factor f;
            ub_factor_set(&f, coef[k]);
            UB_UNROLL
            for (int i = 0; i < g; i++)
                out[i] = ub_muladd(out[i], s->sum[k][i], &f);
        }
    }
}

/* From the sums to the targets, at byte `at`. */
UB_INLINE void ub_kinds_finish(const ub_raidz_sums *plan, ub_kinds *s, const uint8_t *const *stored,
                               uint8_t *const *dst, size_t at, const unsigned kinds, const int g, const int mode)
{
    ub_vec v[UB_GROUP];
    UB_UNROLL
    for (unsigned k = 0; k < UB_RAIDZ_MAX_PARITY; k++) {
        if (!(kinds >> k & 1) || stored[k] == NULL)
            continue;
        UB_UNROLL
        for (int i = 0; i < g; i++)
            s->sum[k][i] = ub_xor(s->sum[k][i], ub_load(stored[k] + at + (size_t)i * UB_BYTES));
    }
    ub_vec last[UB_GROUP];
    UB_UNROLL
    for (int i = 0; i < g; i++)
        last[i] = kinds & 1 ? s->sum[0][i] : ub_zero();
    for (size_t row = 0; row < plan->rows; row++) {
        ub_kinds_weigh(s, plan->coef[row], v, kinds, g);
        ub_group_store(dst[row] + at, v, g, mode);
        if (plan->rows - row <= plan->nchain) {
            UB_UNROLL
            for (int i = 0; i < g; i++)
                last[i] = ub_xor(last[i], v[i]);
        }
    }
    if (plan->fold)
        ub_group_store(dst[plan->rows] + at, last, g, mode);
}

/* Sums begin with a column, or go on from where another part left them. */
UB_INLINE void ub_kinds_begin(ub_kinds *s, const ub_vec *from, const size_t stride, const unsigned kinds, const int g)
{
    UB_UNROLL
    for (int k = 0; k < UB_RAIDZ_MAX_PARITY; k++) {
        if (!(kinds >> k & 1))
            continue;
        UB_UNROLL
        for (int i = 0; i < g; i++)
            s->sum[k][i] = from[i];
        from += stride;
    }
}

UB_INLINE void ub_kinds_leave(const ub_kinds *s, ub_vec *to, const unsigned kinds, const int g)
{
    UB_UNROLL
    for (int k = 0; k < UB_RAIDZ_MAX_PARITY; k++) {
        if (!(kinds >> k & 1))
            continue;
        UB_UNROLL
        for (int i = 0; i < g; i++)
            to[i] = s->sum[k][i];
        to += g;
    }
}

/* The columns first .. end-1 of a tile: from `carry`, unless they are the first ones, to the targets, or to `carry`
 * again where columns are left. */
UB_INLINE void ub_sums_part(const ub_raidz_sums *plan, const uint8_t *const *src, const uint8_t *const *stored,
                            uint8_t *const *dst, size_t from, size_t to, size_t last, size_t first, size_t end,
                            ub_vec *carry, const unsigned kinds, const int mode)
{
    const int g = ub_group(mode, (kinds & (kinds - 1)) != 0);
    const size_t sums = (kinds & 1) + (kinds >> 1 & 1) + (kinds >> 2 & 1);
    for (size_t at = from; at < to; at += (size_t)g * UB_BYTES, carry += sums * (size_t)g) {
        const size_t ahead = at + UB_AHEAD < last ? UB_AHEAD : 0;
        ub_kinds s;
        ub_vec a[UB_GROUP];
        if (first == 0) {
            ub_group_load(a, src[0] + at, ahead, g, mode);
            ub_kinds_begin(&s, a, 0, kinds, g);
            ub_kinds_bias(&s, kinds, g);
        } else {
            ub_kinds_begin(&s, carry, (size_t)g, kinds, g);
        }
        for (size_t j = first == 0 ? 1 : first; j < end; j++) {
            if (src[j] != NULL) {
                ub_group_load(a, src[j] + at, ahead, g, mode);
            } else {
                UB_UNROLL
                for (int i = 0; i < g; i++)
                    a[i] = ub_zero();
            }
            ub_kinds_step(&s, a, kinds, g);
        }
        if (end < plan->n) {
            ub_kinds_leave(&s, carry, kinds, g);
        } else {
            ub_kinds_bias(&s, kinds, g);
            ub_kinds_finish(plan, &s, stored, dst, at, kinds, g, mode);
        }
    }
}

UB_INLINE void ub_sums_tile(const ub_raidz_sums *plan, const uint8_t *const *src, const uint8_t *const *stored,
                            uint8_t *const *dst, size_t from, size_t to, size_t last, const unsigned kinds,
                            const int mode)
{
    ub_vec carry[UB_RAIDZ_MAX_PARITY * UB_PART / UB_BYTES];
    const size_t parts = ub_parts(plan->n);
    for (size_t at = from, stop; at < to; at = stop) {
        stop = parts == 1 || to - at < UB_PART ? to : at + UB_PART;
        for (size_t p = 0; p < parts; p++)
            ub_sums_part(plan, src, stored, dst, at, stop, last, p * plan->n / parts, (p + 1) * plan->n / parts, carry,
                         kinds, mode);
    }
}

UB_INLINE void ub_sums_kinds(const ub_raidz_sums *plan, const uint8_t *const *src, const uint8_t *const *stored,
                             uint8_t *const *dst, size_t length, int keep, const unsigned kinds)
{
    ub_pace pace;
    const size_t targets = plan->rows + (size_t)plan->fold;
    const int may_stream = UB_STREAMS_ALL && ub_may_stream(dst, targets, keep);
    ub_pace_start(&pace, plan->n, targets, length, may_stream, targets == 1 ? UB_ONE_AT_ONCE : UB_NEVER, kinds > 3);
    for (size_t at = 0, end; at < length; at = end) {
        end = length - at > pace.tile ? at + pace.tile : length;
        if (pace.mode <= UB_NEAR)
            ub_sums_tile(plan, src, stored, dst, at, end, length, kinds, UB_NEAR);
        else if (UB_PREFETCHES && pace.mode == UB_FAR)
            ub_sums_tile(plan, src, stored, dst, at, end, length, kinds, UB_FAR);
        else
            ub_sums_tile(plan, src, stored, dst, at, end, length, kinds, UB_BEYOND);
        if (end < length)
            ub_pace_next(&pace, (end - at) * plan->n);
    }
}

static void ub_sums_rebuild(const ub_raidz_sums *plan, const uint8_t *const *src, const uint8_t *const *stored,
                            uint8_t *const *dst, size_t length, int keep)
{
    switch (plan->kinds) {
    case 1:
        ub_sums_kinds(plan, src, stored, dst, length, keep, 1);
        break;
    case 2:
        ub_sums_kinds(plan, src, stored, dst, length, keep, 2);
        break;
    case 3:
        ub_sums_kinds(plan, src, stored, dst, length, keep, 3);
        break;
    case 4:
        ub_sums_kinds(plan, src, stored, dst, length, keep, 4);
        break;
    case 5:
        ub_sums_kinds(plan, src, stored, dst, length, keep, 5);
        break;
    case 6:
        ub_sums_kinds(plan, src, stored, dst, length, keep, 6);
        break;
    default:
        ub_sums_kinds(plan, src, stored, dst, length, keep, 7);
    }
}

#endif
