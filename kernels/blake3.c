/* BLAKE3, keyed: the trees over many buffers, grown together.
 *
 * A buffer is cut into chunks of 1 KiB, whose hashes are the leaves of a binary tree: the left part of a node
 * is the largest power of two of chunks that leaves something to the right. Level by level that is pairing
 * neighbours, the odd one left over going up as it is. All nodes of a level, of all buffers, are independent,
 * and fill the lanes of a kernel. A buffer of more than ROOM chunks is taken in subtrees of that many.
 *
 * Source: BLAKE3, one function, fast everywhere (O'Connor, Aumasson, Neves, Wilcox-O'Hearn), 2.1 to 2.6.
 */
#include "blake3_impl.h"
#include "byteorder.h"

enum {
    CHUNK = 1024,
    ROOM = 256, /* chunks of all trees that grow together; a power of two */
    CHUNK_START = 1,
    CHUNK_END = 2,
    PARENT = 4,
    ROOT = 8,
    KEYED = 16,
};

typedef struct {
    const ub_blake3_kernel *kernel;
    uint32_t key[8];
} hasher;

/* Nodes that wait for company. */
typedef struct {
    ub_blake3_call call;
    ub_blake3_lanes lanes;
    size_t count;
} queue;

typedef struct {
    const uint8_t *p;
    size_t n;
    uint64_t counter; /* of its first chunk */
    size_t nodes;     /* of the level that has been reached */
    int whole;        /* its top is the root, not a part of something larger */
    uint8_t *out;
} tree;

typedef struct {
    tree trees[ROOM];
    size_t count;
    size_t chunks;
    uint8_t level[2][ROOM][32];
} grove;

static void run(const hasher *h, queue *q)
{
    const ub_blake3_kernel *kernel = h->kernel;
    if (q->count == 0)
        return;
    while (kernel->narrow != NULL && q->count <= kernel->narrow->lanes)
        kernel = kernel->narrow;
    for (size_t j = q->count; j < kernel->lanes; j++) { /* the rest do the same as the first */
        q->lanes.p[j] = q->lanes.p[0];
        q->lanes.out[j] = q->lanes.out[0];
        q->lanes.counter_low[j] = q->lanes.counter_low[0];
        q->lanes.counter_high[j] = q->lanes.counter_high[0];
        q->lanes.last_length[j] = q->lanes.last_length[0];
        q->lanes.last_flags[j] = q->lanes.last_flags[0];
    }
    kernel->hash(h->key, &q->call, &q->lanes);
    q->count = 0;
}

static void add(const hasher *h, queue *q, const uint8_t *p, uint64_t counter, uint32_t length,
                uint32_t flags, uint8_t *out)
{
    const size_t j = q->count++;
    q->lanes.p[j] = p;
    q->lanes.counter_low[j] = (uint32_t)counter;
    q->lanes.counter_high[j] = (uint32_t)(counter >> 32);
    q->lanes.last_length[j] = length;
    q->lanes.last_flags[j] = flags;
    q->lanes.out[j] = out;
    if (q->count == h->kernel->lanes)
        run(h, q);
}

/* --- one level after the other ------------------------------------------------------------------------- */

/* The last chunk of a tree, shorter than the others. Whole blocks wait for equals; the end of data of another
 * length is copied to be filled up with zeros, and goes alone. */
static void add_short_chunk(const hasher *h, queue *q, const uint8_t *p, size_t n, uint64_t counter,
                            uint32_t flags, uint8_t *out)
{
    const size_t nblocks = n == 0 ? 1 : (n + UB_BLAKE3_BLOCK - 1) / UB_BLAKE3_BLOCK;
    const size_t length = n - (nblocks - 1) * UB_BLAKE3_BLOCK;
    uint8_t padded[CHUNK];
    if (q->call.nblocks != nblocks || length != UB_BLAKE3_BLOCK)
        run(h, q);
    q->call.nblocks = nblocks;
    if (length != UB_BLAKE3_BLOCK) {
        memset(padded, 0, sizeof padded);
        if (n != 0)
            memcpy(padded, p, n);
        p = padded;
    }
    add(h, q, p, counter, (uint32_t)length, flags, out);
    if (p == padded)
        run(h, q);
}

