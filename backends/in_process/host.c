/* A Triton backend that runs a Python model inside tritonserver: the same model.py that Triton's own Python backend
 * runs in processes of their own ("stubs"), without the way there and back.
 *
 * Every request is a job of its own, done by one of the model's workers, of which there are as many as the process may
 * use cores: a core works on one picture at a time. An instance hands requests to workers that are idle, and one more
 * for whoever is idle next, so that he needn't wait for it; otherwise it waits, so that requests queue in Triton, where
 * they have a limit and a timeout. Python's lock is held only between the calls into libjpeg-turbo, OpenCV and ONNX
 * Runtime, which let go of it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sched.h>
#include <stdlib.h>

#include "clock.h"
#include "errors.h"
#include "interpreter.h"
#include "tensors.h"
#include "turns.h"
#include "workers.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct {
    PyObject *create, *execute, *finalize; /* out of triton_python_backend_utils.py */
    PyObject* model_class;                 /* out of the backend's model.py */
    bool gives_way;                        /* whether the class says so */
    Turns* turns;
} Backend;

typedef struct {
    TRITONBACKEND_ModelInstance* handle;
    Backend* backend;
    Workers* workers;
    PyObject* object;
} Instance;

static void log_and_delete(TRITONSERVER_Error* error)
{
    if (error == NULL) return;
    TRITONSERVER_LogMessage(TRITONSERVER_LOG_ERROR, __FILE__, __LINE__, TRITONSERVER_ErrorMessage(error));
    TRITONSERVER_ErrorDelete(error);
}

static TRITONSERVER_Error* load_backend(Backend* backend, const char* folder, const char* name)
{
    PyObject* utils = PyImport_ImportModule("triton_python_backend_utils");
    if (utils == NULL) return python_error();
    backend->create = PyObject_GetAttrString(utils, "create");
    backend->execute = PyObject_GetAttrString(utils, "execute");
    backend->finalize = PyObject_GetAttrString(utils, "finalize");
    backend->model_class = PyObject_CallMethod(utils, "load", "ss", folder, name);
    PyObject* gives_way = backend->model_class ? PyObject_CallMethod(utils, "gives_way", "O", backend->model_class) : NULL;
    backend->gives_way = gives_way == Py_True;
    Py_XDECREF(gives_way);
    Py_DECREF(utils);
    if (gives_way != NULL) backend->turns = turns_shared();
    return backend->turns && backend->create && backend->execute && backend->finalize ? NULL : python_error();
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend* handle)
{
    uint32_t major, minor;
    TRY(TRITONBACKEND_ApiVersion(&major, &minor));
    if (major != TRITONBACKEND_API_VERSION_MAJOR) {
        return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNSUPPORTED, "built for another backend API of Triton");
    }
    const char *name, *folder;
    TRITONBACKEND_ArtifactType type;
    TRY(TRITONBACKEND_BackendName(handle, &name));
    TRY(TRITONBACKEND_BackendArtifacts(handle, &type, &folder));
    TRY(start_python(folder));
    Backend* backend = calloc(1, sizeof *backend);
    if (backend == NULL) return FAIL("out of memory");
    PyGILState_STATE gil = PyGILState_Ensure();
    TRITONSERVER_Error* error = load_backend(backend, folder, name);
    PyGILState_Release(gil);
    if (error == NULL) error = TRITONBACKEND_BackendSetState(handle, backend);
    if (error != NULL) free(backend);
    return error;
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model)
{
    TRITONBACKEND_Backend* handle;
    Backend* backend;
    TRY(TRITONBACKEND_ModelBackend(model, &handle));
    TRY(TRITONBACKEND_BackendState(handle, (void**)&backend));
    cpu_set_t cores;
    int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    Workers* workers = workers_start(count, backend->turns, backend->gives_way);
    if (workers == NULL) return FAIL("threads can't be started");
    return TRITONBACKEND_ModelSetState(model, workers);
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model)
{
    void* workers;
    TRY(TRITONBACKEND_ModelState(model, &workers));
    if (workers != NULL) workers_stop(workers);
    return NULL;
}

