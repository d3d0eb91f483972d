"""Hello as a Lambda handler: for Casemate and for serverless-offline."""


def handler(event, context):
    return {"message": f"hello, {event['name']}"}
