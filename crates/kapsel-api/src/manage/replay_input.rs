//! What `POST /v1/replays` and `POST /v1/replays/preview` take.

use kapsel_core::replay::{RATE_PER_SECOND_DEFAULT, RATE_PER_SECOND_MAX};
use kapsel_core::{DeliveryState, EndpointId};
use kapsel_store::{ReplayFilter, StatusSet};
use serde_json::Value;

use super::fields::{Object, Problems};
use crate::problem::Problem;

pub(crate) const FIELDS: &[&str] = &["endpoint_id", "statuses", "since", "until", "rate_per_second"];

/// A replay as the input wants it.
#[derive(Debug, PartialEq)]
pub(crate) struct Draft {
    /// Which events.
    pub(crate) filter: ReplayFilter,
    /// How many of them in a second.
    pub(crate) rate_per_second: u32,
}

/// The endpoint that the input names, if it names one. It has to be looked up before everything can be judged at once.
pub(crate) fn endpoint_id(body: &Value) -> Option<EndpointId> {
    body.get("endpoint_id")?.as_str()?.parse().ok()
}

/// Reads the input. `has_endpoint` says whether the endpoint that it names is there.
///
/// # Errors
/// 422 with every field that is not acceptable.
pub(crate) fn read(body: &Value, has_endpoint: bool) -> Result<Draft, Problem> {
    let problems = Problems::default();
    let draft = Object::root(body, FIELDS, &problems).map(|root| read_root(&root, has_endpoint));
    problems.into_result()?;
    draft.ok_or_else(|| Problem::internal("the input of a replay was refused without a reason"))
}

fn read_root(root: &Object<'_>, has_endpoint: bool) -> Draft {
    let endpoint_id =
        root.parsed("endpoint_id", "must be the id of an endpoint (ep_...)", |text| text.parse::<EndpointId>().ok());
    if endpoint_id.is_some() && !has_endpoint {
        root.refuse("endpoint_id", "there is no such endpoint");
    }
    let states: Vec<(&str, DeliveryState)> =
        ReplayFilter::STATUSES.iter().map(|state| (state.as_str(), state)).collect();
    let statuses: Option<StatusSet> = root.words("statuses", &states).map(|states| states.into_iter().collect());
    let since = root.time("since");
    let until = root.time("until");
    if let (Some(since), Some(until)) = (since, until)
        && until <= since
    {
        root.refuse("until", "must be later than since");
    }
    let rate_per_second = root.whole("rate_per_second", 1..=RATE_PER_SECOND_MAX);
    let statuses = statuses.unwrap_or(StatusSet::only(DeliveryState::Failed));
    Draft {
        filter: ReplayFilter { endpoint_id, statuses, since, until },
        rate_per_second: rate_per_second.unwrap_or(RATE_PER_SECOND_DEFAULT),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use kapsel_core::Timestamp;

    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        let failed = StatusSet::only(DeliveryState::Failed);
        let filter = ReplayFilter { endpoint_id: None, statuses: failed, since: None, until: None };
        for body in [json!({}), json!({"statuses": null, "endpoint_id": null, "rate_per_second": null})] {
            assert_eq!(read(&body, false).unwrap(), Draft { filter, rate_per_second: RATE_PER_SECOND_DEFAULT });
        }
    }

    #[test]
    fn everything_can_be_given() {
        let body = json!({
            "endpoint_id": EndpointId::MIN,
            "statuses": ["delivered", "failed", "delivered"],
            "since": "2026-01-01T00:00:00Z",
            "until": "2026-01-01T00:00:00.001Z",
            "rate_per_second": 7,
        });
        assert_eq!(endpoint_id(&body), Some(EndpointId::MIN));
        let filter = ReplayFilter {
            endpoint_id: Some(EndpointId::MIN),
            statuses: [DeliveryState::Delivered, DeliveryState::Failed].into_iter().collect(),
            since: Some(Timestamp::from_unix_seconds(1_767_225_600)),
            until: Some(Timestamp::from_unix_millis(1_767_225_600_001)),
        };
        assert_eq!(read(&body, true).unwrap(), Draft { filter, rate_per_second: 7 });
        assert!(read(&body, false).is_err(), "the endpoint is not there");
    }
}
