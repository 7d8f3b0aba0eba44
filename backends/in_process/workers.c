#include <Python.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "clock.h"
#include "workers.h"

/* Who gives way waits so many times as long as the last job took: what is done in vain is at most a tenth of the work. */
#define PATIENCE 10

struct Workers {
    pthread_mutex_t lock;
    pthread_cond_t given;  /* a job, or the end */
    pthread_cond_t taken;  /* a job was begun: there is room for another */
    Job* jobs;             /* given, not yet begun: a ring of one more than there are workers */
    int count, first, waiting, idle;
    int blocked;           /* who have a job to give, and no room for it */
    bool end, crowded;
    Turns* turns;
    bool give_way;
    _Atomic uint64_t taken_ns; /* by the last job */
    pthread_t* threads;
};

static int ring(const Workers* workers) { return workers->count + 1; }

/* Says so, once, where there is more in hand than workers to do it, or no longer; the lock must be held. */
static void tell(Workers* workers)
{
    bool crowded = workers->waiting + workers->blocked > workers->idle;
    if (workers->give_way || crowded == workers->crowded) return;
    workers->crowded = crowded;
    turns_crowded(workers->turns, crowded);
}

static bool next_job(Workers* workers, Job* job)
{
    pthread_mutex_lock(&workers->lock);
    workers->idle++;
    while (workers->waiting == 0 && !workers->end) pthread_cond_wait(&workers->given, &workers->lock);
    bool found = workers->waiting > 0;
    if (found) {
        *job = workers->jobs[workers->first];
        workers->first = (workers->first + 1) % ring(workers);
        pthread_cond_signal(&workers->taken);
        workers->waiting--;
        workers->idle--;
        tell(workers);
    }
    pthread_mutex_unlock(&workers->lock);
    return found;
}

static void* work(void* argument)
{
    Workers* workers = argument;
    Job job;
    PyGILState_STATE state = PyGILState_Ensure();
    PyThreadState* python = PyEval_SaveThread();
    while (next_job(argument, &job)) {
        if (workers->give_way) turns_wait(workers->turns, PATIENCE * workers->taken_ns);
        uint64_t begin_ns = now_ns();
        job.work(job);
        workers->taken_ns = now_ns() - begin_ns;
    }
    PyEval_RestoreThread(python);
    PyGILState_Release(state);
    return NULL;
}

void workers_do(Workers* workers, Job job)
{
    pthread_mutex_lock(&workers->lock);
    workers->blocked++;
    tell(workers);
    while (workers->waiting > workers->idle) pthread_cond_wait(&workers->taken, &workers->lock);
    workers->blocked--;
    workers->jobs[(workers->first + workers->waiting) % ring(workers)] = job;
    workers->waiting++;
    tell(workers);
    pthread_cond_signal(&workers->given);
    pthread_mutex_unlock(&workers->lock);
}

Workers* workers_start(int count, Turns* turns, bool give_way)
{
    Workers* workers = calloc(1, sizeof *workers);
    if (workers == NULL) return NULL;
    workers->turns = turns;
    workers->give_way = give_way;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->given, NULL);
    pthread_cond_init(&workers->taken, NULL);
    workers->jobs = calloc((size_t)count + 1, sizeof *workers->jobs);
    workers->threads = calloc((size_t)count, sizeof *workers->threads);
    while (workers->jobs && workers->threads && workers->count < count) {
        if (pthread_create(&workers->threads[workers->count], NULL, work, workers)) break;
        workers->count++;
    }
    if (workers->count == count) return workers;
    workers_stop(workers);
    return NULL;
}

void workers_stop(Workers* workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->end = true;
    pthread_cond_broadcast(&workers->given);
    pthread_mutex_unlock(&workers->lock);
    for (int index = 0; index < workers->count; index++) pthread_join(workers->threads[index], NULL);
    free(workers->threads);
    free(workers->jobs);
    free(workers);
}
