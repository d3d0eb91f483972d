"""
A function that calls another one, with boto3 and no configuration.

The endpoint and the credentials come with the role, as on AWS; whether the
call is allowed is the role's policy.
"""

import json
import os

import boto3

lambda_ = boto3.client("lambda")


def handler(event, context):
    answer = lambda_.invoke(
        FunctionName=os.environ["GREETER"],
        Payload=json.dumps({"name": event["customer"]}),
    )
    greeting = json.load(answer["Payload"])
    print("order", event["order"], "for", event["customer"])
    return {"order": event["order"], "greeting": greeting["message"]}
