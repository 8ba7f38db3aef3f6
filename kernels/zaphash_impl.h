/* The hash of ZAP keys: CRC-64, reflected, polynomial 0xC96C5795D7870F42, started with the object's salt,
 * without the usual inversions. Unmasked: callers keep the upper 28 or 48 bits.
 *
 * Source: OpenZFS, zap_micro.c, zap.c (what is hashed); ECMA-182 (the polynomial).
 */
#ifndef UB_ZAPHASH_IMPL_H
#define UB_ZAPHASH_IMPL_H

#include <stddef.h>
#include <stdint.h>

/* Of the n bytes of a name, without the NUL. */
uint64_t ub_zap_hash_name(uint64_t salt, const uint8_t *name, size_t n);

/* Of `count` words of a numeric key, each in native order at any address; the lowest byte goes first. */
uint64_t ub_zap_hash_words(uint64_t salt, const uint8_t *words, size_t count);

#endif
