"""
The codes that errors had while their service still spoke the query protocol.

A client of such a service (SQS) gets the old code in a header and shows it to
its user; botocore's model no longer holds them.

Source: the `awsQueryError` traits of AWS's Smithy model of SQS; those of every
service are in its common errors,
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

from collections.abc import Mapping

_SQS = "AWS.SimpleQueueService."

QUERY_CODES: Mapping[str, Mapping[str, str]] = {
    "sqs": {
        "AccessDeniedException": "AccessDenied",
        "BatchEntryIdsNotDistinct": _SQS + "BatchEntryIdsNotDistinct",
        "BatchRequestTooLong": _SQS + "BatchRequestTooLong",
        "EmptyBatchRequest": _SQS + "EmptyBatchRequest",
        "ExpiredTokenException": "ExpiredToken",
        "IncompleteSignatureException": "IncompleteSignature",
        "InvalidBatchEntryId": _SQS + "InvalidBatchEntryId",
        "InvalidSignatureException": "SignatureDoesNotMatch",
        "KmsAccessDenied": "KMS.AccessDeniedException",
        "KmsDisabled": "KMS.DisabledException",
        "KmsInvalidKeyUsage": "KMS.InvalidKeyUsageException",
        "KmsInvalidState": "KMS.InvalidStateException",
        "KmsNotFound": "KMS.NotFoundException",
        "KmsOptInRequired": "KMS.OptInRequired",
        "KmsThrottled": "KMS.ThrottlingException",
        "MissingAuthenticationTokenException": "MissingAuthenticationToken",
        "MessageNotInflight": _SQS + "MessageNotInflight",
        "PurgeQueueInProgress": _SQS + "PurgeQueueInProgress",
        "QueueDeletedRecently": _SQS + "QueueDeletedRecently",
        "QueueDoesNotExist": _SQS + "NonExistentQueue",
        "QueueNameExists": "QueueAlreadyExists",
        "TooManyEntriesInBatchRequest": _SQS + "TooManyEntriesInBatchRequest",
        "UnrecognizedClientException": "InvalidClientTokenId",
        "UnsupportedOperation": _SQS + "UnsupportedOperation",
    }
}
"""By service, then by the error's shape; an error that is not here kept its name."""
