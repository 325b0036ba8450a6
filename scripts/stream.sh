#!/bin/sh
# Start the stream function on AWS Lambda, where the web adapter hands it requests on AWS_LWA_PORT.
export PYTHONPATH="$LAMBDA_TASK_ROOT:$PYTHONPATH"
exec python3 -m uvicorn api.chat.stream:app --host 127.0.0.1 --port "$AWS_LWA_PORT" --no-access-log
