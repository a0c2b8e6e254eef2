//! Metrics and traces.

use http::Uri;

use super::Args;
use super::sources::{ConfigError, Setting, Sources, number};

const LABELS_MAX: Setting =
    Setting { key: "metrics_labels_max", env: "KAPSEL_METRICS_LABELS_MAX", flag: Some("metrics-labels-max") };
const ENDPOINT: Setting = Setting { key: "otlp_endpoint", env: "KAPSEL_OTLP_ENDPOINT", flag: Some("otlp-endpoint") };
const RATIO: Setting = Setting { key: "trace_ratio", env: "KAPSEL_TRACE_RATIO", flag: Some("trace-ratio") };
const SERVICE_NAME: Setting = Setting { key: "service_name", env: "OTEL_SERVICE_NAME", flag: None };
/// What OpenTelemetry itself calls it.
const STANDARD_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The path of traces behind the endpoint (OpenTelemetry Protocol Exporter, "Endpoint URLs for OTLP/HTTP").
const TRACES_PATH: &str = "/v1/traces";

/// Metrics and traces.
#[derive(Debug)]
pub(crate) struct TelemetryConfig {
    /// How many endpoints, and how many tenants, have metrics under their own names.
    pub(crate) labels_max: usize,
    /// Where traces go; without it, none are recorded.
    pub(crate) otlp: Option<OtlpConfig>,
}

/// Traces.
#[derive(Debug, Clone)]
pub(crate) struct OtlpConfig {
    /// The collector.
    endpoint: String,
    /// What the program is called in traces.
    pub(crate) service_name: String,
    /// Which share of the traces that begin here is recorded.
    pub(crate) ratio: f64,
}

impl OtlpConfig {
    /// Where spans are sent.
    pub(crate) fn traces_url(&self) -> String {
        format!("{}{TRACES_PATH}", self.endpoint)
    }
}

impl TelemetryConfig {
    pub(super) fn read(sources: &mut Sources, args: &Args) -> Result<Self, ConfigError> {
        let labels_max = sources
            .read(LABELS_MAX, args.metrics_labels_max.as_deref(), "200", |text| number(text, 0..=10_000))
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX))?;
        let standard = sources.variable(STANDARD_ENDPOINT).unwrap_or_default();
        let endpoint = sources.read(ENDPOINT, args.otlp_endpoint.as_deref(), &standard, endpoint)?;
        let ratio = sources.read(RATIO, args.trace_ratio.as_deref(), "0.01", |text| {
            let ratio: Option<f64> = text.trim().parse().ok();
            ratio.filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(|| "is not a number from 0 to 1".to_owned())
        })?;
        let service_name = sources.read(SERVICE_NAME, None, "kapsel", |text| Ok(text.to_owned()))?;
        Ok(TelemetryConfig { labels_max, otlp: endpoint.map(|endpoint| OtlpConfig { endpoint, service_name, ratio }) })
    }
}

/// A base URL. Some write the path of traces behind it, which means the same.
fn endpoint(text: &str) -> Result<Option<String>, String> {
    let text = text.trim().trim_end_matches('/');
    let text = text.strip_suffix(TRACES_PATH).unwrap_or(text);
    if text.is_empty() {
        return Ok(None);
    }
    let problem = || "is not a URL such as http://127.0.0.1:4318".to_owned();
    let url: Uri = text.parse().map_err(|_| problem())?;
    let authority = url.authority().ok_or_else(problem)?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.query().is_some() {
        return Err(problem());
    }
    if authority.as_str().contains('@') {
        return Err("must hold no credentials; set OTEL_EXPORTER_OTLP_HEADERS instead".to_owned());
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_url() {
        let url = |text| endpoint(text).map(|endpoint| endpoint.unwrap_or_default());
        for (given, expected) in [
            ("", ""),
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318"),
            ("https://collector.example/otlp", "https://collector.example/otlp"),
            ("https://collector.example/otlp/v1/traces", "https://collector.example/otlp"),
        ] {
            assert_eq!(url(given).as_deref(), Ok(expected), "{given}");
        }
        for given in ["collector", "grpc://collector:4317", "http://", "http://a:b@collector:4318", "http://a/?b"] {
            assert!(url(given).is_err(), "{given}");
        }
    }
}
