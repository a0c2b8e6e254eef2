//! Requests made from the OpenAPI document.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::route_walk::world::World;

/// What stands in paths and is no id.
const KNOWN: &[(&str, &str)] = &[("level", "0"), ("index", "000"), ("file", "start.js")];

/// Where an id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Body,
}

/// A parameter or field that is an id.
#[derive(Debug, Clone)]
pub(super) struct IdPlace {
    pub(super) place: Place,
    pub(super) name: String,
    /// Of what it is the id; `hash` for leaves.
    pub(super) prefix: String,
}

/// One method of one path.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) is_guarded: bool,
    /// Any of these is enough; none, if it is the operator's alone.
    pub(super) scopes: Vec<String>,
    pub(super) ids: Vec<IdPlace>,
    pub(super) examples: Vec<Value>,
    /// Query parameters that have to be there.
    required: Vec<(String, String)>,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Filled {
    pub(super) uri: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Value>,
}

/// All operations of the document that the program serves.
pub(super) fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_slice(&kapsel_api::openapi_json()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.push(read(&document, path, method, operation));
        }
    }
    operations
}

fn read(document: &Value, path: &str, method: &str, operation: &Value) -> Operation {
    let security = operation["security"].as_array().unwrap();
    let scopes = security.iter().filter_map(|one| one["tenant_key"][0].as_str()).map(str::to_owned).collect();
    let mut ids = Vec::new();
    let mut required = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap().to_owned();
        let place = match parameter["in"].as_str().unwrap() {
            "path" => Place::Path,
            "query" => Place::Query,
            "header" => Place::Header,
            other => panic!("{method} {path}: the walk does not know parameters in {other}"),
        };
        if let Some(prefix) = prefix(&parameter["schema"]) {
            ids.push(IdPlace { place, name, prefix });
        } else if place == Place::Path {
            assert!(KNOWN.iter().any(|(known, _)| *known == name), "{method} {path}: teach the walk what {name} is");
        } else if place == Place::Query && parameter["required"] == true {
            required.push((name, parameter["example"].to_string()));
        }
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    let body = body["$ref"].as_str().map_or(body, |reference| document.pointer(&reference[1..]).unwrap());
    for (name, schema) in body["properties"].as_object().into_iter().flatten() {
        ids.extend(prefix(schema).map(|prefix| IdPlace { place: Place::Body, name: name.clone(), prefix }));
    }
    let examples = body["examples"].as_array().cloned().unwrap_or_default();
    assert!(body.is_null() || !examples.is_empty(), "{method} {path}: the body has no example");
    Operation {
        id: operation["operationId"].as_str().unwrap().to_owned(),
        method: method.to_uppercase(),
        path: path.to_owned(),
        is_guarded: !security.is_empty(),
        scopes,
        ids,
        examples,
        required,
    }
}

/// Of what a schema is the id.
fn prefix(schema: &Value) -> Option<String> {
    match schema["pattern"].as_str()? {
        "^[0-9a-f]{64}$" => Some("hash".to_owned()),
        pattern => pattern.strip_prefix('^')?.split_once("_[0-7]").map(|(prefix, _)| prefix.to_owned()),
    }
}

impl Operation {
    /// A request about `ids`; only at `place` there is `other`.
    pub(super) fn fill(
        &self,
        ids: &BTreeMap<String, String>,
        place: Option<&IdPlace>,
        other: Option<&String>,
    ) -> Filled {
        let is_there = |candidate: &IdPlace| {
            place.is_some_and(|place| (place.place, &place.name) == (candidate.place, &candidate.name))
        };
        let mut uri = self.path.clone();
        let mut query: Vec<String> = self.required.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut headers = Vec::new();
        let mut body = self.examples.first().map(|example| self.example_of(example, ids));
        for candidate in &self.ids {
            let (own, is_other) = (&ids[&candidate.prefix], is_there(candidate));
            let id = other.filter(|_| is_other).unwrap_or(own).clone();
            match candidate.place {
                Place::Path => uri = uri.replace(&format!("{{{}}}", candidate.name), &id),
                Place::Query if is_other => query.push(format!("{}={id}", candidate.name)),
                Place::Header if is_other => headers.push((candidate.name.clone(), id)),
                Place::Body if is_other => {
                    if let Some(body) = body.as_mut() {
                        body[&candidate.name] = id.into();
                    }
                }
                _ => {}
            }
        }
        for (name, value) in KNOWN {
            uri = uri.replace(&format!("{{{name}}}"), value);
        }
        if !query.is_empty() {
            uri = format!("{uri}?{}", query.join("&"));
        }
        Filled { uri, headers, body }
    }

    /// An example with the ids that it names replaced by these.
    pub(super) fn example_of(&self, example: &Value, ids: &BTreeMap<String, String>) -> Value {
        let mut body = example.clone();
        for candidate in self.ids.iter().filter(|candidate| candidate.place == Place::Body) {
            if let Some(id) = body.get_mut(&candidate.name) {
                *id = ids[&candidate.prefix].clone().into();
            }
        }
        body
    }

    /// A request about what is not there.
    pub(super) fn fill_with_nobodys(&self, world: &World) -> Filled {
        let ids = world.theirs.keys().map(|prefix| (prefix.clone(), world.nobodys(prefix))).collect();
        self.fill(&ids, None, None)
    }
}

/// The same request, from the operator for a tenant.
pub(super) fn for_tenant(mut filled: Filled, tenant: &str) -> Filled {
    filled.headers.push(("kapsel-tenant".to_owned(), tenant.to_owned()));
    filled
}
