/* Runs a harness without libFuzzer: on the files that are named, or on inputs made by chance.
 *
 * usage: fuzz_NAME RUNS SEED | fuzz_NAME FILE...
 */
#include <stdio.h>

#include "fuzz_input.h"

#define LENGTH_MAX 4096

static uint64_t state;

static uint64_t chance(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

/* Small numbers, extreme ones and noise, in runs: what structures are made of. */
static size_t make(uint8_t *data)
{
    size_t size = 1 + chance(chance(4) ? 200 : LENGTH_MAX - 1), at = 0;
    while (at < size) {
        size_t run = 1 + chance(24), kind = chance(5);
        for (; run != 0 && at < size; run--)
            data[at++] = (uint8_t)(kind == 0 ? 0 : kind == 1 ? 255 : kind == 2 ? chance(4) : chance(256));
    }
    return size;
}

static int run_file(const char *name)
{
    FILE *file = fopen(name, "rb");
    if (file == NULL) {
        perror(name);
        return 1;
    }
    static uint8_t data[1 << 20];
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    return LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    unsigned long long runs = argc == 3 ? strtoull(argv[1], &end, 10) : 0;
    if (runs == 0 || *end != '\0') {
        int failed = 0;
        for (int i = 1; i < argc; i++)
            failed |= run_file(argv[i]);
        return failed;
    }
    state = strtoull(argv[2], NULL, 10) * 2 + 1;
    for (unsigned long long i = 0; i < runs; i++) {
        uint8_t made[LENGTH_MAX];
        size_t size = make(made);
        fuzz_input in = {made, size};
        uint8_t *data = fuzz_block(&in, size);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    printf("%llu runs\n", runs);
    return 0;
}
