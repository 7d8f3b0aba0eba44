/* A Triton backend whose models answer with zeros, whatever they are asked: what is left is Triton's own.
 *
 * Compiled for one output: OUTPUT is its name, TYPE its data type as Triton numbers them, SHAPE its sizes after the
 * batch's, BYTES how many a picture has. The batch is as large as the first input's.
 */
#include <string.h>

#include "clock.h"
#include "errors.h"
#include "triton.h"

#define EXPORT __attribute__((visibility("default")))

static TRITONSERVER_Error* batch_of(TRITONBACKEND_Request* request, int64_t* batch)
{
    TRITONBACKEND_Input* input;
    const int64_t* shape;
    TRY(TRITONBACKEND_RequestInputByIndex(request, 0, &input));
    TRY(TRITONBACKEND_InputProperties(input, NULL, NULL, &shape, NULL, NULL, NULL));
    *batch = shape[0];
    return NULL;
}

static TRITONSERVER_Error* zeros(TRITONBACKEND_Response* response, int64_t batch)
{
    const int64_t shape[] = {batch, SHAPE};
    uint64_t size = (uint64_t)batch * BYTES;
    TRITONBACKEND_Output* output;
    void* buffer;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    TRY(TRITONBACKEND_ResponseOutput(response, &output, OUTPUT, TYPE, shape, sizeof shape / sizeof *shape));
    TRY(TRITONBACKEND_OutputBuffer(output, &buffer, size, &memory, &memory_id));
    if (memory > TRITONSERVER_MEMORY_CPU_PINNED) return FAIL("an output is wanted in a GPU's memory");
    memset(buffer, 0, size);
    return NULL;
}

/* What a backend owes Triton for a request: a response, its statistics, and the request itself. */
static TRITONSERVER_Error* answer(TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request* request)
{
    uint64_t begin_ns = now_ns();
    TRITONBACKEND_Response* response;
    int64_t batch;
    TRY(batch_of(request, &batch));
    TRY(TRITONBACKEND_ResponseNew(&response, request));
    TRITONSERVER_Error* failed = zeros(response, batch);
    TRITONSERVER_Error* sent = TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, failed);
    if (failed != NULL) TRITONSERVER_ErrorDelete(failed); /* it was copied */
    TRY(sent);
    uint64_t end_ns = now_ns();
    TRY(TRITONBACKEND_ModelInstanceReportStatistics(instance, request, true, begin_ns, begin_ns, end_ns, end_ns));
    TRY(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, (uint64_t)batch, begin_ns, begin_ns, end_ns, end_ns));
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
