"""The CloudFormation template that a deployment sends to AWS."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lib.web.address import EDGE_KEY_HEADER, VIEWER_HEADER
from tests.platforms.aws.build import Template, Tree
from tests.platforms.aws.conftest import BUCKET, CANARY, SECRET, SECRETS
from tests.test_bundle import SERVERLESS, TABLE, VERCEL

FUNCTIONS: dict[str, dict[str, Any]] = SERVERLESS["functions"]
STREAM = "/api/chat/stream.py"

LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
SECRET_ARN = f"arn:${{AWS::Partition}}:secretsmanager:${{AWS::Region}}:${{AWS::AccountId}}:secret:{SECRET}-??????"
BUCKET_ARN = f"arn:${{AWS::Partition}}:s3:::{BUCKET}"

USE = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
SPOOLING = ("chat", "jobs", "stream")
"""Those that keep turns in the spool, or bring them in."""

# A DependsOn of osls's own that a reference repeats, and our conditions on what is known when it packages.
KNOWN_WARNINGS = ("W1028", "W3005", "W8003")


def actions(statement: dict[str, Any]) -> set[str]:
    given = statement["Action"]
    return {given} if isinstance(given, str) else set(given)


def granted(template: Template, function: str) -> list[tuple[set[str], Any]]:
    """Return what a function's role may do, and to what."""
    statements = list(template.statements(f"{function.capitalize()}Role"))
    assert all(statement["Effect"] == "Allow" for statement in statements)
    return [(actions(statement), statement["Resource"]) for statement in statements]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_runs_on_arm_with_its_own_role_and_log(template: Template, name: str) -> None:
    function = template.function(name)
    assert (function["Runtime"], function["Architectures"]) == ("python3.12", ["arm64"])
    assert function["Handler"] == FUNCTIONS[name]["handler"]
    assert function["Role"] == {"Fn::GetAtt": [f"{name.capitalize()}Role", "Arn"]}
    assert function["Timeout"] == (300 if name == "stream" else 29)
    assert template.of("AWS::Logs::LogGroup")[f"{name.capitalize()}LogGroup"]["RetentionInDays"] == 30


def test_every_function_is_there_and_nothing_else_runs(template: Template) -> None:
    assert set(template.of("AWS::Lambda::Function")) == {f"{name.capitalize()}LambdaFunction" for name in FUNCTIONS}
    assert set(template.of("AWS::IAM::Role")) == {f"{name.capitalize()}Role" for name in FUNCTIONS}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_role_may_write_its_log_read_the_secret_and_nothing_else(template: Template, name: str) -> None:
    expected: list[tuple[set[str], Any]] = [
        (LOG, {"Fn::GetAtt": [f"{name.capitalize()}LogGroup", "Arn"]}),
        ({"secretsmanager:GetSecretValue"}, {"Fn::Sub": SECRET_ARN}),
    ]
    if name in SPOOLING:
        expected += [(USE, {"Fn::Sub": f"{BUCKET_ARN}/spool/*"}), ({"s3:ListBucket"}, {"Fn::Sub": BUCKET_ARN})]
    if name == "health":  # it tries the bucket
        expected += [(USE, {"Fn::Sub": f"{BUCKET_ARN}/*"}), ({"s3:ListBucket"}, {"Fn::Sub": BUCKET_ARN})]
    assert granted(template, name) == expected


def test_where_ses_sends_mail_auth_may_and_nobody_else(tree: Tree, template: Template) -> None:
    del template  # its files are in the same folder
    sending = tree.package(SECRETS_ID=SECRET, SES_REGION="eu-west-1")
    identities = {"Fn::Sub": "arn:${AWS::Partition}:ses:eu-west-1:${AWS::AccountId}:identity/*"}
    may = {name: [what for what in granted(sending, name) if what[0] == {"ses:SendEmail"}] for name in FUNCTIONS}
    assert may == {name: [({"ses:SendEmail"}, identities)] if name == "auth" else [] for name in FUNCTIONS}


