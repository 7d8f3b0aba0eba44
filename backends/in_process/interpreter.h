/* Python inside tritonserver. */
#ifndef TRITONCLAS_INTERPRETER_H
#define TRITONCLAS_INTERPRETER_H

#include "triton.h"

/* Starts Python, once for all backends, with the modules of the virtual environment of $TRITONCLAS_PYTHON. */
TRITONSERVER_Error* start_python(const char* backend_folder);

/* Python's current exception as Triton's error, "Type: message"; Python's lock must be held. */
TRITONSERVER_Error* python_error(void);

#endif
