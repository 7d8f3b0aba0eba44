#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <stdlib.h>

#include "errors.h"
#include "interpreter.h"

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

TRITONSERVER_Error* python_error(void)
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

/* Where triton_python_backend_utils.py is, beside the backends' folders, comes first in sys.path. */
static TRITONSERVER_Error* extend_path(const char* backend_folder)
{
    PyObject* path = PySys_GetObject("path");
    PyObject* entry = PyUnicode_FromFormat("%s/../in_process", backend_folder);
    int failed = path == NULL || entry == NULL || PyList_Insert(path, 0, entry);
    Py_XDECREF(entry);
    return failed ? python_error() : NULL;
}

/* Extension modules look for Python's symbols in the global scope. */
TRITONSERVER_Error* start_python(const char* backend_folder)
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
    TRITONSERVER_Error* error = extend_path(backend_folder);
    PyEval_SaveThread();
    return error;
}
