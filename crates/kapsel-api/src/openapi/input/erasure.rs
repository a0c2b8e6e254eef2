//! What is erased.

use serde_json::{Value, json};

use crate::openapi::described::{about, closed, described, or_null};
use crate::openapi::words;

described! {
    /// Either of the two.
    ErasureInput = {
        let id = |prefix, description| or_null(about(description, words::id(prefix)));
        let mut schema = closed(&[], vec![
            ("event_id", id(kapsel_core::EventId::PREFIX, "One event.")),
            ("tenant_id", id(kapsel_core::TenantId::PREFIX, "All events that this tenant has by now.")),
        ]);
        schema["oneOf"] = json!([either("event_id", "tenant_id"), either("tenant_id", "event_id")]);
        schema["examples"] = json!([{"event_id": format!("evt_{}", words::EXAMPLE_ID)}]);
        schema
    };
}

fn either(there: &str, absent: &str) -> Value {
    json!({"required": [there], "properties": {there: {"type": "string"}, absent: {"type": "null"}}})
}
