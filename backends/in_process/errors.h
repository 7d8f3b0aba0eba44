/* Triton's errors. */
#ifndef TRITONCLAS_ERRORS_H
#define TRITONCLAS_ERRORS_H

#include "triton.h"

#define FAIL(message) TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, message)
#define TRY(call)                            \
    do {                                     \
        TRITONSERVER_Error* error_ = (call); \
        if (error_ != NULL) return error_;   \
    } while (0)

#endif
