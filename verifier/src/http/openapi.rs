//! `GET /openapi.json`: every route in OpenAPI 3.1, and the forms of what goes in and out.
//!
//! The forms are generated from the types of `wire` that the handlers read and write, so they cannot say something else;
//! their texts are those types' own comments. The list of operations below is by hand, because handlers read bodies themselves;
//! `tests/operations.rs` holds it against a running service, route by route and method by method, and the forms against every
//! payload in `tests/wire/`.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::ROUTES;
use super::error::Form;
use crate::wire::sandbox_fusion::{self, oj};
use crate::wire::{
    BatchRequest, GradeRequest, GradeResponse, ProblemForm, areal, judge0, nemo_skills, open_instruct,
    openrlhf, piston, router, slime,
};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

/// `GET /openapi.json`.
pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], DOCUMENT.clone())
        .into_response()
}

/// One method of one route.
struct Operation {
    method: &'static str,
    path: &'static str,
    /// Whose form it is.
    tag: &'static str,
    summary: &'static str,
    /// What may stand in the URL behind `?`, and what it does.
    query: &'static [(&'static str, &'static str)],
    body: Option<Value>,
    status: u16,
    reply: Reply,
    example: Option<Value>,
}

enum Reply {
    Json(Value),
    Text(&'static str),
    Empty,
}

impl From<Value> for Reply {
    fn from(schema: Value) -> Reply {
        Reply::Json(schema)
    }
}

/// Makes schemas; those of named types are put together at the end.
struct Schemas {
    requests: SchemaGenerator,
    replies: SchemaGenerator,
}

impl Schemas {
    fn new() -> Schemas {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Schemas {
            requests: settings.clone().into_generator(),
            replies: settings.for_serialize().into_generator(),
        }
    }

    /// What is read.
    fn read<T: JsonSchema>(&mut self) -> Value {
        self.requests.subschema_for::<T>().to_value()
    }

    /// What is written.
    fn written<T: JsonSchema>(&mut self) -> Value {
        self.replies.subschema_for::<T>().to_value()
    }

    fn definitions(mut self) -> Map<String, Value> {
        let mut all = self.requests.take_definitions(true);
        all.extend(self.replies.take_definitions(true));
        all.values_mut().for_each(plain_links);
        all
    }
}

/// rustdoc's links are no links here.
fn plain_links(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("[`") => *text = text.replace("[`", "`").replace("`]", "`"),
        Value::Array(items) => items.iter_mut().for_each(plain_links),
        Value::Object(map) => map.values_mut().for_each(plain_links),
        _ => {}
    }
}

fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for operation in operations(&mut schemas) {
        let method = operation.method;
        let form =
            ROUTES.iter().find(|(path, _)| *path == operation.path).map_or(Form::Native, |(_, form)| *form);
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        methods[method] = operation.into_json(form);
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "assay",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Verdicts and rewards for code and math. A reward of null is a failure that is not the submission's: \
                            leave that sample out.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "security": [{ "token": [] }, {}],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http", "scheme": "bearer",
                    "description": "One of the service's tokens, where it has any. Pages take it as the password of HTTP Basic too.",
                },
            },
            "parameters": {
                "deadline": {
                    "name": "X-Deadline-Ms", "in": "header", "schema": { "type": "integer", "minimum": 0 },
                    "description": "Milliseconds this client will wait for the whole answer; the wait in line ends in time for that.",
                },
            },
            "responses": errors(),
            "schemas": schemas.definitions(),
        },
    })
}

const NATIVE: &str = "assay";
const OPERATIONS: &str = "operations";
const PAGES: &str = "pages";
const TAGS: [(&str, &str); 13] = [
    (
        NATIVE,
        "The native API. Errors are RFC 9457 problem details that say whose fault it is; 503 has Retry-After.",
    ),
    (
        "SandboxFusion",
        "For its SDK and for veRL. Never 429 or 503; under load 504, which these clients repeat.",
    ),
    ("ScaleBox", "SandboxFusion's fork: checkers, functions and whole batches."),
    ("OpenRLHF", "`--remote_rm_url`."),
    ("slime", "`--rm-type remote_rm`."),
    ("open-instruct", "Its code verifier."),
    ("NeMo-Gym", "A resources server, stateless."),
    ("NeMo-Skills", "Its sandbox, stateless."),
    ("open-r1", "Its routers' route, and Piston's for its Codeforces reward."),
    ("AReaL", "Function calls."),
    ("Judge0", "What its Python SDK uses."),
    (OPERATIONS, "For probes, monitoring and people who run the service."),
    (PAGES, "For a browser; they work without a network."),
];

