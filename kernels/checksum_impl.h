/* Checksums of blocks: the contract between the callers, the dispatch and the kernels of each instruction
 * set.
 *
 * A checksum is four 64-bit words, here always as numbers in the machine's own order, ready to be compared
 * with the words of a block pointer that is held in that order too. `byteswap` says that the *data* was
 * written by a machine of the other byte order. What that changes differs:
 *     fletcher2, fletcher4           every 8-byte or 4-byte unit is swapped before it is summed
 *     sha256                         nothing; the digest is read as big-endian words, whoever wrote the data
 *     sha512, skein, edonr, blake3   the digest is read as words of the writer's byte order
 *
 * Nothing here allocates, blocks, or keeps state, apart from the choice of an implementation (choice.h). All
 * functions may be called from any thread at any time. Buffers need no alignment.
 *
 * Source: OpenZFS, zio_checksum.h; FIPS 180-4; The Skein Hash Function Family 1.3; Edon-R, tweaked
 * submission.
 */
#ifndef UB_CHECKSUM_IMPL_H
#define UB_CHECKSUM_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "choice.h"
#include "ub_status.h"

/* Numbers of the checksums on disk. */
enum {
    UB_CHECKSUM_FLETCHER2 = 6,
    UB_CHECKSUM_FLETCHER4 = 7,
    UB_CHECKSUM_SHA256 = 8,
    UB_CHECKSUM_SHA512 = 11, /* SHA-512/256 */
    UB_CHECKSUM_SKEIN = 12,  /* Skein-512-256 with the salt as key */
    UB_CHECKSUM_EDONR = 13,  /* Edon-R 512, first 256 bits, salted by a prefix */
    UB_CHECKSUM_BLAKE3 = 14, /* with the salt as key */
};

#define UB_SALT_BYTES 32

/* The pool's salt, and the states of the salted hashes once they have taken it in. */
typedef struct {
    uint8_t bytes[UB_SALT_BYTES];
    uint64_t skein[8];
    uint64_t edonr[16];
} ub_salt;

void ub_salt_set(ub_salt *salt, const uint8_t bytes[UB_SALT_BYTES]);

/* What the checksum `id` needs of it, and no more. */
void ub_salt_set_for(int id, ub_salt *salt, const uint8_t bytes[UB_SALT_BYTES]);

/* The checksum `id` of n bytes. `salt` may be NULL for the unsalted ones. Lengths: fletcher2 a multiple of
 * 16, fletcher4 of 4, the others any. Returns UB_OK, UB_UNSUPPORTED (an unknown id),
 * UB_BAD_LENGTH or UB_NO_SALT; `out` is written only with UB_OK. */
int ub_checksum(int id, const uint8_t *p, size_t n, int byteswap, const ub_salt *salt, uint64_t out[4]);

/* The same for many buffers. Stops at the first that fails and stores its index in *failed (may be NULL). */
int ub_checksum_many(int id, size_t count, const uint8_t *const *p, const size_t *n, int byteswap,
                     const ub_salt *salt, uint64_t (*out)[4], size_t *failed);

/* Sums of two parts in a row, given those of each: the second one has so many 32-bit words, or pairs of 64-bit
 * words. `out` may be one of them. */
void ub_fletcher4_combine(const uint64_t first[4], const uint64_t second[4], uint64_t words, uint64_t out[4]);
void ub_fletcher2_combine(const uint64_t first[4], const uint64_t second[4], uint64_t pairs, uint64_t out[4]);

/* Goes on with sums that end before p (four zeros: nothing yet); n is a multiple of 16 or of 4. */
void ub_fletcher2_update(uint64_t sums[4], const uint8_t *p, size_t n, int byteswap);
void ub_fletcher4_update(uint64_t sums[4], const uint8_t *p, size_t n, int byteswap);

/* The same, and the data, as it is, is copied to `to` on the way; the two must not overlap. */
void ub_copy_fletcher4(uint8_t *to, const uint8_t *p, size_t n, int byteswap, uint64_t sums[4]);

