"""Requests made up from the OpenAPI description: nothing may break the server or the description.

A body may follow the schema and still be refused, since a rule of a deployment or a name of the
catalog is no matter of types; so a refusal of the documented form is accepted too.
"""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
)

from ridgeline.http.app import create_app
from ridgeline.http.openapi import document
from ridgeline.questions.registry import QUESTIONS

ONLY = settings(max_examples=5, deadline=None, derandomize=True,
                suppress_health_check=list(HealthCheck))


schema = schemathesis.openapi.from_dict(document(create_app()))
# Every boundary of every field is some thousand requests: asked for when the server changes.
schema.config.phases.coverage.enabled = os.environ.get("RIDGELINE_THOROUGH") == "1"


@schema.parametrize()
@ONLY
def test_no_request_breaks_the_server_or_the_description(case, address):
    response = case.call(base_url=address, timeout=30)
    # Too large a body is refused by its size, before anyone looks at its schema.
    unread = [negative_data_rejection] if response.status_code == 413 else []
    case.validate_response(response, excluded_checks=[positive_data_acceptance, *unread])


@pytest.mark.parametrize("name", QUESTIONS)
def test_schemas_are_closed_and_described(name):
    found = QUESTIONS[name].schema
    assert found["additionalProperties"] is False
    assert set(found["required"]) <= set(found["properties"])