/// Every route and method.
fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let mut all = native(schemas);
    all.extend(sandbox_fusions(schemas));
    all.extend(trainers(schemas));
    all.extend(judges(schemas));
    all.extend(own());
    all
}

fn native(schemas: &mut Schemas) -> Vec<Operation> {
    let problem = schemas.read::<ProblemForm>();
    let problems = json!({ "anyOf": [problem, { "type": "array", "items": problem }] });
    let result = schemas.written::<GradeResponse>();
    let results = json!({
        "type": "object", "required": ["results"],
        "properties": { "results": { "type": "array", "items": result, "description": "In the order of the items." } },
    });
    let math = json!({ "problem": { "task": { "type": "math", "ground_truth": "1/2" } }, "completion": "so \\boxed{0.5}" });
    let code = json!({
        "problem": {
            "question_id": "sum",
            "task": { "type": "code", "test_cases": [{ "input": "1 2\n", "output": "3\n" }] },
        },
        "completion": "```python\nprint(sum(map(int, input().split())))\n```",
        "limits": { "cpu_time": 2 },
    });
    vec![
        Operation {
            example: Some(code),
            ..post("/v1/grade", NATIVE, "Grade one completion", schemas.read::<GradeRequest>(), result)
        },
        Operation {
            example: Some(json!({ "items": [math] })),
            ..post(
                "/v1/grade/batch",
                NATIVE,
                "Grade many; with `Accept: application/x-ndjson` each result is a line with its `index`, as they finish",
                schemas.read::<BatchRequest>(),
                results,
            )
        },
        Operation {
            status: 201,
            example: Some(json!({ "task": { "type": "math", "ground_truth": "1/2" } })),
            ..post(
                "/v1/problems",
                NATIVE,
                "Store a problem, or a list of them, to be named by `problem_id`; 200 where it was known, and for a list",
                problems,
                object("`id`, the SHA-256 of the problem's JSON with sorted keys; for a list `ids`"),
            )
        },
        get(
            "/v1/problems",
            NATIVE,
            "Ids and sizes of the stored problems",
            object("`problems`, `bytes` and `max_bytes`"),
        ),
        Operation {
            method: "delete",
            status: 204,
            ..get("/v1/problems/{id}", NATIVE, "Remove a stored problem", Reply::Empty)
        },
        get(
            "/v1/version",
            NATIVE,
            "What is running: all that must be equal for two runs to be comparable, its limits, its routes",
            object("`version`, `provenance`, `limits`, `routes`, `profiles`, `rewards`, `capabilities`"),
        ),
        get("/v1/ping", "SandboxFusion", "Always \"pong\"", json!({ "const": "pong" })),
    ]
}

fn sandbox_fusions(schemas: &mut Schemas) -> Vec<Operation> {
    let mut submit = |path, tag, summary| {
        post(path, tag, summary, schemas.read::<oj::SubmitRequest>(), schemas.written::<oj::EvalResult>())
    };
    let judging = [
        submit("/submit", "SandboxFusion", "A completion against the tests that come with it"),
        submit("/common_evaluate", "ScaleBox", "A completion against the tests that come with it"),
        submit("/common_evaluate_batch", "ScaleBox", "The same; each request is one completion"),
    ];
    let run_code = Operation {
        example: Some(
            json!({ "code": "print(input())", "language": "python", "stdin": "hello", "run_timeout": 5 }),
        ),
        ..post(
            "/run_code",
            "SandboxFusion",
            "Run a program once",
            schemas.read::<sandbox_fusion::RunCodeRequest>(),
            schemas.written::<sandbox_fusion::RunCodeResponse>(),
        )
    };
    let none = json!({ "type": "array", "maxItems": 0 });
    let mut all = vec![run_code];
    all.extend(judging);
    all.push(get("/list_datasets", "SandboxFusion", "Always empty: rows come with the request", none));
    all
}