/* --- choice of implementations -------------------------------------------------------------------------- */

enum {
    UB_FAMILY_FLETCHER = 0,
    UB_FAMILY_SHA256 = 1,
    UB_FAMILY_SHA512 = 2,
    UB_FAMILY_EDONR = 3,
    UB_FAMILY_SHA256_MANY = 4, /* of several buffers side by side */
    UB_FAMILY_SHA512_MANY = 5,
    UB_FAMILY_BLAKE3 = 6,
    UB_FAMILY_SKEIN_MANY = 7,
    UB_FAMILY_EDONR_MANY = 8,
    UB_FAMILIES = 9,
};

/* A family, for choice.h: its names and its choice. The choices of all families lie in one array, in the
 * order of their numbers. */
ub_family *ub_checksum_family(int family);

/* Uses the implementation `name` from now on, for every thread. NULL: the one named by the environment
 * variable if it can run, else the best of this machine. Returns the name of the one in use, or NULL (nothing
 * changed) where `name` cannot run. */
const char *ub_checksum_select(int family, const char *name);

/* --- between the dispatch and the kernels --------------------------------------------------------------- */

/* Sums that go on over n bytes, n a multiple of 16 (fletcher2) or of 4 (fletcher4); `copy`, if it is not NULL, gets
 * the data. */
typedef struct {
    const char *name;
    void (*fletcher2)(uint64_t sums[4], const uint8_t *p, size_t n, int byteswap);
    void (*fletcher4)(uint64_t sums[4], const uint8_t *p, size_t n, int byteswap, uint8_t *copy);
} ub_fletcher_kernel;

/* Feed whole message blocks, of 64, 128 and 128 bytes, to the compression function. */
typedef struct {
    const char *name;
    void (*blocks)(uint32_t state[8], const uint8_t *p, size_t nblocks);
} ub_sha256_kernel;

typedef struct {
    const char *name;
    void (*blocks)(uint64_t state[8], const uint8_t *p, size_t nblocks);
} ub_sha512_kernel;

/* The same for several messages side by side: word i of the state of lane j is state[i * lanes + j], and lane
 * j takes nblocks blocks from p[j] on. With fewer messages than `few`, one after the other is faster. */
typedef struct {
    const char *name;
    size_t lanes, few;
    void (*blocks)(uint32_t *state, const uint8_t *const *p, size_t nblocks);
} ub_sha256_many_kernel;

typedef struct {
    const char *name;
    size_t lanes, few;
    void (*blocks)(uint64_t *state, const uint8_t *const *p, size_t nblocks);
} ub_sha512_many_kernel;

#define UB_SHA256_LANES_MAX 16
#define UB_SHA512_LANES_MAX 8

typedef struct {
    const char *name;
    void (*blocks)(uint64_t state[16], const uint8_t *p, size_t nblocks);
} ub_edonr_kernel;

/* Skein and Edon-R of several messages side by side, from their beginning on; the state as above. */
typedef struct {
    const char *name;
    size_t lanes; /* 0: one after the other */
    void (*blocks)(uint64_t *state, const uint8_t *const *p, size_t nblocks);
} ub_salted_many_kernel;

#define UB_SALTED_LANES_MAX 8

extern const ub_fletcher_kernel ub_fletcher_scalar;
extern const ub_fletcher_kernel ub_fletcher_avx2;
extern const ub_fletcher_kernel ub_fletcher_avx512;
extern const ub_fletcher_kernel ub_fletcher_neon;
extern const ub_sha256_kernel ub_sha256_scalar;
extern const ub_sha256_kernel ub_sha256_shani;
extern const ub_sha512_kernel ub_sha512_scalar;
extern const ub_sha512_kernel ub_sha512_avx2;
extern const ub_sha256_many_kernel ub_sha256_many_single; /* one after the other */
extern const ub_sha256_many_kernel ub_sha256_many_shani;
extern const ub_sha256_many_kernel ub_sha256_many_avx2;
extern const ub_sha256_many_kernel ub_sha256_many_avx512;
extern const ub_sha512_many_kernel ub_sha512_many_single;
extern const ub_sha512_many_kernel ub_sha512_many_avx2;
extern const ub_sha512_many_kernel ub_sha512_many_avx512;
extern const ub_edonr_kernel ub_edonr_scalar;
extern const ub_edonr_kernel ub_edonr_avx512;
extern const ub_salted_many_kernel ub_salted_many_single;
extern const ub_salted_many_kernel ub_skein_many_avx2;
extern const ub_salted_many_kernel ub_skein_many_avx512;
extern const ub_salted_many_kernel ub_edonr_many_avx2;
extern const ub_salted_many_kernel ub_edonr_many_avx512;

