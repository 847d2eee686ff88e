"""What serverless.yml makes for CloudFormation, and what it refuses to make."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from aws import package, serverless
from common.contract import Contract, load
from lambda_orchestrator import clients, handler, saga
from orders import customers_client
from tests.conftest import ROOT

ELSEWHERE = {"CUSTOMERS_API_BASE": "https://customers.example", "ORDERS_API_BASE": "https://orders.example"}
ON_LAMBDA = {
    "SERVICES": "lambda",
    "DB_HOST": "b2b.cluster.example",
    "DB_USER": "b2b",
    "VPC_SUBNET_IDS": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "VPC_SECURITY_GROUP_IDS": "sg-0123456789abcdef0",
}
# What must not get into a template, whoever exports it.
LEAKS = {"JWT_SECRET": "leak" * 10, "SERVICE_TOKEN": "Leak" * 10, "DB_PASSWORD": "LEAK" * 10}
GATEWAY_SECONDS = 29


def run_command(*command, **settings):
    """Run a command in the repository, as from a shell that knows nothing of this project but `settings`."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environ | settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def run_serverless(*arguments, **settings):
    """Run aws/serverless."""
    return run_command("aws/serverless", *arguments, **settings)


def run_framework(*arguments, **settings):
    """Run the framework itself, past aws/serverless."""
    return run_command("node_modules/.bin/serverless", *arguments, **settings)


def run_make(*arguments):
    """Run make."""
    return run_command("make", *arguments)


def read_template(folder):
    """Return the template of a `make_package` folder."""
    return json.loads((folder / "cloudformation-template-update-stack.json").read_text())


def make_package(directory, zips, settings):
    """Return the folder with the templates of `serverless package`."""
    packages = str(zips["orchestrator"].parent)
    run = run_serverless("package", "--package", str(directory), **settings, **LEAKS, PACKAGES=packages)
    assert run.returncode == 0, run.stdout + run.stderr
    return directory


@pytest.fixture(scope="module")
def folders(zips, tmp_path_factory):
    return {
        "elsewhere": make_package(tmp_path_factory.mktemp("elsewhere"), zips, ELSEWHERE),
        "lambda": make_package(tmp_path_factory.mktemp("lambda"), zips, ON_LAMBDA),
        "bounded": make_package(tmp_path_factory.mktemp("bounded"), zips, {**ON_LAMBDA, "SERVICE_CONCURRENCY": "20"}),
    }


@pytest.fixture(params=["elsewhere", "lambda", "bounded"])
def folder(request, folders):
    return folders[request.param]


@pytest.fixture
def template(folder):
    """The template in each variant: the orchestrator alone, with the services, with their instances bounded."""
    return read_template(folder)


def resources(template, kind):
    """Return {logical id: properties} of the resources of one type."""
    return {
        name: resource["Properties"] for name, resource in template["Resources"].items() if resource["Type"] == kind
    }


def functions(template):
    """Return {name as in serverless.yml: properties}."""
    found = resources(template, "AWS::Lambda::Function").values()
    return {function["FunctionName"].removeprefix("b2b-orders-prod-"): function for function in found}


# --- the whole -------------------------------------------------------------------------


def test_cfn_lint_finds_nothing_but_what_the_framework_generates(folder):
    templates = sorted(folder.glob("*-stack.json"))
    command = [pathlib.Path(sys.executable).with_name("cfn-lint"), "--format", "json", *templates]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    found = {finding["Rule"]["Id"] for finding in json.loads(run.stdout)}
    assert len(templates) == 2
    # It writes DependsOn for what a reference says already, and cfn-lint finds that in each of its stacks.
    assert found == {"W3005"}, run.stdout
    assert (run.returncode, run.stderr) == (4, "")  # 4: warnings alone


def test_functions_are_those_asked_for(folders):
    def names(folder):
        return set(functions(read_template(folder)))

    assert {variant: names(folder) for variant, folder in folders.items()} == {
        "elsewhere": {"orchestrator"},
        "lambda": {"orchestrator", "customers", "orders"},
        "bounded": {"orchestrator", "customers", "orders"},
    }


