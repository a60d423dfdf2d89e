"""The names that scripts rely on: credentials, health, progress, the clock and the command line's token."""

import json
import stat
import subprocess
import sys

import httpx

from headrace.testing.server import Server

from .world import CATALOG, Api, World, until


def test_first_start_writes_credentials_that_only_the_owner_reads(server: Server) -> None:
    path = server.home / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    credentials = json.loads(path.read_text())
    assert set(credentials) == {"organization_id", "client_id", "client_secret", "sandbox"}
    assert credentials["sandbox"] == "prod"
    assert credentials["organization_id"].endswith("@AdobeOrg")


def test_health_needs_no_token_and_names_every_role(server: Server) -> None:
    answer = httpx.get(f"{server.url}/headrace/health")
    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "ready"
    assert set(body["roles"]) == {"gateway", "pipeline", "lake_writer", "scheduler", "activation"}
    pids = {role["pid"] for role in body["roles"].values()}
    assert len(pids) == 5
    assert pids == server.children()


def test_command_line_prints_a_token_that_works(server: Server, world: World) -> None:
    command = [sys.executable, "-m", "headrace", "token", "--home", str(server.home)]
    token = subprocess.run(command, capture_output=True, text=True, check=True, timeout=55).stdout.strip()
    answer = world.call("GET", f"{CATALOG}/dataSets", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200


def test_token_endpoint_follows_oauth(api: Api) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": api.credentials.client_id,
        "client_secret": api.credentials.client_secret,
        "scope": "openid,AdobeID,read_organizations",
    }
    granted = api.http.post("/ims/token/v3", data=form)
    assert granted.status_code == 200
    assert granted.json()["token_type"] == "bearer"
    assert 0 < granted.json()["expires_in"] <= 86_400
    assert api.http.post("/ims/token/v2", params=form).status_code == 200
    refused = api.http.post("/ims/token/v3", data={**form, "client_secret": "wrong"})
    assert refused.status_code in (400, 401)
    assert refused.json()["error"] == "invalid_client"


def test_progress_counts_what_was_accepted_and_set_aside(filled: World) -> None:
    before = filled.settle()
    filled.send(filled.customer("c-1", person={"name": {"firstName": "Ada"}}))
    filled.send(filled.event("e-1", "2026-01-01T00:00:00Z", "web.visit", "c-1"))
    wrong = filled.customer("c-2", person={"name": {"firstName": 5}})
    assert filled.send(wrong).status_code == 200
    after = filled.settle()
    counters = {"accepted", "quarantined", "applied", "inLake", "changes", "delivered", "waiting", "dead"}
    assert counters <= set(after)
    assert all(isinstance(after[name], int) for name in counters)
    assert after["accepted"] == before["accepted"] + 2
    assert after["quarantined"] == before["quarantined"] + 1
    assert after["applied"] == before["applied"] + 2
    assert after["inLake"] >= before["inLake"] + 2
    assert after["now"].endswith("Z")


def test_progress_needs_a_token_and_the_headers_of_every_call(api: Api) -> None:
    assert api.http.get("/headrace/progress").status_code == 403
    headers = api.headers("prod")
    headers.pop("x-sandbox-name")
    assert api.http.get("/headrace/progress", headers=headers).status_code == 200


def test_settled_is_told_soon_after_the_last_record(filled: World) -> None:
    for number in range(50):
        filled.send(filled.customer(f"c-{number}"))
    until(lambda: filled.get("/headrace/progress"), lambda progress: progress["settled"], seconds=10)
    assert filled.profile("c-49") is not None


def test_clock_of_the_machine_is_not_moved_by_a_call(world: World) -> None:
    answer = world.call("POST", "/headrace/clock", {"now": "2030-01-01T00:00:00Z"})
    assert answer.status_code == 409
    assert "--clock manual:" in answer.json()["headrace"]["hint"]