fn trainers(schemas: &mut Schemas) -> Vec<Operation> {
    let mut tests = |path, summary| {
        post(
            path,
            "open-instruct",
            summary,
            schemas.read::<open_instruct::TestRequest>(),
            schemas.written::<open_instruct::TestResponse>(),
        )
    };
    let open_instruct = [
        tests("/test_program", "A program against assertions"),
        tests("/test_program_stdio", "A program against inputs and outputs"),
    ];
    let mut all = vec![
        Operation {
            example: Some(json!({ "query": ["So \\boxed{4}"], "prompts": ["2 + 2?"], "labels": ["4"] })),
            ..post(
                "/get_reward",
                "OpenRLHF",
                "A reward for each query",
                schemas.read::<openrlhf::RewardRequest>(),
                schemas.written::<openrlhf::RewardResponse>(),
            )
        },
        Operation {
            query: &[("reward_key", "Answer with an object that has the reward under this name")],
            example: Some(json!({ "prompt": "2 + 2?", "response": "So \\boxed{4}", "label": "4" })),
            ..post(
                "/rm",
                "slime",
                "The reward of one sample, as a bare number",
                schemas.read::<slime::RewardRequest>(),
                json!({ "type": ["number", "object"] }),
            )
        },
    ];
    all.extend(open_instruct);
    all.extend([
        get("/health", "open-instruct", "Always healthy", object("`status`")),
        post(
            "/verify",
            "NeMo-Gym",
            "The row back, with its reward; `_ng_failure_class` where there is none",
            json!({
                "type": "object", "required": ["response"],
                "properties": {
                    "response": { "type": "object", "description": "A response of OpenAI's form with `output`" },
                    "verifier_metadata": {
                        "type": ["object", "null"], "description": "With `unit_tests`, for code: `inputs`, `outputs`, `fn_name`",
                    },
                    "expected_answer": { "description": "For math" },
                },
            }),
            object("The request's fields and `reward`"),
        ),
        post("/seed_session", "NeMo-Gym", "Nothing to seed", object("Not read"), object("Empty")),
        post(
            "/aggregate_metrics",
            "NeMo-Gym",
            "Statistics over rows of /verify",
            json!({
                "type": "object", "required": ["verify_responses"],
                "properties": { "verify_responses": { "type": "array", "items": { "type": "object" } } },
            }),
            object("Mean, maximum, minimum, median and deviation of all rows and of each task's"),
        ),
        post(
            "/apis/functioncalls",
            "AReaL",
            "A program against tests, or math answers against the right ones",
            schemas.read::<areal::CallRequest>(),
            schemas.written::<areal::CallResponse>(),
        ),
    ]);
    all
}

fn judges(schemas: &mut Schemas) -> Vec<Operation> {
    const BASE64: (&str, &str) = ("base64_encoded", "`true`: texts are base64, both ways");
    const WAIT: (&str, &str) = ("wait", "`true`: answer when it has ended");
    const FIELDS: (&str, &str) = ("fields", "Names of fields, with commas; `*` for all");
    const TOKENS: (&str, &str) = ("tokens", "With commas");
    let submission = schemas.read::<judge0::SubmissionRequest>();
    let many = json!({
        "type": "object", "required": ["submissions"],
        "properties": { "submissions": { "type": "array", "items": submission } },
    });
    let list = || json!({ "type": "array", "items": { "type": "object" } });
    let state = || object("The fields asked for; `token` alone where `wait` is not `true`");
    vec![
        post(
            "/execute",
            "NeMo-Skills",
            "Run a program once",
            schemas.read::<nemo_skills::ExecuteRequest>(),
            schemas.written::<nemo_skills::ExecuteResponse>(),
        ),
        post(
            "/execute_batch",
            "open-r1",
            "Run scripts, for the E2B and the Morph router both",
            schemas.read::<router::BatchRequest>(),
            schemas.written::<Vec<router::ScriptResult>>(),
        ),
        post(
            "/api/v2/execute",
            "open-r1",
            "Run a program once, in Piston's form",
            schemas.read::<piston::ExecuteRequest>(),
            schemas.written::<piston::ExecuteResponse>(),
        ),
        get(
            "/api/v2/runtimes",
            "open-r1",
            "The languages, in Piston's form",
            schemas.written::<Vec<piston::Runtime>>(),
        ),
        Operation {
            query: &[BASE64, WAIT, FIELDS],
            status: 201,
            ..post("/submissions", "Judge0", "Run a program once", submission, state())
        },
        Operation {
            query: &[BASE64],
            status: 201,
            ..post("/submissions/batch", "Judge0", "Run many", many, list())
        },
        Operation {
            query: &[TOKENS, BASE64, FIELDS],
            ..get("/submissions/batch", "Judge0", "What became of many", object("`submissions`"))
        },
        Operation {
            query: &[BASE64, FIELDS],
            ..get("/submissions/{token}", "Judge0", "What became of one", state())
        },
        get("/languages", "Judge0", "The languages and their ids", list()),
        get("/statuses", "Judge0", "The statuses and their ids", list()),
        get("/about", "Judge0", "The version of the form", object("`version` and others")),
        get("/config_info", "Judge0", "Limits", object("In Judge0's names")),
    ]
}

