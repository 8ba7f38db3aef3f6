/* SHA-256 or SHA-512/256 of many buffers: which message is in which lane. Included by sha2_many.c, once for
 * each, with UB_WORD, UB_BLOCK, UB_LANES_MAX, UB_INITIAL, UB_DIGEST, UB_MANY, UB_MANY_KERNEL, UB_ONE_KERNEL,
 * UB_LANE and UB_NAME(x), which makes a name of its own of x.
 *
 * Each lane holds one message, its whole blocks first and its padding then. All lanes go on by as many blocks
 * as the one that is nearest to an end; a lane whose message is done takes the next one. Lanes without work
 * go along with another one's data. When few are left, each is finished alone.
 */

typedef struct {
    const uint8_t *p; /* what comes next */
    size_t nblocks;   /* until the message or its padding is through; 0: no work */
    size_t index;     /* of the message */
    size_t padding;   /* blocks of padding still to come after these */
    int ended;        /* the last step took its last blocks */
    uint8_t tail[2 * UB_BLOCK];
} UB_LANE;

/* When the blocks of a lane are through: its padding is next, if it has not been. */
static int UB_NAME(pad)(UB_LANE *lane)
{
    lane->p = lane->tail;
    lane->nblocks = lane->padding;
    lane->padding = 0;
    return lane->nblocks != 0;
}

static void UB_NAME(begin)(UB_LANE *lane, UB_WORD *state, size_t lanes, const uint8_t *p, size_t n,
                           size_t index)
{
    lane->p = p;
    lane->nblocks = n / UB_BLOCK;
    lane->padding = ub_sha2_pad(lane->tail, p, n, UB_BLOCK);
    lane->index = index;
    if (lane->nblocks == 0)
        UB_NAME(pad)(lane);
    for (size_t i = 0; i < 8; i++)
        state[i * lanes] = UB_INITIAL[i];
}

/* All lanes go on until one of them has come to an end. */
static void UB_NAME(step)(const UB_MANY_KERNEL *kernel, UB_LANE *lane, UB_WORD *state)
{
    const uint8_t *p[UB_LANES_MAX];
    size_t steps = SIZE_MAX, least = 0;
    for (size_t j = 0; j < kernel->lanes; j++)
        if (lane[j].nblocks != 0 && lane[j].nblocks < steps) {
            steps = lane[j].nblocks;
            least = j;
        }
    for (size_t j = 0; j < kernel->lanes; j++)
        p[j] = lane[lane[j].nblocks != 0 ? j : least].p;
    kernel->blocks(state, p, steps);
    for (size_t j = 0; j < kernel->lanes; j++) {
        lane[j].ended = lane[j].nblocks == steps;
        if (lane[j].nblocks != 0) {
            lane[j].p += steps * UB_BLOCK;
            lane[j].nblocks -= steps;
        }
    }
}

/* The rest of one lane, without the others. */
static void UB_NAME(alone)(const UB_ONE_KERNEL *single, UB_LANE *lane, const UB_WORD *state, size_t lanes,
                           uint64_t words[4])
{
    UB_WORD own[8];
    for (size_t i = 0; i < 8; i++)
        own[i] = state[i * lanes];
    do
        single->blocks(own, lane->p, lane->nblocks);
    while (UB_NAME(pad)(lane));
    UB_DIGEST(own, 1, words);
}

static void UB_NAME(side_by_side)(const UB_MANY_KERNEL *kernel, const UB_ONE_KERNEL *single, size_t count,
                                  const uint8_t *const *p, const size_t *n, uint64_t (*words)[4])
{
    UB_WORD state[8 * UB_LANES_MAX] __attribute__((aligned(64)));
    UB_LANE lane[UB_LANES_MAX];
    const size_t lanes = kernel->lanes;
    size_t next = 0, busy = lanes < count ? lanes : count;
    memset(state, 0, sizeof state);
    for (; next < busy; next++)
        UB_NAME(begin)(&lane[next], state + next, lanes, p[next], n[next], next);
    for (size_t j = next; j < lanes; j++)
        lane[j].nblocks = 0;
    while (busy >= kernel->few) {
        UB_NAME(step)(kernel, lane, state);
        for (size_t j = 0; j < lanes; j++) {
            if (!lane[j].ended || UB_NAME(pad)(&lane[j]))
                continue;
            UB_DIGEST(state + j, lanes, words[lane[j].index]);
            if (next < count) {
                UB_NAME(begin)(&lane[j], state + j, lanes, p[next], n[next], next);
                next++;
            } else {
                busy--;
            }
        }
    }
    for (size_t j = 0; j < lanes; j++)
        if (lane[j].nblocks != 0)
            UB_NAME(alone)(single, &lane[j], state + j, lanes, words[lane[j].index]);
}

void UB_MANY(const UB_MANY_KERNEL *kernel, const UB_ONE_KERNEL *single, size_t count, const uint8_t *const *p,
             const size_t *n, uint64_t (*words)[4])
{
    if (count >= kernel->few) {
        UB_NAME(side_by_side)(kernel, single, count, p, n, words);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        UB_WORD state[8];
        UB_LANE lane;
        UB_NAME(begin)(&lane, state, 1, p[i], n[i], i);
        UB_NAME(alone)(single, &lane, state, 1, words[i]);
    }
}