/* What initialize() is given: triton_python_backend_utils.create makes the dictionary of it. */
static TRITONSERVER_Error* create(Instance* instance, TRITONBACKEND_Model* model)
{
    const char *name, *repository, *config;
    size_t config_size;
    uint64_t version;
    TRITONBACKEND_ArtifactType type;
    TRITONSERVER_InstanceGroupKind kind;
    TRITONSERVER_Message* message;
    TRY(TRITONBACKEND_ModelName(model, &name));
    TRY(TRITONBACKEND_ModelVersion(model, &version));
    TRY(TRITONBACKEND_ModelRepository(model, &type, &repository));
    TRY(TRITONBACKEND_ModelInstanceKind(instance->handle, &kind));
    TRY(TRITONBACKEND_ModelConfig(model, 1, &message));
    TRITONSERVER_Error* error = TRITONSERVER_MessageSerializeToJson(message, &config, &config_size);
    if (error == NULL) {
        PyGILState_STATE gil = PyGILState_Ensure();
        instance->object = PyObject_CallFunction(
            instance->backend->create, "O{s:s#,s:s,s:s,s:K,s:i}", instance->backend->model_class,
            "model_config", config, (Py_ssize_t)config_size, "model_name", name, "model_repository", repository,
            "model_version", (unsigned long long)version, "model_instance_kind", kind);
        if (instance->object == NULL) error = python_error();
        PyGILState_Release(gil);
    }
    log_and_delete(TRITONSERVER_MessageDelete(message));
    return error;
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* handle)
{
    TRITONBACKEND_Model* model;
    TRITONBACKEND_Backend* backend;
    Instance* instance = calloc(1, sizeof *instance);
    if (instance == NULL) return FAIL("out of memory");
    instance->handle = handle;
    TRITONSERVER_Error* error = TRITONBACKEND_ModelInstanceModel(handle, &model);
    if (error == NULL) error = TRITONBACKEND_ModelState(model, (void**)&instance->workers);
    if (error == NULL) error = TRITONBACKEND_ModelBackend(model, &backend);
    if (error == NULL) error = TRITONBACKEND_BackendState(backend, (void**)&instance->backend);
    if (error == NULL) error = create(instance, model);
    if (error == NULL) error = TRITONBACKEND_ModelInstanceSetState(handle, instance);
    if (error != NULL) free(instance);
    return error;
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* handle)
{
    Instance* instance;
    TRY(TRITONBACKEND_ModelInstanceState(handle, (void**)&instance));
    if (instance == NULL) return NULL;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject* done = PyObject_CallFunctionObjArgs(instance->backend->finalize, instance->object, NULL);
    TRITONSERVER_Error* error = done ? NULL : python_error();
    Py_XDECREF(done);
    Py_DECREF(instance->object);
    PyGILState_Release(gil);
    free(instance);
    return error;
}

/* One request, from its inputs to its response; Python's lock is held as long as Python is needed, and taken once. */
static void answer(Job job)
{
    Instance* instance = job.instance;
    uint64_t batch_size = 1, exec_start_ns = now_ns(), compute_start_ns = exec_start_ns;
    TRITONBACKEND_Response* response = NULL;
    TRITONSERVER_Error* error = NULL;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject* inputs = inputs_of(job.request, &batch_size, &error);
    PyObject* answered = NULL;
    if (error == NULL && inputs != NULL) {
        compute_start_ns = now_ns();
        answered = PyObject_CallFunctionObjArgs(instance->backend->execute, instance->object, inputs, NULL);
    }
    uint64_t compute_end_ns = now_ns();
    if (error == NULL && answered == NULL) error = python_error();
    TRITONSERVER_Error* failed = TRITONBACKEND_ResponseNew(&response, job.request);
    if (error == NULL && failed == NULL) error = fill(response, answered);
    Py_XDECREF(inputs);
    Py_XDECREF(answered);
    PyGILState_Release(gil);
    bool success = error == NULL && failed == NULL;
    if (response != NULL) {
        log_and_delete(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error));
    }
    if (error != NULL) TRITONSERVER_ErrorDelete(error); /* it was copied */
    log_and_delete(failed);
    uint64_t exec_end_ns = now_ns();
    log_and_delete(TRITONBACKEND_ModelInstanceReportStatistics(
        instance->handle, job.request, success, exec_start_ns, compute_start_ns, compute_end_ns, exec_end_ns));
    log_and_delete(TRITONBACKEND_ModelInstanceReportBatchStatistics(
        instance->handle, batch_size, exec_start_ns, compute_start_ns, compute_end_ns, exec_end_ns));
    log_and_delete(TRITONBACKEND_RequestRelease(job.request, TRITONSERVER_REQUEST_RELEASE_ALL));
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance* handle, TRITONBACKEND_Request** requests, uint32_t count)
{
    Instance* instance;
    TRY(TRITONBACKEND_ModelInstanceState(handle, (void**)&instance));
    for (uint32_t index = 0; index < count; index++) {
        workers_do(instance->workers, (Job){answer, instance, requests[index]});
    }
    return NULL;
}
