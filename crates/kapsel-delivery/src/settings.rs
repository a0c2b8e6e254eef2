//! How much may be under way at once, and for how long.

use std::time::Duration;

/// The settings of a [`Dispatcher`](crate::Dispatcher).
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// How many deliveries this instance works on at once, from the reservation until the result is stored.
    pub in_flight_max: usize,
    /// How many bytes of event bodies they may hold together. A single larger body is still delivered, alone.
    pub body_bytes_in_flight_max: usize,
    /// How long a delivery belongs to this instance after it was claimed or handed over.
    pub lease: Duration,
    /// How long before the end of its lease a delivery must be done with the network, so that the result can still
    /// be stored. At most half of `lease` is used.
    pub lease_slack: Duration,
    /// How often the store is asked for work when nothing else gives reason to.
    pub poll_interval: Duration,
    /// Headers of incoming webhooks that do not travel on, besides those that never do.
    pub denied_headers: Vec<String>,
    /// The `User-Agent` of outgoing requests.
    pub user_agent: String,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        DeliverySettings {
            in_flight_max: 1_024,
            body_bytes_in_flight_max: 256 * 1024 * 1024,
            lease: Duration::from_secs(60),
            lease_slack: Duration::from_secs(10),
            poll_interval: Duration::from_millis(250),
            denied_headers: Vec::new(),
            user_agent: concat!("Kapsel/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl DeliverySettings {
    /// How much of a fresh lease may be spent on the network.
    pub(crate) fn lease_usable(&self) -> Duration {
        self.lease.saturating_sub(self.slack())
    }

    /// The slack that is really kept: a slack as long as the lease itself would leave no time to send anything.
    pub(crate) fn slack(&self) -> Duration {
        self.lease_slack.min(self.lease / 2)
    }
}