def test_functions_are_what_the_zips_are_built_for(template):
    for name, function in functions(template).items():
        assert function["Handler"] == package.FUNCTIONS[name].handler
        assert function["Runtime"] == f"python{package.runtime()}"
        assert function["Architectures"] == ["x86_64"]
        assert function["Code"]["S3Key"].endswith(f"/{name}.zip")


# --- who may do what -------------------------------------------------------------------


def test_no_role_has_a_wildcard_in_an_action_or_a_resource(template):
    roles = resources(template, "AWS::IAM::Role")
    statements = [
        statement
        for role in roles.values()
        for policy in role.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]

    assert len(roles) == len(functions(template))
    assert statements != []
    for statement in statements:
        assert statement["Effect"] == "Allow"
        assert "*" not in json.dumps([statement["Action"], statement["Resource"]])


def test_each_function_has_its_own_role_that_lambda_alone_may_take(template):
    roles = [function["Role"]["Fn::GetAtt"][0] for function in functions(template).values()]

    assert len(set(roles)) == len(roles)
    for role in roles:
        properties = template["Resources"][role]["Properties"]
        (statement,) = properties["AssumeRolePolicyDocument"]["Statement"]
        assert (statement["Principal"], statement["Action"]) == ({"Service": "lambda.amazonaws.com"}, "sts:AssumeRole")
        # A function in a VPC needs rights that AWS gives for no single resource; AWS's own policy has just them.
        managed = [arn["Fn::Sub"].rsplit("/", 1)[1] for arn in properties.get("ManagedPolicyArns", [])]
        assert managed == ([] if role == "OrchestratorRole" else ["AWSLambdaVPCAccessExecutionRole"])


def test_each_function_has_a_log_group_with_retention(template):
    groups = {
        group["LogGroupName"]: group["RetentionInDays"] for group in resources(template, "AWS::Logs::LogGroup").values()
    }

    assert groups == {f"/aws/lambda/b2b-orders-prod-{name}": 30 for name in functions(template)}


# --- settings --------------------------------------------------------------------------


def test_secrets_are_references_and_nowhere_in_clear(template, folder):
    for name, function in functions(template).items():
        variables = function["Environment"]["Variables"]
        secrets = ["JWT_SECRET", "SERVICE_TOKEN"] + ["DB_PASSWORD"] * (name != "orchestrator")
        for secret in secrets:
            assert variables[secret] == "{{resolve:secretsmanager:b2b-orders/prod:SecretString:" + secret + "}}"
        assert variables["APP_ENV"] == "production"
    for path in folder.iterdir():
        text = path.read_text()
        assert [value for value in LEAKS.values() if value in text] == [], path.name
        assert "development-only" not in text, path.name


def test_functions_that_reach_mysql_are_in_its_network(template):
    for name, function in functions(template).items():
        if name == "orchestrator":
            assert "VpcConfig" not in function
            assert "DB_HOST" not in function["Environment"]["Variables"]
        else:
            assert function["VpcConfig"] == {
                "SubnetIds": {"Fn::Split": [",", ON_LAMBDA["VPC_SUBNET_IDS"]]},
                "SecurityGroupIds": {"Fn::Split": [",", ON_LAMBDA["VPC_SECURITY_GROUP_IDS"]]},
            }
            variables = function["Environment"]["Variables"]
            assert (variables["DB_HOST"], variables["DB_PORT"]) == ("b2b.cluster.example", "3306")
            assert (variables["DB_USER"], variables["DB_NAME"]) == ("b2b", "b2b")


def test_instances_are_bounded_where_it_is_asked_for(folders):
    for variant, expected in (("lambda", None), ("bounded", 20)):
        deployed = functions(read_template(folders[variant]))
        bounds = {name: function.get("ReservedConcurrentExecutions") for name, function in deployed.items()}
        assert bounds == {"orchestrator": None, "customers": expected, "orders": expected}


def test_programs_find_each_other(template):
    variables = functions(template)["orchestrator"]["Environment"]["Variables"]
    if len(functions(template)) == 1:
        assert {name: variables[name] for name in ELSEWHERE} == ELSEWHERE
    else:
        address = {"Fn::Sub": "https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"}
        for function in functions(template).values():
            assert {name: function["Environment"]["Variables"][name] for name in ELSEWHERE} == dict.fromkeys(
                ELSEWHERE, address
            )


