"""AWS Lambda: functions, their policies and tags, and their invocation."""
