/* SHA-256, FIPS 180-4. Enough of it to compare two streams without another library. */
#ifndef PUPPET_SHA256_H
#define PUPPET_SHA256_H

#include <stdint.h>
#include <string.h>

struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};

static const uint32_t sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t sha256_rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_block(struct sha256 *s, const uint8_t *p)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (sha256_rotate(a, 7) ^ sha256_rotate(a, 18) ^ a >> 3) +
               (sha256_rotate(b, 17) ^ sha256_rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, s->state, sizeof v);
    /* The eight variables stay where they are; their names move round instead. */
    for (int i = 0; i < 64; i += 8)
        for (int j = 0; j < 8; j++) {
            uint32_t a = v[-j & 7], b = v[(1 - j) & 7], c = v[(2 - j) & 7], e = v[(4 - j) & 7];
            uint32_t t = v[(7 - j) & 7] + (sha256_rotate(e, 6) ^ sha256_rotate(e, 11) ^ sha256_rotate(e, 25)) +
                         ((e & v[(5 - j) & 7]) ^ (~e & v[(6 - j) & 7])) + sha256_constants[i + j] + w[i + j];
            v[(3 - j) & 7] += t;
            v[(7 - j) & 7] = t + (sha256_rotate(a, 2) ^ sha256_rotate(a, 13) ^ sha256_rotate(a, 22)) +
                             ((a & b) ^ (a & c) ^ (b & c));
        }
    for (int i = 0; i < 8; i++)
        s->state[i] += v[i];
}

static void sha256_init(struct sha256 *s)
{
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(s->state, first, sizeof first);
    s->length = 0;
}

static void sha256_update(struct sha256 *s, const void *data, size_t length)
{
    const uint8_t *p = data;
    while (length > 0) {
        size_t held = s->length % 64, take = 64 - held < length ? 64 - held : length;
        if (take == 64) {
            sha256_block(s, p);
        } else {
            memcpy(s->block + held, p, take);
            if (held + take == 64)
                sha256_block(s, s->block);
        }
        s->length += take;
        p += take;
        length -= take;
    }
}

/* Writes 64 hexadecimal digits and a NUL. */
static void sha256_finish(struct sha256 *s, char *hex)
{
    uint64_t bits = s->length * 8;
    uint8_t pad[72] = {0x80};
    size_t zeros = (s->length % 64 < 56 ? 56 : 120) - s->length % 64;
    for (int i = 0; i < 8; i++)
        pad[zeros + i] = (uint8_t)(bits >> (56 - 8 * i));
    sha256_update(s, pad, zeros + 8);
    for (int i = 0; i < 64; i++)
        hex[i] = "0123456789abcdef"[s->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[64] = 0;
}

#endif