def test_timeouts_nest(template):
    customer_check = customers_client.ATTEMPTS * customers_client.CALL_TIMEOUT
    for function in functions(template).values():
        saga_seconds = function["Timeout"] - handler.MARGIN_SECONDS
        # Orders gives up on Customers while the orchestrator still listens, and the orchestrator
        # has the time to make each of its calls twice.
        assert customer_check < clients.CALL_TIMEOUT
        assert (
            saga.CUSTOMER_SECONDS + 2 * 2 * clients.CALL_TIMEOUT < saga_seconds < function["Timeout"] < GATEWAY_SECONDS
        )
        assert function["Timeout"] > handler.DEFAULT_SECONDS


# --- routes ----------------------------------------------------------------------------


def target_of(template, method, path):
    """Return the function that API Gateway asks: the most specific route that matches."""
    integrations = {
        name: integration["IntegrationUri"]["Fn::GetAtt"][0].removesuffix("LambdaFunction").lower()
        for name, integration in resources(template, "AWS::ApiGatewayV2::Integration").items()
    }
    matches = []
    for route in resources(template, "AWS::ApiGatewayV2::Route").values():
        key = route["RouteKey"]
        verb, _, pattern = key.partition(" ")
        expression = re.sub(r"\{\w+\+\}", ".+", pattern) if pattern else ".*"
        if key == "$default" or (verb in ("ANY", method) and re.fullmatch(expression, path)):
            matches.append((len(pattern), integrations[route["Target"]["Fn::Join"][1][1]["Ref"]]))
    return max(matches)[1]


def test_every_operation_is_routed_to_the_function_that_serves_it(template):
    served = functions(template)
    for name in ("customers", "orders", "orchestrator"):
        for method, path in Contract(load(name)).operations:
            address = re.sub(r"\{\w+\}", "7", path)
            # One address has one health check: the orchestrator's, as of everything that nobody else has.
            expected = name if name in served and not path.startswith("/health") else "orchestrator"
            # And one page, that of Orders.
            if path.startswith(("/docs", "/openapi.json")) and "orders" in served:
                expected = "orders"
            assert target_of(template, method, address) == expected, (method, path)


def test_events_are_of_payload_format_2(template):
    for integration in resources(template, "AWS::ApiGatewayV2::Integration").values():
        assert integration["PayloadFormatVersion"] == "2.0"


# --- what is refused -------------------------------------------------------------------

MISSING = [
    ({}, set(ELSEWHERE)),
    ({"CUSTOMERS_API_BASE": "", "ORDERS_API_BASE": "https://orders.example"}, {"CUSTOMERS_API_BASE"}),
    ({"SERVICES": "lambda"}, set(ON_LAMBDA) - {"SERVICES"}),
    ({**ON_LAMBDA, "VPC_SUBNET_IDS": ""}, {"VPC_SUBNET_IDS"}),
]
MISSING_IDS = ["nothing set", "one empty", "nothing set for the services", "one empty for the services"]


@pytest.mark.parametrize(("settings", "missing"), MISSING, ids=MISSING_IDS)
def test_prod_without_its_settings_is_refused_and_names_all_that_are_missing(tmp_path, settings, missing):
    run = run_serverless("package", "--package", str(tmp_path), **settings)

    assert (run.returncode, run.stdout) == (1, "")
    assert set(run.stderr.splitlines()) == {f"aws: {name} is not set (docs/aws.md, step 4)" for name in missing}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [{}, {"SERVICES": "lambda"}], ids=["elsewhere", "lambda"])
def test_the_framework_itself_names_what_is_missing_too(tmp_path, settings):
    run = run_framework("package", "--stage", "prod", "--package", str(tmp_path), **settings)

    named = set(re.findall(r'variable at "custom\.services\.(\w+)"', run.stdout + run.stderr))
    assert run.returncode == 1
    assert named == (set(ON_LAMBDA) - {"SERVICES"} if settings else set(ELSEWHERE))
    assert list(tmp_path.iterdir()) == []


