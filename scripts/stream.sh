#!/bin/sh
# Start the stream function on AWS Lambda, where the web adapter hands it requests on AWS_LWA_PORT. `exec`, so that the
# SIGTERM of a shutdown reaches uvicorn: Lambda sends one because the adapter is an extension, and kills 500 ms later.
cd "$LAMBDA_TASK_ROOT" || exit 1
exec python3 -m uvicorn api.chat.stream:app --host 127.0.0.1 --port "$AWS_LWA_PORT" --no-access-log
