#include "tensors.h"

#include <string.h>

#include "errors.h"
#include "interpreter.h"

enum { MOST_DIMENSIONS = 8 };

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

PyObject* inputs_of(TRITONBACKEND_Request* request, uint64_t* batch_size, TRITONSERVER_Error** error)
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

TRITONSERVER_Error* fill(TRITONBACKEND_Response* response, PyObject* answer)
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
