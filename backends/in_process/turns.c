#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "turns.h"

#define LONGEST_NS 100000000

struct Turns {
    pthread_mutex_t lock;
    pthread_cond_t free;
    int crowded;
};

Turns* turns_shared(void)
{
    /* Every backend is a library of its own; a module that all of them import is where they meet. */
    static const char* const name = "triton_python_backend_utils.turns";
    PyObject* utils = PyImport_ImportModule("triton_python_backend_utils");
    if (utils == NULL) return NULL;
    Turns* turns = NULL;
    if (PyObject_HasAttrString(utils, "turns")) {
        turns = PyCapsule_Import(name, 0);
    } else if ((turns = calloc(1, sizeof *turns)) == NULL) {
        PyErr_NoMemory();
    } else {
        pthread_condattr_t clock;
        pthread_condattr_init(&clock);
        pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
        pthread_cond_init(&turns->free, &clock);
        pthread_condattr_destroy(&clock);
        pthread_mutex_init(&turns->lock, NULL);
        PyObject* capsule = PyCapsule_New(turns, strdup(name), NULL); /* this library's text goes when it is unloaded */
        if (capsule == NULL || PyObject_SetAttrString(utils, "turns", capsule)) turns = NULL;
        Py_XDECREF(capsule);
    }
    Py_DECREF(utils);
    return turns;
}

void turns_crowded(Turns* turns, bool crowded)
{
    pthread_mutex_lock(&turns->lock);
    turns->crowded += crowded ? 1 : -1;
    if (turns->crowded == 0) pthread_cond_broadcast(&turns->free);
    pthread_mutex_unlock(&turns->lock);
}

void turns_wait(Turns* turns, uint64_t longest_ns)
{
    uint64_t until_ns = now_ns() + (longest_ns < LONGEST_NS ? longest_ns : LONGEST_NS);
    struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};
    pthread_mutex_lock(&turns->lock);
    while (turns->crowded > 0 && pthread_cond_timedwait(&turns->free, &turns->lock, &until) == 0) continue;
    pthread_mutex_unlock(&turns->lock);
}
