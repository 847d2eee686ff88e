"""What serverless.yml makes for CloudFormation, and what it refuses to make."""

import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import certifi
import pytest

import customers.jobs
import orders.jobs
from aws import package, serverless
from common.contract import Contract, load
from lambda_orchestrator import clients, handler, saga
from orders import customers_client
from tests.conftest import ROOT

ELSEWHERE = {"CUSTOMERS_API_BASE": "https://customers.example", "ORDERS_API_BASE": "https://orders.example"}
ON_LAMBDA = {
    "SERVICES": "lambda",
    "DB_HOST": "b2b.cluster.example",
    "CUSTOMERS_DB_USER": "b2b_customers_api",
    "ORDERS_DB_USER": "b2b_orders_api",
    "DB_TLS_CA": certifi.where(),
    "VPC_SUBNET_IDS": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "VPC_SECURITY_GROUP_IDS": "sg-0123456789abcdef0",
    "SERVICE_CONCURRENCY": "20",
}
# What must not get into a template, whoever exports it.
LEAKS = {"JWT_SECRET": "leak" * 10, "SERVICE_TOKEN": "Leak" * 10, "DB_PASSWORD": "LEAK" * 10}
LEAKS |= {"CUSTOMERS_DB_PASSWORD": "lEAK" * 10, "ORDERS_DB_PASSWORD": "leAK" * 10}
GATEWAY_SECONDS = 29
# function of a service -> its program
PROGRAMS = {"customers": "customers", "logins": "customers", "orders": "orders"}
SCHEDULED = {"orderJobs": "orders", "customerJobs": "customers"}
PROGRAMS |= SCHEDULED


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
    return run_command("aws/serverless", *arguments, **settings)


def read_template(folder):
    return json.loads((folder / "cloudformation-template-update-stack.json").read_text())


