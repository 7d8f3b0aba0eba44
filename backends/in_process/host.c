/* A Triton backend that runs a Python model inside tritonserver: the same model.py that Triton's own Python backend
 * runs in processes of their own ("stubs"), without the way there and back.
 *
 * Every request is a job of its own, done by one of the model's workers, of which there are as many as the process may
 * use cores: a core works on one picture at a time. An instance hands requests to workers that are idle, and
 * otherwise waits, so that requests queue in Triton, where they have a limit and a timeout. Python's lock is held only
 * between the calls into libjpeg-turbo, OpenCV and ONNX Runtime, which let go of it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "triton.h"
#include "workers.h"

#define EXPORT __attribute__((visibility("default")))
#define FAIL(message) TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, message)
#define TRY(call)                                     \
    do {                                              \
        TRITONSERVER_Error* error_ = (call);          \
        if (error_ != NULL) return error_;            \
    } while (0)

enum { MOST_DIMENSIONS = 8 };

typedef struct {
    PyObject *create, *execute, *finalize; /* out of triton_python_backend_utils.py */
    PyObject* model_class;                 /* out of the backend's model.py */
} Backend;

typedef struct {
    TRITONBACKEND_ModelInstance* handle;
    Backend* backend;
    Workers* workers;
    PyObject* object;
} Instance;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void log_and_delete(TRITONSERVER_Error* error)
{
    if (error == NULL) return;
    TRITONSERVER_LogMessage(TRITONSERVER_LOG_ERROR, __FILE__, __LINE__, TRITONSERVER_ErrorMessage(error));
    TRITONSERVER_ErrorDelete(error);
}

/* Python's current exception, which is taken away; a new reference, or NULL. */
static PyObject* taken_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
#endif
}

/* The same as Triton's error, "Type: message". */
static TRITONSERVER_Error* python_error(void)
{
    PyObject* exception = taken_exception();
    PyObject* text = exception ? PyUnicode_FromFormat("%s: %S", Py_TYPE(exception)->tp_name, exception) : NULL;
    const char* message = text ? PyUnicode_AsUTF8(text) : NULL;
    TRITONSERVER_Error* error = FAIL(message ? message : "Python failed, and its error has no text");
    Py_XDECREF(text);
    Py_XDECREF(exception);
    PyErr_Clear();
    return error;
}

/* Python in this process, once for all backends. Extension modules look for its symbols in the global scope. */
static TRITONSERVER_Error* start_python(void)
{
    if (Py_IsInitialized()) return NULL;
    Dl_info python;
    if (!dladdr((void*)Py_IsInitialized, &python) || !dlopen(python.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD)) {
        return FAIL("libpython can't be made visible to Python's extension modules");
    }
    const char* executable = getenv("TRITONCLAS_PYTHON"); /* in its virtual environment, whose modules are wanted */
    if (executable == NULL) return FAIL("TRITONCLAS_PYTHON must name the Python executable");
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, executable);
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) return FAIL(status.err_msg ? status.err_msg : "Python doesn't start");
    PyEval_SaveThread();
    return NULL;
}

static TRITONSERVER_Error* load_backend(Backend* backend, const char* folder, const char* name)
{
    PyObject* utils = PyImport_ImportModule("triton_python_backend_utils");
    if (utils == NULL) return python_error();
    backend->create = PyObject_GetAttrString(utils, "create");
    backend->execute = PyObject_GetAttrString(utils, "execute");
    backend->finalize = PyObject_GetAttrString(utils, "finalize");
    backend->model_class = PyObject_CallMethod(utils, "load", "ss", folder, name);
    Py_DECREF(utils);
    return backend->create && backend->execute && backend->finalize && backend->model_class ? NULL : python_error();
}