def test_every_setting_is_documented_and_read_by_the_configuration():
    section = (ROOT / "docs" / "aws.md").read_text().split("\n## 4. Deploy\n")[1].split("\nThey are environment")[0]
    rows = [row for row in section.splitlines() if row.startswith("| `")]
    files = [ROOT / "serverless.yml", *(ROOT / "aws").glob("services-*.yml")]
    read = {name for path in files for name in re.findall(r"\$\{env:(\w+)", path.read_text())}

    assert {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1])} == set(serverless.SETTINGS)
    # The others are those of the stage dev.
    assert read - set(serverless.SETTINGS) == {
        "APP_ENV", "JWT_SECRET", "SERVICE_TOKEN", "ORCHESTRATOR_PORT", "ORCHESTRATOR_LAMBDA_PORT",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICES", "docker"),
        ("SECRET_ID", "b2b orders"),
        ("SECRET_ID", "${env:HOME}"),
        ("SECRET_ID", "b2b:orders"),
        ("PACKAGES", "/nowhere"),
        ("AWS_REGION", "Frankfurt"),
        ("DB_HOST", "https://b2b.cluster.example"),
        ("DB_PORT", "abc"),
        ("DB_USER", "b2b;"),
        ("DB_NAME", "b2b-orders"),
        ("VPC_SUBNET_IDS", "subnet-0123456789abcdef0, subnet-0123456789abcdef1"),
        ("VPC_SECURITY_GROUP_IDS", "default"),
        ("SERVICE_CONCURRENCY", "0"),
        ("SERVICE_CONCURRENCY", "abc"),
        ("CANCEL_WINDOW_SECONDS", "ten"),
        ("ORDER_TTL_SECONDS", "never"),
        ("API_DOCS", "yes"),
    ],
)
def test_wrong_setting_is_refused_in_one_line_that_names_it(tmp_path, name, value):
    run = run_serverless("package", "--package", str(tmp_path), **{**ON_LAMBDA, name: value})

    assert (run.returncode, run.stdout) == (1, "")
    assert re.fullmatch(rf"aws: {name} must be .* \(docs/aws\.md, step 4\)\n", run.stderr)
    assert value not in run.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value", ["customers.example", "http://customers.example", "https://", "https://-", "https://a b.example"]
)
def test_address_that_would_carry_the_service_token_in_clear_is_refused(tmp_path, value):
    run = run_serverless("package", "--package", str(tmp_path), **{**ELSEWHERE, "CUSTOMERS_API_BASE": value})

    assert run.returncode == 1
    assert re.fullmatch(r"aws: CUSTOMERS_API_BASE must be an .*https address.* \(docs/aws\.md, step 4\)\n", run.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["package", "--stage", "dev"],
        ["deploy", "-s", "dev"],
        ["package", "--stage=dev"],
        ["package", "-sdev"],
        ["--verbose", "package"],
        ["package", "--param", "a=b"],
        ["invoke", "-f", "orders"],
    ],
)
def test_stage_is_always_prod(arguments):
    run = run_serverless(*arguments, **ELSEWHERE)

    assert run.returncode == 1
    assert run.stderr.startswith("usage: aws/serverless ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["deploy", "function", "-f", "orchestrator"],
        ["deploy", "-f", "orchestrator"],
        ["deploy", "--function=orchestrator"],
        ["deploy", "--force", "function", "-f", "orchestrator"],
    ],
)
def test_deploying_past_cloudformation_is_refused(arguments):
    run = run_serverless(*arguments, **ELSEWHERE)

    assert (run.returncode, run.stderr) == (1, "usage: aws/serverless deploy [list] [--force] [--verbose]\n")


@pytest.mark.parametrize("stage", ["dev", "staging"])
def test_other_stages_can_not_be_packaged(tmp_path, stage):
    # Past aws/serverless: whoever calls the framework itself must not upload this folder, .env included.
    run = run_framework("package", "--stage", stage, "--package", str(tmp_path))

    assert run.returncode == 1
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("stage", [[], ["STAGE=dev"], ["STAGE="], ["STAGE=production"]])
def test_make_deploys_prod_alone_and_it_has_to_be_named(stage):
    run = run_make("deploy", *stage)

    assert (run.returncode, run.stdout) == (2, "")
    assert "deploy: say STAGE=prod" in run.stderr


def test_make_deploy_says_what_is_missing_before_it_builds():
    run = run_make("deploy", "STAGE=prod")

    assert (run.returncode, run.stdout) == (2, "")
    assert "aws: CUSTOMERS_API_BASE is not set" in run.stderr
