/* A thread that waits in a call, as others see it. */
#ifndef SLEEPER_H
#define SLEEPER_H

#include <sys/types.h>
#include <unistd.h>

#include "../c/tap.h"

/* Waits until a thread is in a state, by its stat. */
static inline void await_state(pid_t thread, char wanted)
{
    char path[64], state = '?';

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    for (int settled = 0; settled < 3; settled = state == wanted ? settled + 1 : 0) {
        FILE *stat = fopen(path, "r");

        NEEDS(stat != NULL && fscanf(stat, "%*d %*s %c", &state) == 1);
        fclose(stat);
        usleep(1000); /* how often it looks */
    }
}

/* Waits until it sleeps in the kernel. */
static inline void await_sleep(pid_t thread)
{
    await_state(thread, 'S');
}

#endif
