"""A function version to build others from."""

from __future__ import annotations

from casemate.core.function import FunctionVersion

FUNCTION = FunctionVersion(
    account="111122223333",
    region="us-east-1",
    name="f",
    arn="arn:aws:lambda:us-east-1:111122223333:function:f",
    version="$LATEST",
    revision="1",
    runtime="python3.11",
    handler="app.handler",
    role_arn="arn:aws:iam::111122223333:role/r",
    role_id="AROAEXAMPLE",
    code_sha256="0" * 64,
    memory_mb=128,
    timeout=3,
    ephemeral_mb=512,
    environment={},
    log_group="/aws/lambda/f",
)
