/* Lines of the Test Anything Protocol: a number, ok or not, and what was asked. */
#ifndef TAP_H
#define TAP_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failures;

static inline bool tap(bool good, const char *what)
{
    tap_count++;
    tap_failures += !good;
    printf("%s %d - %s\n", good ? "ok" : "not ok", tap_count, what);
    return good;
}

/* A call that shall return -1 with this errno. `result` and `error` are what it did. */
static inline void tap_fails(const char *what, long result, int error, int expected)
{
    if (!tap(result == -1 && error == expected, what))
        printf("# expected -1 %s; was %ld %s\n", strerrorname_np(expected), result,
               result == -1 ? strerrorname_np(error) : "");
}

static inline void tap_gives(const char *what, long result, int error, long expected)
{
    if (!tap(result == expected, what))
        printf("# expected %ld; was %ld %s\n", expected, result, result == -1 ? strerrorname_np(error) : "");
}

/* In one statement, so that errno is of this call. */
#define FAILS(call, expected)                                                                                          \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long tap_result = (long)(call);                                                                                \
        tap_fails(#call, tap_result, errno, expected);                                                                 \
    } while (0)

#define GIVES(call, expected)                                                                                          \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long tap_result = (long)(call);                                                                                \
        tap_gives(#call, tap_result, errno, expected);                                                                 \
    } while (0)

#define HOLDS(condition) tap((condition), #condition)

/* The tests cannot go on without this. */
#define NEEDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("Bail out! %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno));                      \
            exit(EXIT_FAILURE);                                                                                        \
        }                                                                                                              \
    } while (0)

static inline int tap_end(void)
{
    printf("1..%d\n", tap_count);
    return tap_failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