fn own() -> Vec<Operation> {
    let ready = "`ready`, the `reason` if not, and what the sandbox has";
    vec![
        get("/healthz", OPERATIONS, "The process answers; needs no token", Reply::Text("text/plain")),
        get(
            "/readyz",
            OPERATIONS,
            "A program just ran and came back right; 503 if not. Needs no token",
            object(ready),
        ),
        get("/metrics", OPERATIONS, "Counters and histograms for Prometheus", Reply::Text("text/plain")),
        get("/openapi.json", OPERATIONS, "This document", object("OpenAPI 3.1")),
        get(
            "/live/events",
            OPERATIONS,
            "What goes on, second by second, as server-sent events",
            Reply::Text("text/event-stream"),
        ),
        get("/live", PAGES, "What goes on", Reply::Text("text/html")),
        get("/docs", PAGES, "This document, to read", Reply::Text("text/html")),
    ]
}

fn get(path: &'static str, tag: &'static str, summary: &'static str, reply: impl Into<Reply>) -> Operation {
    let reply = reply.into();
    Operation { method: "get", path, tag, summary, query: &[], body: None, status: 200, reply, example: None }
}

fn post(
    path: &'static str,
    tag: &'static str,
    summary: &'static str,
    body: Value,
    reply: impl Into<Reply>,
) -> Operation {
    Operation { method: "post", body: Some(body), ..get(path, tag, summary, reply) }
}

fn object(description: &str) -> Value {
    json!({ "type": "object", "description": description })
}

impl Operation {
    fn into_json(self, form: Form) -> Value {
        let in_path = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let text = json!({ "type": "string" });
        let mut parameters: Vec<Value> = in_path
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text }))
            .collect();
        parameters.extend(
            self.query.iter().map(
                |(name, what)| json!({ "name": name, "in": "query", "description": what, "schema": text }),
            ),
        );
        if self.body.is_some() {
            parameters.push(json!({ "$ref": "#/components/parameters/deadline" }));
        }
        let content = match self.reply {
            Reply::Json(schema) => json!({ "application/json": { "schema": schema } }),
            Reply::Text(kind) => json!({ kind: {} }),
            Reply::Empty => json!({}),
        };
        let error = format!("#/components/responses/{}", error_name(form));
        let mut operation = json!({
            "tags": [self.tag],
            "summary": self.summary,
            "operationId": format!("{}_{}", self.method, self.path.replace(['/', '{', '}', '.'], "_").trim_matches('_')),
            "parameters": parameters,
            "responses": {
                self.status.to_string(): { "description": "Done", "content": content },
                "default": { "$ref": error },
            },
        });
        if let Some(schema) = self.body {
            let mut body = json!({ "schema": schema });
            if let Some(example) = self.example {
                body["example"] = example;
            }
            operation["requestBody"] = json!({ "required": true, "content": { "application/json": body } });
        }
        if ["/healthz", "/readyz"].contains(&self.path) {
            operation["security"] = json!([]);
        }
        operation
    }
}

fn error_name(form: Form) -> &'static str {
    match form {
        Form::Native => "Problem",
        Form::Detail => "Detail",
        Form::Message => "Message",
        Form::Error => "Error",
        Form::Page => "Text",
    }
}

fn errors() -> Value {
    let text = json!({ "type": "string" });
    let one = |name: &str| json!({ "type": "object", "required": [name], "properties": { name: text } });
    let error = |description: &str, kind: &str, schema: Value| json!({ "description": description, "content": { kind: { "schema": schema } } });
    let problem = json!({
        "type": "object", "required": ["type", "title", "status", "detail", "fault"],
        "properties": {
            "type": { "type": "string", "description": "Such as `urn:assay:error:queue-full`" },
            "title": text, "status": { "type": "integer" }, "detail": text,
            "fault": { "enum": ["caller", "service"] },
        },
    });
    let detail = json!({
        "type": "object", "required": ["detail"],
        "properties": { "detail": { "type": ["string", "array"], "description": "A list for 422, else a sentence" } },
    });
    json!({
        "Problem": error("An error, as RFC 9457 has it", "application/problem+json", problem),
        "Detail": error("An error in the client's own form", "application/json", detail),
        "Message": error("An error in the client's own form", "application/json", one("message")),
        "Error": error("An error in the client's own form", "application/json", one("error")),
        "Text": error("An error, in a sentence", "text/plain", text),
    })
}
