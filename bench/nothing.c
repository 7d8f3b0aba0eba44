/* A Triton backend whose models answer with zeros, whatever they are asked: what is left is Triton's own.
 *
 * Compiled for one output: OUTPUT is its name, TYPE its data type as Triton numbers them, SHAPE its sizes with the
 * batch's, BYTES how many it has.
 */
#include <string.h>

#include "clock.h"
#include "errors.h"
#include "triton.h"

#define EXPORT __attribute__((visibility("default")))

static TRITONSERVER_Error* zeros(TRITONBACKEND_Response* response)
{
    static const int64_t shape[] = {SHAPE};
    TRITONBACKEND_Output* output;
    void* buffer;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    TRY(TRITONBACKEND_ResponseOutput(response, &output, OUTPUT, TYPE, shape, sizeof shape / sizeof *shape));
    TRY(TRITONBACKEND_OutputBuffer(output, &buffer, BYTES, &memory, &memory_id));
    if (memory > TRITONSERVER_MEMORY_CPU_PINNED) return FAIL("an output is wanted in a GPU's memory");
    memset(buffer, 0, BYTES);
    return NULL;
}

/* What a backend owes Triton for a request: a response, its statistics, and the request itself. */
static TRITONSERVER_Error* answer(TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request* request)
{
    uint64_t begin_ns = now_ns();
    TRITONBACKEND_Response* response;
    TRY(TRITONBACKEND_ResponseNew(&response, request));
    TRITONSERVER_Error* failed = zeros(response);
    TRITONSERVER_Error* sent = TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, failed);
    if (failed != NULL) TRITONSERVER_ErrorDelete(failed); /* it was copied */
    TRY(sent);
    uint64_t end_ns = now_ns();
    TRY(TRITONBACKEND_ModelInstanceReportStatistics(instance, request, true, begin_ns, begin_ns, end_ns, end_ns));
    TRY(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, 1, begin_ns, begin_ns, end_ns, end_ns));
    return TRITONBACKEND_RequestRelease(request, TRITONSERVER_REQUEST_RELEASE_ALL);
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request** requests, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++) {
        TRITONSERVER_Error* error = answer(instance, requests[index]);
        if (error == NULL) continue;
        TRITONSERVER_LogMessage(TRITONSERVER_LOG_ERROR, __FILE__, __LINE__, TRITONSERVER_ErrorMessage(error));
        TRITONSERVER_ErrorDelete(error);
    }
    return NULL;
}