def test_only_lambda_takes_a_role(template: Template) -> None:
    for role in template.of("AWS::IAM::Role").values():
        assert set(role) == {"AssumeRolePolicyDocument", "Policies"}
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement == {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"S3_BUCKET": BUCKET, "S3_ENDPOINT": "https://r2.example.com"},
        {"S3_BUCKET": BUCKET, "MINIO_ENDPOINT": "m:9"},
    ],
    ids=["no bucket", "a bucket elsewhere", "a bucket of MinIO"],
)
def test_no_bucket_of_awss_own_grants_nothing(tree: Tree, template: Template, variables: dict[str, str]) -> None:
    del template  # its files are in the same folder
    without = tree.package(SECRETS_ID=SECRET, **variables)
    for name in ("health", *SPOOLING):
        assert [what for what, _ in granted(without, name)] == [LOG, {"secretsmanager:GetSecretValue"}]


def test_the_http_api_routes_the_table(template: Template) -> None:
    routes = template.of("AWS::ApiGatewayV2::Route").values()
    targets = {
        route["RouteKey"]: route["Target"]["Fn::Join"][1][1]["Ref"].removeprefix("HttpApiIntegration").lower()
        for route in routes
    }
    expected = {
        f"ANY {source.replace('(.*)', '{proxy+}')}": name
        for source, destination in TABLE.items()
        for name, function in FUNCTIONS.items()
        if f"/{function['handler'].removesuffix('.lambda_handler')}.py" == destination
    }
    assert targets == expected | {"$default": "health"}
    (stage,) = template.of("AWS::ApiGatewayV2::Stage").values()
    assert stage["StageName"] == "$default"  # another one would be the first part of every path


def test_schedules_ask_the_jobs_for_what_schedules_over_http_ask_for(template: Template) -> None:
    rules = template.of("AWS::Events::Rule")
    asked = {json.loads(rule["Targets"][0]["Input"])["job"]: rule["ScheduleExpression"] for rule in rules.values()}
    assert asked == {"reap": "rate(1 hour)", "replay": "rate(10 minutes)"}
    assert {f"/api/v1/jobs/{job}" for job in asked} == {cron["path"] for cron in VERCEL["crons"]}
    jobs = {"Fn::GetAtt": ["JobsLambdaFunction", "Arn"]}
    assert all([target["Arn"] for target in rule["Targets"]] == [jobs] for rule in rules.values())
    assert {rule["State"] for rule in rules.values()} == {"ENABLED"}
    permissions = [
        permission
        for permission in template.of("AWS::Lambda::Permission").values()
        if permission["Principal"] == "events.amazonaws.com"
    ]
    assert [permission["FunctionName"] for permission in permissions] == [jobs, jobs]
    assert {permission["SourceArn"]["Fn::GetAtt"][0] for permission in permissions} == set(rules)


def test_only_the_http_api_the_schedule_and_the_url_may_invoke(template: Template) -> None:
    principals = {permission["Principal"] for permission in template.of("AWS::Lambda::Permission").values()}
    assert principals == {"apigateway.amazonaws.com", "events.amazonaws.com", "*"}


def test_the_function_url_streams_to_anybody(template: Template) -> None:
    (url,) = template.of("AWS::Lambda::Url").values()
    function = {"Fn::GetAtt": ["StreamLambdaFunction", "Arn"]}
    assert url == {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM", "TargetFunctionArn": function}
    public = [
        permission for permission in template.of("AWS::Lambda::Permission").values() if permission["Principal"] == "*"
    ]
    # AWS wants both of a public URL: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    assert sorted(public, key=json.dumps) == sorted(
        [
            {
                "Action": "lambda:InvokeFunctionUrl",
                "FunctionName": function,
                "FunctionUrlAuthType": "NONE",
                "Principal": "*",
            },
            {
                "Action": "lambda:InvokeFunction",
                "FunctionName": function,
                "InvokedViaFunctionUrl": True,
                "Principal": "*",
            },
        ],
        key=json.dumps,
    )


def test_the_stream_runs_under_the_web_adapter(template: Template) -> None:
    function = template.function("stream")
    assert function["Layers"] == [
        {"Fn::Sub": "arn:aws:lambda:${AWS::Region}:753240598075:layer:LambdaAdapterLayerArm64:27"}
    ]
    environment = function["Environment"]["Variables"]
    assert {name: value for name, value in environment.items() if name.startswith("AWS_")} == {
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "AWS_LWA_PORT": "8000",
        "AWS_LWA_READINESS_CHECK_PROTOCOL": "tcp",
    }


def test_a_whole_answer_is_there_before_the_http_api_gives_up(template: Template) -> None:
    assert template.function("chat")["Environment"]["Variables"]["AGENT_TIMEOUT"] == "20"


