//! What many answers have in common is written once, under `components`, and named where it stands.

use serde_json::{Map, Value, json};

/// Moves error answers and the headers of all answers to the components of the document.
pub(super) fn write_once(document: &mut Value) {
    let (mut answers, mut headers) = (Map::new(), Map::new());
    let Some(paths) = document["paths"].as_object_mut() else { return };
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    for (status, answer) in
        operations.filter_map(|operation| operation["responses"].as_object_mut()).flat_map(Map::iter_mut)
    {
        for (name, header) in answer["headers"].as_object_mut().into_iter().flatten() {
            refer("headers", name, header, &mut headers);
        }
        if let Some(examples) = answer["content"]["application/json"]["examples"].as_object() {
            let codes: Vec<&str> = examples.keys().map(String::as_str).collect();
            refer("responses", &format!("{status}-{}", codes.join("-")), answer, &mut answers);
        } else if answer["content"].is_null() {
            // Looking for it has made it.
            answer.as_object_mut().map(|answer| answer.remove("content"));
        }
    }
    document["components"]["responses"] = answers.into();
    document["components"]["headers"] = headers.into();
}

/// Puts `value` among the `shared` ones, unless it is there, and a reference in its place. What differs under one name gets
/// numbers.
fn refer(kind: &str, name: &str, value: &mut Value, shared: &mut Map<String, Value>) {
    let names = (1..).map(|number| if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
    for name in names {
        let kept = shared.entry(name.as_str()).or_insert_with(|| value.clone());
        if kept == value {
            *value = json!({"$ref": format!("#/components/{kind}/{name}")});
            return;
        }
    }
}
