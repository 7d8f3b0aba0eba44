/* Tensors of requests as Python's objects, and back. Python's lock must be held. */
#ifndef TRITONCLAS_TENSORS_H
#define TRITONCLAS_TENSORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "triton.h"

/* A request's inputs: [(name, data type, shape, content)]; NULL or an error if they can't be had. */
PyObject* inputs_of(TRITONBACKEND_Request* request, uint64_t* batch_size, TRITONSERVER_Error** error);

/* What execute() has answered, (error code, message, outputs), into the response; its error, if that is its answer. */
TRITONSERVER_Error* fill(TRITONBACKEND_Response* response, PyObject* answer);

#endif