static TRITONSERVER_Error* add_to_path(const char* folder)
{
    PyObject* path = PySys_GetObject("path");
    PyObject* entry = PyUnicode_FromFormat("%s/../in_process", folder);
    int failed = path == NULL || entry == NULL || PyList_Insert(path, 0, entry);
    Py_XDECREF(entry);
    return failed ? python_error() : NULL;
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
    TRY(start_python());
    Backend* backend = calloc(1, sizeof *backend);
    if (backend == NULL) return FAIL("out of memory");
    PyGILState_STATE gil = PyGILState_Ensure();
    TRITONSERVER_Error* error = add_to_path(folder);
    if (error == NULL) error = load_backend(backend, folder, name);
    PyGILState_Release(gil);
    if (error != NULL) return error;
    return TRITONBACKEND_BackendSetState(handle, backend);
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model)
{
    cpu_set_t cores;
    int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    Workers* workers = workers_start(count);
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

/* The input's bytes: where Triton has them if they are in one piece, otherwise joined. */
static PyObject* content_of(TRITONBACKEND_Input* input, uint64_t size, uint32_t buffers, TRITONSERVER_Error** error)
{
    PyObject* joined = buffers == 1 ? NULL : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    uint64_t at = 0;
    for (uint32_t index = 0; index < buffers; index++) {
        const void* buffer;
        uint64_t length;
        TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
        int64_t memory_id = 0;
        *error = TRITONBACKEND_InputBuffer(input, index, &buffer, &length, &memory, &memory_id);
        if (*error == NULL && memory > TRITONSERVER_MEMORY_CPU_PINNED) *error = FAIL("an input is in a GPU's memory");
        if (*error != NULL) break;
        if (buffers == 1) return PyMemoryView_FromMemory((char*)buffer, (Py_ssize_t)length, PyBUF_READ);
        if (joined == NULL || at + length > size) break;
        memcpy(PyBytes_AS_STRING(joined) + at, buffer, length);
        at += length;
    }
    return joined;
}

static PyObject* tuple_of(const int64_t* numbers, uint32_t count)
{
    PyObject* tuple = PyTuple_New(count);
    for (uint32_t index = 0; tuple != NULL && index < count; index++) {
        PyTuple_SET_ITEM(tuple, index, PyLong_FromLongLong(numbers[index]));
    }
    return tuple;
}

/* A request's inputs: [(name, data type, shape, content)]. */
static PyObject* inputs_of(TRITONBACKEND_Request* request, uint64_t* batch_size, TRITONSERVER_Error** error)
{
    uint32_t count = 0;
    *error = TRITONBACKEND_RequestInputCount(request, &count);
    PyObject* inputs = PyList_New(0);
    for (uint32_t index = 0; *error == NULL && inputs != NULL && index < count; index++) {
        TRITONBACKEND_Input* input;
        const char* name;
        TRITONSERVER_DataType type;
        const int64_t* shape;
        uint32_t dimensions, buffers;
        uint64_t size;
        *error = TRITONBACKEND_RequestInputByIndex(request, index, &input);
        if (*error == NULL) {
            *error = TRITONBACKEND_InputProperties(input, &name, &type, &shape, &dimensions, &size, &buffers);
        }
        if (*error != NULL) break;
        if (index == 0 && dimensions > 0) *batch_size = (uint64_t)shape[0];
        PyObject* content = content_of(input, size, buffers, error);
        PyObject* item = content ? Py_BuildValue("(siNN)", name, type, tuple_of(shape, dimensions), content) : NULL;
        if (item == NULL || PyList_Append(inputs, item)) Py_CLEAR(inputs);
        Py_XDECREF(item);
    }
    return inputs;
}

/* Copies one output, (name, data type, shape, buffer), into the response. */
static TRITONSERVER_Error* add_output(TRITONBACKEND_Response* response, PyObject* item)
{
    const char* name;
    int type;
    PyObject *shape, *content;
    if (!PyArg_ParseTuple(item, "siO!O", &name, &type, &PyTuple_Type, &shape, &content)) return python_error();
    int64_t sizes[MOST_DIMENSIONS];
    Py_ssize_t dimensions = PyTuple_GET_SIZE(shape);
    if (dimensions > MOST_DIMENSIONS) return FAIL("an output has too many dimensions");
    for (Py_ssize_t index = 0; index < dimensions; index++) {
        sizes[index] = PyLong_AsLongLong(PyTuple_GET_ITEM(shape, index));
    }
    Py_buffer view;
    if (PyObject_GetBuffer(content, &view, PyBUF_C_CONTIGUOUS)) return python_error();
    TRITONBACKEND_Output* output;
    void* buffer;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    TRITONSERVER_Error* error =
        TRITONBACKEND_ResponseOutput(response, &output, name, type, sizes, (uint32_t)dimensions);
    if (error == NULL) {
        error = TRITONBACKEND_OutputBuffer(output, &buffer, (uint64_t)view.len, &memory, &memory_id);
    }
    if (error == NULL && memory > TRITONSERVER_MEMORY_CPU_PINNED) error = FAIL("an output is wanted in a GPU's memory");
    if (error == NULL) memcpy(buffer, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return error;
}

/* What execute() has answered, (error code, message, outputs), into the response; its error, if that is its answer. */
static TRITONSERVER_Error* fill(TRITONBACKEND_Response* response, PyObject* answer)
{
    int code;
    const char* message;
    PyObject* outputs;
    if (!PyArg_ParseTuple(answer, "izO!", &code, &message, &PyList_Type, &outputs)) return python_error();
    if (message != NULL) return TRITONSERVER_ErrorNew((TRITONSERVER_Error_Code)code, message);
    TRITONSERVER_Error* error = NULL;
    for (Py_ssize_t index = 0; error == NULL && index < PyList_GET_SIZE(outputs); index++) {
        error = add_output(response, PyList_GET_ITEM(outputs, index));
    }
    return error;
}

/* One request, from its inputs to its response, in a worker's thread that holds Python's lock. */
static void answer(Job job)
{
    Instance* instance = job.instance;
    uint64_t batch_size = 1, compute_start_ns = now_ns();
    TRITONBACKEND_Response* response = NULL;
    TRITONSERVER_Error* error = NULL;
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
    PyThreadState* python = PyEval_SaveThread();
    bool success = error == NULL && failed == NULL;
    if (response != NULL) {
        log_and_delete(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error));
    }
    if (error != NULL) TRITONSERVER_ErrorDelete(error); /* it was copied */
    log_and_delete(failed);
    uint64_t exec_end_ns = now_ns();
    log_and_delete(TRITONBACKEND_ModelInstanceReportStatistics(
        instance->handle, job.request, success, job.exec_start_ns, compute_start_ns, compute_end_ns, exec_end_ns));
    log_and_delete(TRITONBACKEND_ModelInstanceReportBatchStatistics(
        instance->handle, batch_size, job.exec_start_ns, compute_start_ns, compute_end_ns, exec_end_ns));
    log_and_delete(TRITONBACKEND_RequestRelease(job.request, TRITONSERVER_REQUEST_RELEASE_ALL));
    PyEval_RestoreThread(python);
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance* handle, TRITONBACKEND_Request** requests, uint32_t count)
{
    Instance* instance;
    TRY(TRITONBACKEND_ModelInstanceState(handle, (void**)&instance));
    for (uint32_t index = 0; index < count; index++) {
        workers_do(instance->workers, (Job){answer, instance, requests[index], now_ns()});
    }
    return NULL;
}