def front(template: Template) -> dict[str, Any]:
    (distribution,) = template.of("AWS::CloudFront::Distribution").values()
    return distribution["DistributionConfig"]


def test_one_host_stands_in_front_of_both_origins(template: Template) -> None:
    config = front(template)
    origins = {origin["Id"]: origin for origin in config["Origins"]}
    assert origins["api"]["DomainName"] == {"Fn::Sub": "${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"}
    url = {"Fn::GetAtt": ["StreamLambdaFunctionUrl", "FunctionUrl"]}
    assert origins["stream"]["DomainName"] == {"Fn::Select": [2, {"Fn::Split": ["/", url]}]}
    assert all(origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only" for origin in origins.values())
    assert config["DefaultCacheBehavior"]["TargetOriginId"] == "api"
    streamed = [source.replace("(.*)", "*") for source, destination in TABLE.items() if destination == STREAM]
    assert {b["PathPattern"]: b["TargetOriginId"] for b in config["CacheBehaviors"]} == dict.fromkeys(
        streamed, "stream"
    )
    assert template.whole["Outputs"]["Address"]["Value"] == {"Fn::Sub": "https://${Front.DomainName}"}


def test_the_host_in_front_says_where_a_request_came_from_and_shows_that_it_is_ours(template: Template) -> None:
    config = front(template)
    key = f"{{{{resolve:secretsmanager:{SECRET}:SecretString:EDGE_KEY}}}}"
    for origin in config["Origins"]:
        assert origin["OriginCustomHeaders"] == [{"HeaderName": EDGE_KEY_HEADER, "HeaderValue": key}]
    ((name, function),) = template.of("AWS::CloudFront::Function").items()
    assert f"headers['{VIEWER_HEADER}'] = {{ value: event.viewer.ip }}" in function["FunctionCode"]
    assert function["AutoPublish"] is True
    told = [{"EventType": "viewer-request", "FunctionARN": {"Fn::GetAtt": [name, "FunctionARN"]}}]
    for behavior in (config["DefaultCacheBehavior"], *config["CacheBehaviors"]):
        assert behavior["FunctionAssociations"] == told


def test_the_host_in_front_passes_everything_on_and_keeps_nothing(template: Template) -> None:
    config = front(template)
    for behavior in (config["DefaultCacheBehavior"], *config["CacheBehaviors"]):
        assert behavior["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # CachingDisabled
        assert behavior["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"  # AllViewerExceptHostHeader
        assert set(behavior["AllowedMethods"]) == {"GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"}
        assert behavior["ViewerProtocolPolicy"] == "https-only"
        assert behavior["Compress"] is False
    kept = {error["ErrorCode"]: error["ErrorCachingMinTTL"] for error in config["CustomErrorResponses"]}
    # Those that CloudFront would keep: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html
    assert kept == dict.fromkeys((400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504), 0)


def test_no_secret_of_the_laptop_is_in_what_goes_to_aws(tree: Tree, template: Template) -> None:
    assert SECRETS["NEON_DATABASE_URL"] == CANARY
    sent = sorted((tree.folder / ".serverless").iterdir())
    assert len(sent) >= 3
    assert [path.name for path in sent if CANARY in path.read_text()] == []
    for function in template.of("AWS::Lambda::Function").values():
        assert not set(SECRETS) & set(function["Environment"]["Variables"])


def test_nothing_is_packaged_without_the_name_of_a_secret(tree: Tree) -> None:
    (tree.folder / ".env").rename(tree.folder / "env")
    done = tree.osls("package", "--stage", "check")
    (tree.folder / "env").rename(tree.folder / ".env")
    assert done.returncode != 0
    assert "provider.environment.SECRETS_ID" in done.stdout + done.stderr


def test_cloudformation_has_no_fault_to_find(tree: Tree, template: Template, tmp_path: Path) -> None:
    checked = tmp_path / "template.json"
    checked.write_text(json.dumps(template.whole))
    lint = Path(sys.executable).with_name("cfn-lint")
    command = [lint, "--regions", "eu-central-1", "us-east-1", "--ignore-checks", *KNOWN_WARNINGS, "--", checked]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_variable_of_osls_is_resolved(template: Template) -> None:
    assert re.findall(r"\$\{(?:env|sls|self|file|opt):", json.dumps(template.whole)) == []