/* The leaves of all trees. */
static void leaves(const hasher *h, grove *g)
{
    queue whole = {.call = {CHUNK / UB_BLAKE3_BLOCK, KEYED, CHUNK_START}};
    queue rest = {.call = {1, KEYED, CHUNK_START}};
    uint8_t(*to)[32] = g->level[0];
    for (size_t i = 0; i < g->count; i++) {
        const tree *t = &g->trees[i];
        const uint32_t flags = CHUNK_END | (t->whole && t->nodes == 1 ? ROOT : 0);
        for (size_t c = 0; c < t->nodes; c++, to++) {
            const uint8_t *p = c == 0 ? t->p : t->p + c * CHUNK;
            const size_t left = t->n - c * CHUNK;
            if (left >= CHUNK)
                add(h, &whole, p, t->counter + c, UB_BLAKE3_BLOCK, flags, *to);
            else
                add_short_chunk(h, &rest, p, left, t->counter + c, flags, *to);
        }
    }
    run(h, &whole);
    run(h, &rest);
}

/* The next level of all trees; 0 where all have come to their top. */
static int parents(const hasher *h, grove *g, uint8_t (*from)[32], uint8_t (*to)[32])
{
    queue q = {.call = {1, KEYED | PARENT, 0}};
    int growing = 0;
    for (size_t i = 0; i < g->count; i++) {
        tree *t = &g->trees[i];
        const uint32_t flags = t->whole && t->nodes == 2 ? ROOT : 0;
        size_t left = t->nodes;
        for (; left >= 2; left -= 2, from += 2, to++)
            add(h, &q, from[0], 0, UB_BLAKE3_BLOCK, flags, *to);
        if (left != 0)
            memcpy(*to++, *from++, 32);
        t->nodes = (t->nodes + 1) / 2;
        growing |= t->nodes > 1;
    }
    run(h, &q);
    return growing;
}

/* All trees up to their tops, which go where they are wanted. */
static void grow(const hasher *h, grove *g)
{
    int level = 0, growing = 0;
    leaves(h, g);
    for (size_t i = 0; i < g->count; i++)
        growing |= g->trees[i].nodes > 1;
    for (; growing; level ^= 1)
        growing = parents(h, g, g->level[level], g->level[level ^ 1]);
    for (size_t i = 0; i < g->count; i++)
        memcpy(g->trees[i].out, g->level[level][i], 32);
    g->count = g->chunks = 0;
}

static void plant(grove *g, const uint8_t *p, size_t n, uint64_t counter, int whole, uint8_t *out)
{
    const size_t chunks = n == 0 ? 1 : (n + CHUNK - 1) / CHUNK;
    g->trees[g->count++] = (tree){p, n, counter, chunks, whole, out};
    g->chunks += chunks;
}

/* --- buffers ------------------------------------------------------------------------------------------- */

/* stack[at] and what follows it become their parent, at stack[at]. */
static void join(const hasher *h, uint8_t (*stack)[32], size_t at, uint32_t flags)
{
    queue q = {.call = {1, KEYED | PARENT, 0}};
    uint8_t out[32];
    add(h, &q, stack[at], 0, UB_BLAKE3_BLOCK, flags, out);
    run(h, &q);
    memcpy(stack[at], out, 32);
}

/* A buffer of more than ROOM chunks. Two complete subtrees of the same height are joined when it is known
 * that something follows them. */
static void large(const hasher *h, grove *g, const uint8_t *p, size_t n, uint8_t *digest)
{
    uint8_t stack[64][32];
    const size_t part = (size_t)ROOM * CHUNK;
    size_t depth = 0;
    for (uint64_t done = 0; n != 0; done++) {
        while (depth > (size_t)__builtin_popcountll(done))
            join(h, stack, --depth - 1, 0);
        const size_t now = n < part ? n : part;
        plant(g, p, now, done * ROOM, 0, stack[depth++]);
        grow(h, g);
        p += now;
        n -= now;
    }
    while (depth > 1) {
        depth--;
        join(h, stack, depth - 1, depth == 1 ? ROOT : 0);
    }
    memcpy(digest, stack[0], 32);
}

void ub_blake3_many(const ub_blake3_kernel *kernel, const uint8_t key[32], size_t count,
                    const uint8_t *const *p, const size_t *n, uint8_t (*digest)[32])
{
    hasher h = {.kernel = kernel};
    grove g;
    for (int i = 0; i < 8; i++)
        h.key[i] = ub_le32(key + 4 * i);
    g.count = g.chunks = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t chunks = n[i] == 0 ? 1 : n[i] / CHUNK + (n[i] % CHUNK != 0);
        if (g.chunks != 0 && (chunks > ROOM || g.chunks + chunks > ROOM))
            grow(&h, &g);
        if (chunks > ROOM)
            large(&h, &g, p[i], n[i], digest[i]);
        else
            plant(&g, p[i], n[i], 0, 1, digest[i]);
    }
    if (g.count != 0)
        grow(&h, &g);
}
