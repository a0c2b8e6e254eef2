//! Replays.

use kapsel_core::replay::{RATE_PER_SECOND_DEFAULT, RATE_PER_SECOND_MAX};
use kapsel_store::ReplayFilter;
use serde_json::json;

use crate::openapi::described::{about, closed, described, or_null};
use crate::openapi::words;

described! {
    /// Which events are queued anew, and how fast.
    ReplayInput = {
        let states = words::words(ReplayFilter::STATUSES.iter().map(|state| state.as_str()));
        let states = json!({"type": "array", "items": states, "minItems": 1, "default": ["failed"]});
        let mut rate = words::whole(1, RATE_PER_SECOND_MAX.into());
        rate["default"] = RATE_PER_SECOND_DEFAULT.into();
        let mut schema = closed(&[], vec![
            ("endpoint_id", or_null(about("Those of this endpoint.", words::id(kapsel_core::EndpointId::PREFIX)))),
            ("statuses", or_null(about("Those in one of these states when their turn comes.", states))),
            ("since", or_null(about("Those that were accepted from then on.", words::time_input()))),
            ("until", or_null(about("Those that were accepted before; later than `since`.", words::time_input()))),
            ("rate_per_second", or_null(about("How many are queued in a second, on average.", rate))),
        ]);
        schema["examples"] = json!([{"statuses": ["failed"], "since": "2026-01-01T00:00:00Z", "rate_per_second": 50}]);
        schema
    };
}
