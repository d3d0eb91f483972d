"""Amazon SQS: standard queues, their messages, and who may use them."""
