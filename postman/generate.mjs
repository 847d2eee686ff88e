// Writes the Postman collection and its environment, from the documents in openapi/.
// `make postman` runs it. Equal documents give equal bytes.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import path from "node:path";
import { promisify } from "node:util";
import converter from "openapi-to-postmanv2";
import { BODIES, ENVIRONMENT, FLOW, PARAMETERS, STORED } from "./requests.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const DOCUMENTS = { customers: "customersUrl", orders: "ordersUrl", orchestrator: "orchestratorUrl" };
// The page in the browser that shows the document; nothing that a client would call.
const LEFT_OUT = "Documentation";
const OPTIONS = { folderStrategy: "Tags", parametersResolution: "Example", optimizeConversion: false, stackLimit: 50 };
// What depends on the request. The other refusals read the same everywhere; the folders' texts list them.
const KEPT_ANSWERS = [200, 201, 404, 409, 412, 422];
// Fixed, so that Postman offers to replace what was imported before.
const COLLECTION_ID = "6f0a4c1e-9d57-4b36-8a53-2f4f0c6b7d11";
const ENVIRONMENT_ID = "b7d3b1a2-3c0e-4f5f-9a68-51f2a0c9e4d7";

const DESCRIPTION = `\
The requests of the Customers API, the Orders API and the orchestrator, made out of their OpenAPI documents.

Start the programs with \`make run\`, choose the environment "B2B orders, development", and send "Log in", the
first request of the folder "Flow": it stores the token that all other requests send. The rest of "Flow" is an order's
whole life in order, with tests; the collection runner runs it as often as you like. The other folders hold every
operation. They use the ids in the environment: what adds a customer, a product or an order stores its id there, and
what reads or changes one its ETag. Optional parameters and headers are there, switched off. \`serviceToken\` is
empty: only our own programs need it.`;

// --- the documents ---------------------------------------------------------------------

