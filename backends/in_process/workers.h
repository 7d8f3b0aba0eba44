/* Threads that do jobs, each with a thread state of Python's, so that a job can take its lock at little cost. */
#ifndef TRITONCLAS_WORKERS_H
#define TRITONCLAS_WORKERS_H

#include <stdbool.h>

#include "turns.h"

typedef struct Workers Workers;

typedef struct Job {
    void (*work)(struct Job);
    void* instance;
    void* request;
} Job;

/* NULL if the threads can't be started. Those that give way begin no job while others who share their turns have more
 * in hand than workers. */
Workers* workers_start(int count, Turns* turns, bool give_way);

/* Hands a job to an idle worker, or to the first that will be; waits where another job does so already. */
void workers_do(Workers* workers, Job job);

/* Ends the threads, once they have done what they were given. */
void workers_stop(Workers* workers);

#endif
