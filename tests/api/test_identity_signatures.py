"""OAuth 1 consumers and tokens, and tokens for requests that were signed with an EC2 credential."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import uuid
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from tests.api.conftest import PUBLIC_URL, Client, CloudUnderTest

V3 = "/identity/v3"
OAUTH = f"{V3}/OS-OAUTH1"


def _q(text: str) -> str:
    return quote(text, safe="~")


def _signed(method: str, path: str, consumer: dict[str, Any], token: str = "", token_secret: str = "",
            **more: str) -> dict[str, str]:
    """The header of a request that a consumer signs (RFC 5849)."""
    oauth = {"oauth_consumer_key": consumer["id"], "oauth_nonce": uuid.uuid4().hex, "oauth_version": "1.0",
             "oauth_signature_method": "HMAC-SHA1", "oauth_timestamp": str(int(time.time())), **more}
    if token:
        oauth["oauth_token"] = token
    normal = "&".join(f"{_q(k)}={_q(v)}" for k, v in sorted(oauth.items()))
    base = "&".join((method, _q(PUBLIC_URL.rstrip("/") + path), _q(normal)))
    key = f"{_q(consumer['secret'])}&{_q(token_secret)}".encode()
    oauth["oauth_signature"] = base64.b64encode(hmac.new(key, base.encode(), "sha1").digest()).decode()
    return {"Authorization": "OAuth " + ", ".join(f'{k}="{_q(v)}"' for k, v in oauth.items())}


def _fields(text: str) -> tuple[str, str]:
    found = parse_qs(text)
    return found["oauth_token"][0], found["oauth_token_secret"][0]


def _consumer(admin: Client) -> dict[str, Any]:
    return admin.post(f"{OAUTH}/consumers", {"consumer": {"description": "a program"}}).json()["consumer"]


def test_consumers(admin: Client) -> None:
    made = _consumer(admin)
    path = f"{OAUTH}/consumers/{made['id']}"
    shown = admin.get(path).json()["consumer"]
    assert {**shown, "secret": made["secret"]} == made
    assert admin.get(f"{OAUTH}/consumers").json()["consumers"] == [shown]
    assert admin.patch(path, {"consumer": {"description": "new"}}).json()["consumer"]["description"] == "new"
    assert admin.patch(path, {"consumer": {"secret": "mine"}}).status_code == 400
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def _access(admin: Client, consumer: dict[str, Any], role: str) -> tuple[str, str]:
    path = f"{OAUTH}/request_token"
    headers = {**_signed("POST", path, consumer), "Requested-Project-Id": admin.project_id}
    answer = admin.request("POST", path, headers=headers)
    assert answer.status_code == 201, answer.text
    request, request_secret = _fields(answer.text)
    authorized = admin.put(f"{OAUTH}/authorize/{request}", {"roles": [{"name": role}]})
    assert authorized.status_code == 200, authorized.text
    verifier = authorized.json()["token"]["oauth_verifier"]
    path = f"{OAUTH}/access_token"
    wrong = _signed("POST", path, consumer, request, request_secret, oauth_verifier="no")
    assert admin.request("POST", path, headers=wrong).status_code == 401
    right = _signed("POST", path, consumer, request, request_secret, oauth_verifier=verifier)
    answer = admin.request("POST", path, headers=right)
    assert answer.status_code == 201, answer.text
    return _fields(answer.text)


def test_an_access_token_lends_some_roles(cloud: CloudUnderTest, admin: Client) -> None:
    consumer = _consumer(admin)
    token, secret = _access(admin, consumer, "reader")
    path = f"{V3}/auth/tokens"
    body = {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}
    answer = cloud.client().post(path, body, headers=_signed("POST", path, consumer, token, secret))
    assert answer.status_code == 201, answer.text
    shown = answer.json()["token"]
    assert [role["name"] for role in shown["roles"]] == ["reader"]
    assert shown["OS-OAUTH1"] == {"access_token_id": token, "consumer_id": consumer["id"]}
    assert shown["project"]["id"] == admin.project_id
    program = cloud.client(answer.headers["X-Subject-Token"])
    assert program.get(f"{V3}/users").status_code == 403
    assert program.get(f"{V3}/auth/projects").status_code == 200
    rescoped = cloud.client().post(path, {"auth": {"identity": {
        "methods": ["token"], "token": {"id": program.token}}}})
    assert rescoped.status_code == 403
    user = admin.body["user"]["id"]
    own = f"{V3}/users/{user}/OS-OAUTH1/access_tokens"
    assert [one["id"] for one in admin.get(own).json()["access_tokens"]] == [token]
    assert [role["name"] for role in admin.get(f"{own}/{token}/roles").json()["roles"]] == ["reader"]
    assert admin.delete(f"{own}/{token}").status_code == 204
    assert program.get(f"{V3}/auth/projects").status_code == 401


def test_a_wrong_signature_gets_nothing(cloud: CloudUnderTest, admin: Client) -> None:
    consumer = _consumer(admin)
    path = f"{OAUTH}/request_token"
    project = {"Requested-Project-Id": admin.project_id}
    bad = {**consumer, "secret": "guess"}
    assert cloud.client().request("POST", path, headers={**_signed("POST", path, bad), **project}).status_code == 401
    old = _signed("POST", path, consumer, oauth_timestamp=str(int(time.time()) - 3600))
    assert cloud.client().request("POST", path, headers={**old, **project}).status_code == 401
    assert cloud.client().request("POST", path, headers=project).status_code == 400
    body = {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}
    assert cloud.client().post(f"{V3}/auth/tokens", body).status_code == 400


# -- EC2


@pytest.fixture
def ec2(member: Client) -> dict[str, str]:
    """An EC2 credential of a member."""
    user = member.body["user"]["id"]
    made = member.post(f"{V3}/users/{user}/credentials/OS-EC2", {"tenant_id": member.project_id})
    assert made.status_code == 201, made.text
    return made.json()["credential"]


def _ec2_v2(credential: dict[str, str], host: str, signed_host: str) -> dict[str, Any]:
    params = {"SignatureVersion": "2", "SignatureMethod": "HmacSHA256", "Action": "Test",
              "AWSAccessKeyId": credential["access"]}
    query = "&".join(f"{_q(k)}={_q(params[k])}" for k in sorted(params))
    text = f"GET\n{signed_host}\n/services\n{query}"
    signature = base64.b64encode(hmac.new(credential["secret"].encode(), text.encode(), "sha256").digest()).decode()
    return {"access": credential["access"], "signature": signature, "host": host, "verb": "GET", "path": "/services",
            "params": params}


def _v4_key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key


@pytest.mark.parametrize("host", ["cloud.test", "cloud.test:8773"])
def test_ec2_version_2(admin: Client, member: Client, cloud: CloudUnderTest, ec2: dict[str, str], host: str) -> None:
    asked = _ec2_v2(ec2, host, "cloud.test")
    answer = admin.post(f"{V3}/ec2tokens", {"credentials": asked})
    assert answer.status_code == 200, answer.text
    assert answer.json()["token"]["project"]["id"] == member.project_id
    token = cloud.client(answer.headers["X-Subject-Token"])
    assert token.get(f"{V3}/auth/projects").status_code == 200
    assert member.post(f"{V3}/ec2tokens", {"credentials": asked}).status_code == 403
    asked["signature"] = "AAAA" + asked["signature"][4:]
    assert admin.post(f"{V3}/ec2tokens", {"credentials": asked}).status_code == 401
    assert admin.post(f"{V3}/ec2tokens", {"credentials": {**asked, "access": "none"}}).status_code == 404


def test_ec2_version_4(admin: Client, ec2: dict[str, str]) -> None:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = (stamp[:8], "region", "ec2", "aws4_request")
    body_hash = hashlib.sha256(b"Action=Test").hexdigest()
    request = f"POST\n/\n\nhost:cloud.test\nx-amz-date:{stamp}\n\nhost;x-amz-date\n{body_hash}"
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), hashlib.sha256(request.encode()).hexdigest()))
    signature = hmac.new(_v4_key(ec2["secret"], *scope), text.encode(), "sha256").hexdigest()
    asked = {"access": ec2["access"], "signature": signature, "host": "cloud.test", "verb": "POST", "path": "/",
             "params": {}, "body_hash": body_hash, "headers": {
                 "Host": "cloud.test", "X-Amz-Date": stamp, "Authorization":
                     f"AWS4-HMAC-SHA256 Credential={ec2['access']}/{'/'.join(scope)}, SignedHeaders=host;x-amz-date"}}
    answer = admin.post(f"{V3}/ec2tokens", {"credentials": asked})
    assert answer.status_code == 200, answer.text
    assert answer.json()["token"]["methods"] == ["ec2credential"]
    asked["path"] = "/other"
    assert admin.post(f"{V3}/ec2tokens", {"credentials": asked}).status_code == 401


def test_s3(admin: Client, ec2: dict[str, str]) -> None:
    text = b"GET\n\n\nTue, 1 Jan 2030 00:00:00 GMT\n/bucket"
    signature = base64.b64encode(hmac.new(ec2["secret"].encode(), text, "sha1").digest()).decode()
    asked = {"access": ec2["access"], "token": base64.urlsafe_b64encode(text).decode(), "signature": signature}
    answer = admin.post(f"{V3}/s3tokens", {"credentials": asked})
    assert answer.status_code == 200, answer.text
    assert "X-Subject-Token" not in answer.headers
    asked["signature"] = "x"
    assert admin.post(f"{V3}/s3tokens", {"credentials": asked}).status_code == 401
    assert admin.post(f"{V3}/s3tokens", {"credentials": {**asked, "token": "%%"}}).status_code == 401


@pytest.mark.parametrize("body", [{}, {"credentials": {}}, {"credentials": {"access": 3}}, {"credentials": "x"}])
def test_bad_requests_for_signed_tokens(admin: Client, body: object) -> None:
    assert admin.post(f"{V3}/ec2tokens", body).status_code in (400, 401)
    assert admin.post(f"{V3}/s3tokens", body).status_code in (400, 401)


# -- OAuth 2.0


def test_client_credentials(cloud: CloudUnderTest, member: Client) -> None:
    user = member.body["user"]["id"]
    own = member.post(f"{V3}/users/{user}/application_credentials", {"application_credential": {
        "name": "program", "secret": "between us"}}).json()["application_credential"]
    path, form = f"{V3}/OS-OAUTH2/token", {"grant_type": "client_credentials"}
    basic = base64.b64encode(f"{own['id']}:between us".encode()).decode()
    answer = cloud.client().request("POST", path, data=form, headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 3600)
    program = cloud.client(answer.json()["access_token"])
    assert [p["id"] for p in program.get(f"{V3}/auth/projects").json()["projects"]] == [member.project_id]
    in_form = {**form, "client_id": own["id"], "client_secret": "between us"}
    assert cloud.client().request("POST", path, data=in_form).status_code == 200


@pytest.mark.parametrize(("form", "status", "error"), [
    ({}, 400, "invalid_request"), ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ({"grant_type": "client_credentials"}, 401, "invalid_client"),
    ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, 401, "invalid_client"),
    ({"grant_type": "x" * 2_000}, 400, "unsupported_grant_type")])
def test_bad_client_credentials(anonymous: Client, form: dict[str, str], status: int, error: str) -> None:
    answer = anonymous.request("POST", f"{V3}/OS-OAUTH2/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    assert anonymous.get(f"{V3}/OS-OAUTH2/token").status_code == 405


def test_a_consumer_may_send_its_secrets_as_they_are(admin: Client) -> None:
    consumer = _consumer(admin)
    path = f"{OAUTH}/request_token"

    def asked(signature: str) -> int:
        oauth = {"oauth_consumer_key": consumer["id"], "oauth_nonce": uuid.uuid4().hex, "oauth_version": "1.0",
                 "oauth_signature_method": "PLAINTEXT", "oauth_timestamp": str(int(time.time())),
                 "oauth_signature": signature}
        header = "OAuth " + ", ".join(f'{k}="{_q(v)}"' for k, v in oauth.items())
        return admin.request("POST", path, headers={
            "Authorization": header, "Requested-Project-Id": admin.project_id}).status_code

    assert asked(f"{_q(consumer['secret'])}&") == 201
    assert asked("no&") == asked("") == asked(f"{_q(consumer['secret'])}&x") == 401
