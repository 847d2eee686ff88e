/* Preloaded: the time of day is CLOCK_OFFSET seconds off. All that waits goes by the monotonic clock, which is as it is:
   libfaketime 0.9.10 breaks Python's time.sleep, which sleeps until a point of that clock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, now);
    if (status == 0 && id == CLOCK_REALTIME)
        now->tv_sec += atol(getenv("CLOCK_OFFSET"));
    return status;
}