def make_zips(folder, *files):
    for name in package.FUNCTIONS:
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            for file in files:
                archive.writestr(file, b"")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{variant: the folder with the templates of `serverless package`, which looks into no zip}."""
    packages = tmp_path_factory.mktemp("packages")
    make_zips(packages, "database-ca.pem")
    made = {}
    for variant, settings in (("elsewhere", ELSEWHERE), ("lambda", ON_LAMBDA)):
        made[variant] = tmp_path_factory.mktemp(variant)
        run = run_serverless("package", "--package", str(made[variant]), **settings, **LEAKS, PACKAGES=str(packages))
        assert run.returncode == 0, run.stdout + run.stderr
    return made


@pytest.fixture(params=["elsewhere", "lambda"])
def folder(request, folders):
    return folders[request.param]


@pytest.fixture
def template(folder):
    """The template in each variant: the orchestrator alone, and with the services."""
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


def test_cfn_lint_finds_nothing_but_what_the_framework_generates(folders):
    templates = [path for folder in folders.values() for path in folder.glob("*-stack.json")]
    command = [pathlib.Path(sys.executable).with_name("cfn-lint"), "--format", "json", *templates]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    found = {finding["Rule"]["Id"] for finding in json.loads(run.stdout)}
    assert len(templates) == 4
    # It writes DependsOn for what a reference says already, and cfn-lint finds that in each of its stacks.
    assert found == {"W3005"}, run.stdout
    assert (run.returncode, run.stderr) == (4, "")  # 4: warnings alone


@pytest.mark.parametrize(
    ("variant", "names"),
    [("elsewhere", {"orchestrator"}), ("lambda", {"orchestrator", *PROGRAMS})],
)
def test_functions_are_those_asked_for_and_what_the_zips_are_built_for(folders, variant, names):
    made = functions(read_template(folders[variant]))

    assert set(made) == names
    for name, function in made.items():
        program = PROGRAMS.get(name) or name
        handler = f"{program}/jobs.handle" if name in SCHEDULED else package.FUNCTIONS[program].handler
        assert function["Handler"] == handler
        assert function["Runtime"] == f"python{package.runtime()}"
        assert function["Architectures"] == ["x86_64"]
        assert function["Code"]["S3Key"].endswith(f"/{program}.zip")


def test_each_function_has_a_role_of_its_own_without_a_wildcard_that_lambda_alone_may_take(template):
    roles = resources(template, "AWS::IAM::Role")

    assert set(roles) == {function["Role"]["Fn::GetAtt"][0] for function in functions(template).values()}
    assert len(roles) == len(functions(template))
    for name, role in roles.items():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert (trust["Principal"], trust["Action"]) == ({"Service": "lambda.amazonaws.com"}, "sts:AssumeRole")
        statements = [each for policy in role.get("Policies", []) for each in policy["PolicyDocument"]["Statement"]]
        assert {statement["Effect"] for statement in statements} <= {"Allow"}
        assert "*" not in json.dumps([[statement["Action"], statement["Resource"]] for statement in statements])
        # A function in a VPC needs rights that AWS gives for no single resource; AWS's own policy has just them.
        managed = [arn["Fn::Sub"].rsplit("/", 1)[1] for arn in role.get("ManagedPolicyArns", [])]
        assert managed == ([] if name == "OrchestratorRole" else ["AWSLambdaVPCAccessExecutionRole"])


# --- settings --------------------------------------------------------------------------


def test_secrets_are_references_and_nowhere_in_clear(template, folder):
    for name, function in functions(template).items():
        variables = function["Environment"]["Variables"]
        account = PROGRAMS.get(name, "").upper()
        secrets = ["JWT_SECRET", "SERVICE_TOKEN"] + [f"{account}_DB_PASSWORD"] * (name != "orchestrator")
        assert [secret for secret in LEAKS if secret in variables] == secrets
        for secret in secrets:
            assert variables[secret] == "{{resolve:secretsmanager:b2b-orders/prod:SecretString:" + secret + "}}"
        assert variables["APP_ENV"] == "production"
    for path in folder.glob("*.json"):
        text = path.read_text()
        assert [value for value in LEAKS.values() if value in text] == [], path.name
        assert "development-only" not in text, path.name


def test_services_alone_reach_mysql_and_have_bounded_instances(folders):
    made = functions(read_template(folders["lambda"]))
    orchestrator = made.pop("orchestrator")

    assert orchestrator.keys() & {"VpcConfig", "ReservedConcurrentExecutions"} == set()
    assert "DB_HOST" not in orchestrator["Environment"]["Variables"]
    for name, function in made.items():
        assert function["ReservedConcurrentExecutions"] == (20 if name in ("customers", "orders") else 2)
        assert function["VpcConfig"] == {
            "SubnetIds": {"Fn::Split": [",", ON_LAMBDA["VPC_SUBNET_IDS"]]},
            "SecurityGroupIds": {"Fn::Split": [",", ON_LAMBDA["VPC_SECURITY_GROUP_IDS"]]},
        }
        user = f"{PROGRAMS[name].upper()}_DB_USER"
        database = {"DB_HOST": "b2b.cluster.example", "DB_PORT": "3306", user: ON_LAMBDA[user], "DB_NAME": "b2b"}
        database |= {"DB_TLS_CA": "/var/task/database-ca.pem", "DB_TLS": ""}  # where Lambda unpacks a zip
        assert database.items() <= function["Environment"]["Variables"].items()


def test_programs_find_each_other(folders):
    gateway = {"Fn::Sub": "https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"}
    for variant, bases in (("elsewhere", ELSEWHERE), ("lambda", dict.fromkeys(ELSEWHERE, gateway))):
        for function in functions(read_template(folders[variant])).values():
            assert {name: function["Environment"]["Variables"][name] for name in ELSEWHERE} == bases


def test_timeouts_nest(template):
    # Orders gives up on Customers while the orchestrator still listens, and the orchestrator
    # has the time to make each of its calls twice.
    assert customers_client.ATTEMPTS * customers_client.CALL_TIMEOUT < clients.CALL_TIMEOUT
    needed = saga.CUSTOMER_SECONDS + 2 * 2 * clients.CALL_TIMEOUT + handler.MARGIN_SECONDS
    for name, function in functions(template).items():
        if name not in SCHEDULED:
            assert max(needed, handler.DEFAULT_SECONDS) < function["Timeout"] < GATEWAY_SECONDS


def test_jobs_are_scheduled_one_by_one(folders):
    rules = resources(read_template(folders["lambda"]), "AWS::Events::Rule").values()

    found = {
        json.loads(target["Input"])["job"]: rule["ScheduleExpression"] for rule in rules for target in rule["Targets"]
    }
    assert found == {"expire": "rate(5 minutes)", "verify": "rate(1 day)", "purge": "rate(1 hour)"}
    assert found.keys() == orders.jobs.JOBS.keys() | customers.jobs.JOBS.keys()
    assert all(rule["State"] == "ENABLED" for rule in rules)


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
            # Log-ins have instances of their own.
            if path.startswith("/auth/") and "logins" in served:
                expected = "logins"
            # Nobody scrapes a function.
            if path == "/metrics":
                expected = "orchestrator"
            assert target_of(template, method, address) == expected, (method, path)


def test_requests_are_limited_and_log_ins_to_less(folders):
    (everywhere,) = resources(read_template(folders["elsewhere"]), "AWS::ApiGatewayV2::Stage").values()
    template = read_template(folders["lambda"])
    (stage,) = resources(template, "AWS::ApiGatewayV2::Stage").values()
    routes = {name: route["RouteKey"] for name, route in resources(template, "AWS::ApiGatewayV2::Route").items()}

    for limits, rate, burst in [
        (everywhere["DefaultRouteSettings"], 100, 200),
        (stage["DefaultRouteSettings"], 100, 200),
        *((settings, 5, 20) for settings in stage["RouteSettings"].values()),
    ]:
        assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == (rate, burst)
    assert stage["RouteSettings"].keys() == {"ANY /auth/{proxy+}", "ANY /docs/token"}
    # A stage that is made before a route that it names is refused.
    made_first = template["Resources"]["HttpApiStage"]["DependsOn"]
    assert {routes[name] for name in made_first} == stage["RouteSettings"].keys()


# --- what is refused -------------------------------------------------------------------


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


WRONG = {
    "SECRET_ID": "b2b orders",
    "PACKAGES": "/nowhere",
    "AWS_REGION": "Frankfurt",
    "DB_HOST": "https://b2b.cluster.example",
    "VPC_SUBNET_IDS": "subnet-0123456789abcdef0, subnet-0123456789abcdef1",
    "SERVICE_CONCURRENCY": "0",
    "LOGIN_CONCURRENCY": "0",
}
# Where the service token goes: never in clear.
WRONG_ADDRESSES = {"CUSTOMERS_API_BASE": "http://customers.example", "ORDERS_API_BASE": "https://a b.example"}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ({}, dict.fromkeys(ELSEWHERE, "")),
        (ON_LAMBDA, {"ORDERS_DB_USER": "", "VPC_SECURITY_GROUP_IDS": ""}),
        (ON_LAMBDA, WRONG),
        (ELSEWHERE, WRONG_ADDRESSES),
        # What the programs themselves would refuse.
        (ON_LAMBDA, {"ORDER_TTL_SECONDS": "never"}),
        (ON_LAMBDA, {"DB_TLS_CA": "/nowhere"}),
    ],
    ids=["nothing set", "two empty", "forms", "addresses", "seconds", "certificates"],
)
def test_each_setting_that_is_missing_or_wrong_is_refused_in_a_line_that_names_it(tmp_path, right, wrong):
    run = run_serverless("package", "--package", str(tmp_path), **{**right, **wrong})

    assert (run.returncode, run.stdout) == (1, "")
    lines = re.findall(r"^aws: (\w+) (is not set|must be .*) \(docs/aws\.md, step 4\)$", run.stderr, re.MULTILINE)
    assert {(name, said == "is not set") for name, said in lines} == {(name, not wrong[name]) for name in wrong}
    assert len(lines) == len(run.stderr.splitlines())
    assert [value for value in wrong.values() if value and value in run.stderr] == []
    assert list(tmp_path.iterdir()) == []


def test_services_verify_mysql_or_say_that_they_do_not():
    run = run_serverless("package", **{**ON_LAMBDA, "DB_TLS_CA": ""})

    assert run.returncode == 1
    assert run.stderr.startswith("aws: DB_TLS_CA is not set: ")


def test_zips_that_were_made_without_the_certificates_are_refused(tmp_path):
    make_zips(tmp_path)

    run = run_serverless("package", **ON_LAMBDA, PACKAGES=str(tmp_path))

    assert run.returncode == 1
    assert run.stderr.startswith("aws: PACKAGES must be a folder with zips that were made with DB_TLS_CA")


@pytest.mark.parametrize(
    "arguments",
    [
        ["package", "-sdev"],
        ["package", "--param", "a=b"],
        # Past CloudFormation, which would not know of it.
        ["deploy", "function", "-f", "orchestrator"],
    ],
)
def test_only_the_whole_of_prod_is_packaged_and_deployed(arguments):
    run = run_serverless(*arguments, **ELSEWHERE)

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("usage: aws/serverless ")


def test_other_stages_can_not_be_packaged(tmp_path):
    # Past aws/serverless: whoever calls the framework itself must not upload this folder, .env included.
    run = run_command("node_modules/.bin/serverless", "package", "--stage", "dev", "--package", str(tmp_path))

    assert run.returncode == 1
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("stage", "said"),
    [("STAGE=dev", "deploy: say STAGE=prod"), ("STAGE=prod", "aws: CUSTOMERS_API_BASE is not set")],
)
def test_make_deploy_says_what_is_missing_before_it_builds(stage, said):
    run = run_command("make", "deploy", stage)

    assert (run.returncode, run.stdout) == (2, "")
    assert said in run.stderr