/** Return `node` with a `$ref` followed; the bundled documents point into themselves only. */
function resolve(document, node) {
  if (node?.$ref === undefined) return node;
  const names = node.$ref.replace(/^#\//, "").split("/");
  return resolve(document, names.reduce((target, name) => target[name], document));
}

/** Return {"GET /customers/:customer_id": operation}, what the converter's requests are found by. */
function operationsOf(document) {
  const operations = {};
  for (const [template, item] of Object.entries(document.paths)) {
    for (const method of ["get", "put", "post", "patch", "delete"].filter((name) => item[name])) {
      const { operationId, parameters = [], requestBody, responses, security } = item[method];
      const body = resolve(document, requestBody)?.content["application/json"];
      const examples = Object.entries(body?.examples ?? {}).map(([name, it]) => [name, resolve(document, it).value]);
      operations[`${method.toUpperCase()} ${template.replace(/{(\w+)}/g, ":$1")}`] = {
        id: operationId,
        security,
        keyRequired: item[method]["x-idempotency"] === "required",
        schemas: Object.fromEntries(
          [...(item.parameters ?? []), ...parameters]
            .map((parameter) => resolve(document, parameter))
            .map(({ name, schema }) => [name, resolve(document, schema)]),
        ),
        examples: Object.fromEntries(examples),
        success: Number(Object.keys(responses).find((status) => status.startsWith("2"))),
      };
    }
  }
  return operations;
}

function withoutDocumentation(document) {
  const copy = structuredClone(document);
  for (const [template, item] of Object.entries(copy.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (operation.tags?.includes(LEFT_OUT)) delete item[method];
    }
    if (!Object.values(item).some((operation) => operation.operationId)) delete copy.paths[template];
  }
  copy.tags = copy.tags.filter((tag) => tag.name !== LEFT_OUT);
  return copy;
}

// --- requests --------------------------------------------------------------------------

/** Return the lines of a function's body: what Postman runs after an answer, or before a request. */
function linesOf(script) {
  const lines = script.toString().split("\n").slice(1, -1);
  const indent = Math.min(...lines.filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return lines.map((line) => line.slice(indent));
}

/** Return a parameter's value: ours, else the schema's. The converter would make one up, a new one each time. */
function valueOf(name, operation) {
  if (name in PARAMETERS) return PARAMETERS[name];
  const schema = operation.schemas[name];
  const value = schema.default ?? schema.enum?.[0];
  if (value === undefined) throw new Error(`${operation.id}: no value for ${name}; add it to PARAMETERS`);
  return String(value);
}

/** Return an ETag's variable for the headers that compare it, by the resource that the path ends in. */
function headerValueOf(name, operation, url) {
  const resource = url.variable.at(-1)?.key.replace(/_id$/, "");
  return /^If-(None-)?Match$/.test(name) ? `{{${resource}Etag}}` : valueOf(name, operation);
}

/** Return the text of a body; a variable that is an id is a number there, and has no quotes. */
function render(body) {
  return JSON.stringify(body, null, 2).replace(/"({{\w+Id}})"/g, "$1");
}

function authOf({ security }) {
  if (security.length === 0) return { type: "noauth" };
  if (security.some((requirement) => requirement.operatorToken)) return undefined; // the collection's
  return { type: "bearer", bearer: [{ key: "token", value: "{{serviceToken}}", type: "string" }] };
}

/** Return the converter's request with our values in place of those that it made up. */
function requestOf(converted, operation, baseUrl) {
  const { method, description, url, header = [] } = converted.request;
  const valued = (parameter, value, disabled) => ({
    key: parameter.key,
    value,
    description: parameter.description,
    ...(disabled && { disabled }),
  });
  const isNeeded = (name) => operation.keyRequired && name === "X-Idempotency-Key";
  const request = {
    method,
    description: description?.content,
    auth: authOf(operation),
    header: header
      .filter(({ key }) => key in operation.schemas)
      .map((it) => valued(it, headerValueOf(it.key, operation, url), !isNeeded(it.key))),
    url: {
      raw: [`{{${baseUrl}}}`, ...url.path].join("/"),
      host: [`{{${baseUrl}}}`],
      path: url.path,
      query: (url.query ?? []).map((it) => valued(it, valueOf(it.key, operation), true)),
      variable: (url.variable ?? []).map((it) => valued(it, valueOf(it.key, operation), false)),
    },
  };
  if (Object.keys(operation.examples).length > 0) {
    const body = (BODIES[operation.id] ?? ((examples) => Object.values(examples)[0]))(operation.examples);
    request.header.push({ key: "Content-Type", value: "application/json" });
    request.body = { mode: "raw", raw: render(body), options: { raw: { language: "json" } } };
  }
  return request;
}

/** Return the scripts of a request: its status, what it stores, and what else is tested. */
function eventsOf(operation, status, { before, test = [] } = {}) {
  const exec = [
    `pm.test("answers ${status}", () => pm.expect(pm.response.code, pm.response.text()).to.eql(${status}));`,
    ...test,
  ];
  if (operation.id in STORED && status === operation.success) {
    exec.push(`if (pm.response.code === ${status}) {`);
    exec.push(...linesOf(STORED[operation.id]).map((line) => `  ${line}`), "}");
  }
  const events = [{ listen: "test", script: { type: "text/javascript", exec } }];
  if (before) events.unshift({ listen: "prerequest", script: { type: "text/javascript", exec: linesOf(before) } });
  return events;
}

/** Return the saved answers: the document's examples, without the request once more in each. */
function answersOf(converted, request) {
  return converted.response
    .filter(({ code }) => KEPT_ANSWERS.includes(code))
    .map(({ name, status, code, body, header, _postman_previewlanguage }) => ({
      name: `${code}: ${name}`,
      originalRequest: { method: request.method, url: request.url.raw },
      status,
      code,
      _postman_previewlanguage,
      header: header.filter(({ key }) => key === "Content-Type"),
      body,
    }));
}

// --- the collection --------------------------------------------------------------------

/** Return one document's folder, and add what it has to `known`: {operationId: {operation, request}}. */
async function folderOf(name, baseUrl, known) {
  const document = withoutDocumentation(JSON.parse(readFileSync(`${HERE}/../openapi/${name}.json`)));
  const operations = operationsOf(document);
  const conversion = await promisify(converter.convertV2)({ type: "json", data: document }, OPTIONS);
  if (!conversion.result) throw new Error(`${name}: ${conversion.reason}`);
  const missing = new Set(Object.keys(operations));

  const itemOf = (converted) => {
    if (converted.item) {
      const description = converted.description?.content ?? converted.description;
      return { name: converted.name, description, item: converted.item.map(itemOf) };
    }
    const key = `${converted.request.method} /${converted.request.url.path.join("/")}`;
    missing.delete(key);
    const operation = operations[key];
    const request = requestOf(converted, operation, baseUrl);
    known[`${name}.${operation.id}`] = { operation, request };
    return {
      name: converted.name,
      event: eventsOf(operation, operation.success),
      request,
      response: answersOf(converted, request),
    };
  };
  const folder = {
    name: document.info.title,
    description: document.info.description,
    item: conversion.output[0].data.item.map(itemOf),
  };
  if (missing.size > 0) throw new Error(`${name}: not converted: ${[...missing]}`);
  return folder;
}

/** Return a request of the flow: an operation's, with another body, headers and parameters. */
function stepOf(step, known) {
  const found = known[step.operation];
  if (!found) throw new Error(`the flow's "${step.name}": no operation ${step.operation} in the documents`);
  const { operation } = found;
  const request = structuredClone(found.request);
  const sent = { ...step.headers, ...step.query };
  for (const parameter of [...request.header, ...request.url.query]) {
    if (!(parameter.key in sent)) continue;
    parameter.value = sent[parameter.key];
    delete parameter.disabled;
    delete sent[parameter.key];
  }
  if (Object.keys(sent).length > 0) throw new Error(`the flow's "${step.name}": no parameter ${Object.keys(sent)}`);
  const query = request.url.query.filter((parameter) => !parameter.disabled);
  if (query.length > 0) request.url.raw += `?${query.map(({ key, value }) => `${key}=${value}`).join("&")}`;
  if (step.body) request.body.raw = render(step.body);

  const test = [];
  if (step.test || step.code || step.replays) test.push("const answer = pm.response.json();");
  if (step.code) {
    test.push(`pm.test("the code is ${step.code}", () => pm.expect(answer.code).to.eql("${step.code}"));`);
  }
  if (step.keeps) test.push(`pm.environment.set("${step.keeps}", pm.response.text());`);
  if (step.replays) {
    test.push(
      'pm.test("is marked as a replay", () => pm.expect(pm.response.headers.get("Idempotent-Replayed")).to.eql("true"));',
      'pm.test("is the first answer, byte for byte", () =>',
      `  pm.expect(pm.response.text()).to.eql(pm.environment.get("${step.replays}")));`,
    );
  }
  if (step.test) test.push(...linesOf(step.test));
  const event = eventsOf(operation, step.status ?? operation.success, { ...step, test });
  return { name: step.name, event, request, response: [] };
}

/** Refuse entries of the tables that no operation uses: the documents have moved on. */
function refuseLeftovers(known) {
  const ids = new Set(Object.values(known).map(({ operation }) => operation.id));
  const parameters = new Set(Object.values(known).flatMap(({ operation }) => Object.keys(operation.schemas)));
  const left = [
    ...[...Object.keys(BODIES), ...Object.keys(STORED)].filter((id) => !ids.has(id)),
    ...Object.keys(PARAMETERS).filter((name) => !parameters.has(name)),
  ];
  if (left.length > 0) throw new Error(`not in the documents any more: ${left}`);
}

async function main(target) {
  const known = {};
  const folders = [];
  for (const [name, baseUrl] of Object.entries(DOCUMENTS)) folders.push(await folderOf(name, baseUrl, known));
  refuseLeftovers(known);
  const collection = {
    info: {
      _postman_id: COLLECTION_ID,
      name: "B2B orders",
      description: DESCRIPTION,
      schema: "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
    },
    auth: { type: "bearer", bearer: [{ key: "token", value: "{{token}}", type: "string" }] },
    item: [{ name: "Flow", description: FLOW.description, item: FLOW.steps.map((step) => stepOf(step, known)) }, ...folders],
  };
  const environment = {
    id: ENVIRONMENT_ID,
    name: "B2B orders, development",
    values: ENVIRONMENT,
    _postman_variable_scope: "environment",
  };
  const write = (kind, content) =>
    writeFileSync(`${target}/b2b-orders.postman_${kind}.json`, `${JSON.stringify(content, null, 1)}\n`);
  write("collection", collection);
  write("environment", environment);
}

await main(process.argv[2] ?? HERE);
