//! Schemas that are written as JSON.
//!
//! Input is read field by field, so no type could derive what is accepted; and the types of the pure crates know nothing of
//! documentation. For both there is a type here that stands for the schema in annotations. Its schema travels through the
//! generator as an extension, because the generator's own model has no place for some of JSON Schema, and is put in its
//! place at the end ([`fill`]).

use serde_json::{Map, Value};
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType};
use utoipa::openapi::{RefOr, Schema};

/// Under which name a schema travels.
const HELD: &str = "x-schema";

/// A schema as the generator takes it.
pub(super) fn held(schema: Value) -> RefOr<Schema> {
    let extensions = ExtensionsBuilder::new().add(HELD, schema).build();
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).extensions(Some(extensions)).build().into()
}

/// Puts every schema that travelled as an extension in its place. What stands beside it, such as a description of the
/// field, stays.
pub(super) fn fill(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(fill),
        Value::Object(map) => {
            if let Some(Value::Object(schema)) = map.remove(HELD) {
                let beside = std::mem::replace(map, schema);
                map.extend(beside);
            }
            map.values_mut().for_each(fill);
        }
        _ => {}
    }
}

/// The same schema, which takes `null` too: everywhere in the input, `null` is a field that is left out.
pub(super) fn or_null(mut schema: Value) -> Value {
    let Some(map) = schema.as_object_mut() else { return schema };
    match map.get("type") {
        Some(Value::String(_)) if !map.contains_key("anyOf") => {
            let one = map.remove("type").unwrap_or_default();
            map.insert("type".to_owned(), Value::Array(vec![one, "null".into()]));
            if let Some(Value::Array(words)) = map.get_mut("enum") {
                words.push(Value::Null);
            }
            schema
        }
        _ => {
            // What is said about the field is said once, not of one of its forms.
            let mut outer = Map::new();
            for name in ["description", "default", "examples"] {
                outer.extend(map.remove(name).map(|said| (name.to_owned(), said)));
            }
            outer.insert("anyOf".to_owned(), Value::Array(vec![schema, serde_json::json!({"type": "null"})]));
            Value::Object(outer)
        }
    }
}

/// The schema of an object with these fields and no others.
pub(super) fn closed(required: &[&str], fields: Vec<(&str, Value)>) -> Value {
    let properties: Map<String, Value> = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut object = serde_json::json!({"type": "object", "properties": properties, "additionalProperties": false});
    if let (false, Some(map)) = (required.is_empty(), object.as_object_mut()) {
        map.insert("required".to_owned(), required.into());
    }
    object
}

/// A schema with a description.
pub(super) fn about(description: &str, mut schema: Value) -> Value {
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".to_owned(), description.into());
    }
    schema
}

/// Types that stand for schemas: `Name = schema;`. The documentation of the type is that of the schema.
macro_rules! described {
    ($($(#[doc = $doc:literal])+ $name:ident = $schema:expr;)*) => {
        $($(#[doc = $doc])+
        pub(crate) struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let description = concat!($($doc, "\n"),+).trim();
                $crate::openapi::described::held($crate::openapi::described::about(description, $schema))
            }
        }

        impl utoipa::ToSchema for $name {})*
    };
}

pub(super) use described;
