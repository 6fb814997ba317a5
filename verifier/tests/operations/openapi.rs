//! `/openapi.json` against the service: its routes and methods, and the forms against what clients really send and get.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::service::{RIGHT, Server, math, request, sum};

#[test]
fn it_describes_every_route_and_method() {
    let server = Server::start(&["--math-only"]);
    let whole = server.get("/openapi.json").json();
    assert!(whole["openapi"].as_str().unwrap().starts_with("3.1."), "{}", whole["openapi"]);
    let described: BTreeSet<&str> = whole["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let version = server.get("/v1/version").json();
    let routes: BTreeSet<&str> =
        version["routes"].as_array().unwrap().iter().map(|route| route.as_str().unwrap()).collect();
    assert_eq!(described, routes);
    for path in routes {
        for method in ["GET", "POST", "DELETE"] {
            let described = !whole["paths"][path][method.to_lowercase()].is_null();
            if described && path == "/live/events" {
                continue; // It does not end.
            }
            let reply = request(server.address, method, path, &[], "{");
            assert_eq!(reply.status != 405, described, "{method} {path}: {}", reply.body);
        }
    }
    let mut names = BTreeSet::new();
    walk(&whole, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let place = reference.strip_prefix('#').unwrap();
            assert!(whole.pointer(place).is_some(), "{reference} leads nowhere");
        }
        if let Some(name) = value.get("operationId").and_then(Value::as_str) {
            assert!(names.insert(name.to_owned()), "{name} is there twice");
        }
    });
    assert!(names.len() > 35, "{names:?}");
}

fn walk(value: &Value, visit: &mut impl FnMut(&Value)) {
    visit(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(map) => map.values().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn its_forms_are_those_that_clients_use() {
    let server = Server::start(&["--slots", "1"]);
    let whole = server.get("/openapi.json").json();
    let (mut bodies, mut replies, mut wrong) = (0, 0, Vec::new());
    for (name, case) in cases() {
        let path = case["request"]["path"].as_str().unwrap().split('?').next().unwrap();
        let method = if case["request"].get("body").is_some() { "post" } else { "get" };
        let operation = &whole["paths"][path][method];
        let status = case["reply"]["status"].as_u64().unwrap();
        let Some(done) = operation["responses"].get(status.to_string()) else { continue };
        if let Some(body) = case["request"].get("body") {
            bodies += 1;
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            wrong.extend(misfit(&whole, schema, body).map(|what| format!("{name}: request: {what}")));
        }
        replies += 1;
        let schema = &done["content"]["application/json"]["schema"];
        wrong.extend(
            misfit(&whole, schema, &case["reply"]["body"]).map(|what| format!("{name}: reply: {what}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(bodies > 50 && replies > bodies, "{bodies} bodies and {replies} replies are too few");

    let form = |place: &str| whole.pointer(place).unwrap_or_else(|| panic!("{place}"));
    let request = form("/paths/~1v1~1grade/post/requestBody/content/application~1json/schema");
    let reply = form("/paths/~1v1~1grade/post/responses/200/content/application~1json/schema");
    for body in [sum(RIGHT), math("1/2", "\\boxed{0.5}"), math("\\mystery{x}{", "")] {
        assert_eq!(misfit(&whole, request, &body), None);
        assert_eq!(misfit(&whole, reply, &server.post("/v1/grade", &body).json()), None);
    }
    // And the check can fail.
    for (key, value) in [("rewrad", Value::from("all")), ("completion", 7.into()), ("mode", "both".into())] {
        let mut body = sum(RIGHT);
        body[key] = value;
        assert!(misfit(&whole, request, &body).is_some(), "{body}");
    }
    // Its own examples are understood.
    walk(&whole["paths"], &mut |value| {
        let body = value.pointer("/requestBody/content/application~1json");
        if let Some((body, example)) = body.and_then(|body| Some((body, body.get("example")?))) {
            assert_eq!(misfit(&whole, &body["schema"], example), None, "{example}");
        }
    });
}

/// All files below `tests/wire/`.
fn cases() -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let mut cases = Vec::new();
    for folder in std::fs::read_dir(root).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let case: Value = serde_json::from_str(&text).unwrap();
            if case["request"].get("text").is_none() {
                cases.push((path.display().to_string(), case));
            }
        }
    }
    cases
}

/// Why a value is not of a schema's form; `None` if it is. Knows the words that the description uses, and no others. The texts
/// `<number>` and the like of `tests/wire/` stand for any value.
fn misfit(whole: &Value, schema: &Value, value: &Value) -> Option<String> {
    let schema = match schema {
        Value::Bool(true) => return None,
        Value::Object(schema) => schema,
        other => return Some(format!("{other} is no schema")),
    };
    if value.as_str().is_some_and(|text| text.starts_with('<') && text.ends_with('>')) {
        return None;
    }
    schema.iter().find_map(|(word, rule)| {
        let rules = || rule.as_array().unwrap().iter();
        let fitting = || rules().filter(|rule| misfit(whole, rule, value).is_none()).count();
        let why = |what: &str| Some(format!("{value} {what} {rule}"));
        match word.as_str() {
            "$ref" => misfit(whole, whole.pointer(&rule.as_str().unwrap()[1..]).unwrap(), value),
            "type" => {
                let one = |rule: &Value| is_a(value, rule.as_str().unwrap());
                let fits = if rule.is_array() { rules().any(one) } else { one(rule) };
                if fits { None } else { why("is no") }
            }
            "const" if rule != value => why("is not"),
            "enum" if !rules().any(|rule| rule == value) => why("is none of"),
            "anyOf" if fitting() == 0 => why("is none of"),
            "oneOf" if fitting() != 1 => why("is not exactly one of"),
            "minimum" if value.is_number() && value.as_f64() < rule.as_f64() => why("is below"),
            "maximum" if value.is_number() && value.as_f64() > rule.as_f64() => why("is above"),
            "maxItems" if value.as_array().map(Vec::len) > rule.as_u64().map(|most| most as usize) => {
                why("is longer than")
            }
            "required" => {
                let missing =
                    rules().find(|name| value.is_object() && value.get(name.as_str().unwrap()).is_none())?;
                Some(format!("{value} lacks {missing}"))
            }
            "properties" => rule.as_object().unwrap().iter().find_map(|(name, rule)| {
                misfit(whole, rule, value.get(name)?).map(|why| format!("{name}: {why}"))
            }),
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let map = value.as_object()?;
                map.iter().filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name))).find_map(
                    |(name, value)| {
                        if *rule == false {
                            Some(format!("nobody knows {name}"))
                        } else {
                            misfit(whole, rule, value)
                        }
                    },
                )
            }
            "items" => value.as_array()?.iter().find_map(|item| misfit(whole, rule, item)),
            "const" | "enum" | "anyOf" | "oneOf" | "minimum" | "maximum" | "maxItems" => None,
            "description" | "default" | "format" | "title" => None,
            word => panic!("this test does not know {word}"),
        }
    })
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        name => panic!("no type is called {name}"),
    }
}
