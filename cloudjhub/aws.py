"""Clients of AWS's services; the only importer of boto3.

A call is short, blocks, and gives plain dictionaries or one of our errors. What the errors say
is the caller's choice: a student reads other sentences than the operator of a cluster.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from cloudjhub.errors import EC2Error

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    SSOError,
    TokenRetrievalError,
)


@dataclass(frozen=True)
class Access:
    """Where AWS is, and as whom it is asked. Empty keys: boto3's usual chain."""

    region: str
    endpoint_url: str | None = None
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    profile: str = ""


class Translation(Protocol):
    """AWS's errors as ours; ``cloudjhub.ec2_errors`` is one."""

    def from_code(self, action: str, code: str, text: str, request_id: str) -> EC2Error:
        """AWS answered with an error code; ``text`` is its own sentence."""
        ...

    def unreachable(self, action: str) -> EC2Error:
        """No answer that can be read."""
        ...

    def no_credentials(self, action: str) -> EC2Error:
        """boto3 found nothing to sign the call with."""
        ...

    def unusable(self, action: str, reason: str) -> EC2Error:
        """boto3 refuses to send the call."""
        ...


# Of every request that boto3 sends, repeated ones too: action, AWS's error code ("" for a good
# answer, None for no answer at all), seconds. Called in the thread of the call.
Told = Callable[[str, str | None, float], None]


#: gets botocore's response (status_code, body) and the dictionary that its result is updated with
Reader = Callable[[dict[str, Any], dict[str, Any]], None]


class Session:
    """Makes the clients of one account and region.

    Raises what ``translation`` makes of files in ~/.aws that boto3 cannot use.
    """

    def __init__(self, access: Access, translation: Translation):
        self.access = access
        self._translation = translation
        try:
            self._boto = boto3.session.Session(
                region_name=access.region,
                profile_name=access.profile or None,
                aws_access_key_id=access.access_key_id or None,
                aws_secret_access_key=access.secret_access_key or None,
                aws_session_token=access.session_token or None,
            )
        except BotoCoreError as error:
            raise translation.unusable("Session", str(error)) from error

    def service(
        self,
        name: str,
        *,
        attempts: int,
        read_seconds: int,
        threads: int = 4,
        told: Told | None = None,
    ) -> "Service":
        """A client, such as ``"ec2"``; ``attempts`` counts the first try too."""
        config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=5,
            read_timeout=read_seconds,
            max_pool_connections=threads,
        )
        endpoint = self.access.endpoint_url
        try:
            client = self._boto.client(name, endpoint_url=endpoint, config=config)
        except _NO_CREDENTIALS as error:
            raise self._translation.no_credentials("Session") from error
        except (BotoCoreError, ValueError) as error:
            raise self._translation.unusable("Session", str(error)) from error
        if told is not None:
            _listen(client, told)
        return Service(client, self._translation)


class Service:
    """One AWS service. Thread-safe, as boto3's clients are."""

    def __init__(self, client: Any, translation: Translation):
        self._client = client
        self._translation = translation

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Make one call, such as ``ask("describe_images", ImageIds=[...])``."""
        return self._asked(self._action(operation), getattr(self._client, operation), **arguments)

    def pages(self, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Every page of a call that AWS answers in parts."""
        paginator = self._client.get_paginator(operation)
        pages = iter(paginator.paginate(**arguments))
        action = self._action(operation)
        while (page := self._asked(action, next, pages, None)) is not None:
            yield page

    def read_by_hand(self, operation: str, read: Reader) -> None:
        """Have ``read`` take what it wants out of each answer before botocore reads the rest."""
        event = f"before-parse.{self._client.meta.service_model.service_id.hyphenize()}"
        self._client.meta.events.register(
            f"{event}.{self._action(operation)}",
            lambda response_dict, customized_response_dict, **_: read(
                response_dict, customized_response_dict
            ),
        )

    def _action(self, operation: str) -> str:
        return self._client.meta.method_to_api_mapping[operation]

    def _asked(self, action: str, call: Any, *positional: Any, **arguments: Any) -> Any:
        try:
            return call(*positional, **arguments)
        except ClientError as error:
            said = error.response.get("Error", {})
            request_id = error.response.get("ResponseMetadata", {}).get("RequestId", "")
            code, text = said.get("Code", ""), said.get("Message", "")
            raise self._translation.from_code(action, code, text, request_id) from error
        except _NO_CREDENTIALS as error:
            raise self._translation.no_credentials(action) from error
        except (NoConnection, HTTPClientError, ResponseParserError) as error:
            raise self._translation.unreachable(action) from error
        except BotoCoreError as error:
            raise self._translation.unusable(action, str(error)) from error


def _listen(client: Any, told: Told) -> None:
    """Have each request and its answer told (botocore/endpoint.py, _send_request)."""
    listener = _Listener(told)
    name = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"request-created.{name}", listener.sent)
    client.meta.events.register(f"response-received.{name}", listener.answered)


class _Listener:
    def __init__(self, told: Told):
        self._told = told

    def sent(self, request: Any, **_: Any) -> None:
        request.context["cloudjhub_sent_at"] = time.monotonic()

    def answered(
        self,
        event_name: str,
        parsed_response: dict[str, Any] | None,
        context: dict[str, Any],
        **_: Any,
    ) -> None:
        seconds = time.monotonic() - context.get("cloudjhub_sent_at", time.monotonic())
        code = None
        if parsed_response is not None:
            code = parsed_response.get("Error", {}).get("Code", "")
        self._told(event_name.rpartition(".")[2], code, seconds)
