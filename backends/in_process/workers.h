/* Threads that do jobs, each of which holds Python's lock while it does one. */
#ifndef TRITONCLAS_WORKERS_H
#define TRITONCLAS_WORKERS_H

#include <stdint.h>

typedef struct Workers Workers;

typedef struct Job {
    void (*work)(struct Job);
    void* instance;
    void* request;
    uint64_t exec_start_ns;
} Job;

/* NULL if the threads can't be started. */
Workers* workers_start(int count);

/* Hands a job to an idle worker, or to the first that will be; waits where another job does so already. */
void workers_do(Workers* workers, Job job);

/* Ends the threads, once they have done what they were given. */
void workers_stop(Workers* workers);

#endif