/* sha2.c: whole buffers. sha256 gives words, as they are defined; sha512 its digest, to be read in either
 * order. ub_sha2_pad writes the end of a message of n bytes to `tail`: what is left after the whole blocks, a
 * 1 bit, zeros, and the number of bits; it returns how many blocks that makes, 1 or 2. */
void ub_sha256(const ub_sha256_kernel *kernel, const uint8_t *p, size_t n, uint64_t words[4]);
void ub_sha512_256(const ub_sha512_kernel *kernel, const uint8_t *p, size_t n, uint8_t digest[32]);
size_t ub_sha2_pad(uint8_t *tail, const uint8_t *p, size_t n, size_t block);
extern const uint32_t ub_sha256_initial[8];
extern const uint64_t ub_sha512_256_initial[8];

/* sha2_many.c: the words of many buffers, for sha512 as sha512_256's digest read in big-endian order. */
void ub_sha256_many(const ub_sha256_many_kernel *kernel, const ub_sha256_kernel *single, size_t count,
                    const uint8_t *const *p, const size_t *n, uint64_t (*words)[4]);
void ub_sha512_256_many(const ub_sha512_many_kernel *kernel, const ub_sha512_kernel *single, size_t count,
                        const uint8_t *const *p, const size_t *n, uint64_t (*words)[4]);

/* skein.c and edonr.c: the state of a hash that has taken in a salt, and the first 32 bytes of the digest
 * from there. */
void ub_skein_salted(const uint8_t salt[UB_SALT_BYTES], uint64_t state[8]);
void ub_skein(const uint64_t state[8], const uint8_t *p, size_t n, uint8_t digest[32]);
void ub_edonr_salted(const uint8_t salt[UB_SALT_BYTES], uint64_t state[16]);
void ub_edonr(const ub_edonr_kernel *kernel, const uint64_t state[16], const uint8_t *p, size_t n,
              uint8_t digest[32]);

/* The same from a state that has taken in the first `done` bytes, whole blocks; for Skein something must follow. The
 * state is used up. */
void ub_skein_finish(uint64_t state[8], const uint8_t *p, size_t n, size_t done, uint8_t digest[32]);
void ub_edonr_finish(const ub_edonr_kernel *kernel, uint64_t state[16], const uint8_t *p, size_t n, size_t done,
                     uint8_t digest[32]);

/* Skein's blocks: bytes, and the upper tweak word of those of the message. */
#define UB_SKEIN_BLOCK 64
#define UB_SKEIN_TYPE(t) ((uint64_t)(t) << 56)
#define UB_SKEIN_MESSAGE UB_SKEIN_TYPE(48)
#define UB_SKEIN_FIRST (UINT64_C(1) << 62)
#define UB_EDONR_BLOCK 128

/* salted_many.c: of many buffers. */
void ub_skein_many(const ub_salted_many_kernel *kernel, const uint64_t salted[8], size_t count,
                   const uint8_t *const *p, const size_t *n, uint8_t (*digest)[32]);
void ub_edonr_many(const ub_salted_many_kernel *kernel, const ub_edonr_kernel *single, const uint64_t salted[16],
                   size_t count, const uint8_t *const *p, const size_t *n, uint8_t (*digest)[32]);

/* edonr.c: the plain hash, 64 bytes, for the salt's prefix. */
void ub_edonr512(const uint8_t *p, size_t n, uint8_t digest[64]);

#endif
