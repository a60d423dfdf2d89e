"""Streamed upserts on their way into the profile: replace, merge, delete, and their identity links."""

import json
from typing import Any

import pytest

from headrace.model import Operation, Record, encode_entry
from headrace.profile.merge import merged
from headrace.profile.person import Person
from headrace.profile.reader import ProfileReader

from .pipeline_world import EVENTS, PROFILES, World, profile

ADA = {"person": {"name": {"firstName": "Ada"}}, "homeAddress": {"city": "Bern", "country": "CH"}}
SWISS = {1: 'homeAddress.country = "CH"'}


def put(world: World, body: dict[str, Any], operation: Operation = "create", *, links: int = 0, dataset: int = PROFILES) -> None:
    record = Record(1, dataset, json.dumps(body).encode(), world.clock.now_ms(), operation, links_dataset=links)
    world.log.topic("records").append([encode_entry(record)])
    world.run()


def persons(world: World) -> list[Person]:
    return list(ProfileReader(world.state).persons(1))


@pytest.fixture
def world() -> World:
    world = World(SWISS)
    put(world, {**profile(CRMID="1"), **ADA})
    return world


def test_create_replaces_the_whole_fragment(world: World) -> None:
    put(world, {**profile(CRMID="1"), "homeAddress": {"city": "Paris"}}, "create", links=-1)
    [person] = persons(world)
    assert merged(person) == {"homeAddress": {"city": "Paris"}}
    assert world.members(1) == set()


def test_merge_changes_what_is_there_and_null_deletes(world: World) -> None:
    put(world, {**profile(CRMID="1"), "homeAddress": {"city": None, "country": "FR"}}, "merge", links=-1)
    [person] = persons(world)
    assert merged(person) == {"person": {"name": {"firstName": "Ada"}}, "homeAddress": {"country": "FR"}}
    assert world.members(1) == set()


def test_merge_for_somebody_new_makes_the_fragment(world: World) -> None:
    put(world, {**profile(CRMID="2"), "homeAddress": {"country": "CH", "city": None}}, "merge", links=-1)
    assert world.members(1) == {"1", "2"}


def test_delete_removes_the_fragment_and_ends_memberships(world: World) -> None:
    put(world, profile(CRMID="1"), "delete", links=-1)
    [person] = persons(world)
    assert person.fragments == []
    assert world.members(1) == set()


@pytest.mark.parametrize("operation", ["create", "merge", "delete"])
def test_an_upsert_without_identity_links_nobody(world: World, operation: Operation) -> None:
    put(world, profile(CRMID="1", Email="a@b.ch"), operation, links=-1)
    [person] = persons(world)
    assert [vertex.identity.value for vertex in person.vertices] == ["1"]


def test_an_upsert_with_identity_links_on_behalf_of_the_other_dataset(world: World) -> None:
    put(world, profile(CRMID="1", Email="a@b.ch"), "merge", links=EVENTS)
    [person] = persons(world)
    assert {vertex.identity.value for vertex in person.vertices} == {"1", "a@b.ch"}
    assert world.members(1) == {"1"}


def test_a_delete_makes_nobody_and_links_nobody(world: World) -> None:
    put(world, profile(CRMID="9", Email="a@b.ch"), "delete")
    put(world, profile(CRMID="1", Email="a@b.ch"), "delete")
    [person] = persons(world)
    assert [vertex.identity.value for vertex in person.vertices] == ["1"]
    put(world, {**profile(CRMID="1"), **ADA}, "create", links=-1)
    assert world.members(1) == {"1"}


@pytest.mark.parametrize(("characters", "is_taken"), [(102_000, True), (102_400, False)])
def test_a_record_over_a_hundred_kilobytes_stays_out_of_the_profile(world: World, characters: int, is_taken: bool) -> None:
    put(world, {**profile(CRMID="1"), "homeAddress": {"city": "x" * characters}})
    [person] = persons(world)
    assert ("person" in merged(person)) is not is_taken
