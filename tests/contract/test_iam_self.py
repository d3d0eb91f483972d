"""IAM operations that mean the caller when they name nobody."""

from __future__ import annotations

import json

import pytest

from platform_harness import Platform


def test_a_user_who_names_nobody_means_themselves(platform: Platform) -> None:
    """GetUser and the access key operations default to the calling user."""
    iam = platform.client("iam")
    iam.create_user(UserName="selfish")
    own = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["iam:GetUser", "iam:ListAccessKeys"],
                "Resource": "arn:aws:iam::*:user/${aws:username}",
            }
        ],
    }
    iam.put_user_policy(
        UserName="selfish", PolicyName="own", PolicyDocument=json.dumps(own)
    )
    key = iam.create_access_key(UserName="selfish")["AccessKey"]
    me = platform.client(
        "iam",
        credentials={
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        },
    )

    assert "selfish" == me.get_user()["User"]["UserName"]
    keys = me.list_access_keys()["AccessKeyMetadata"]
    assert [key["AccessKeyId"]] == [k["AccessKeyId"] for k in keys]
    with pytest.raises(me.exceptions.ClientError, match="AccessDenied"):
        me.create_access_key()


def test_a_session_must_name_a_user(platform: Platform) -> None:
    """A role's session is no user: AWS's own words say so."""
    iam = platform.client("iam")

    with pytest.raises(iam.exceptions.ClientError, match="Must specify userName"):
        iam.get_user()
