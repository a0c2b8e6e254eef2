//! Traces for an OpenTelemetry collector, by OTLP over HTTP with protobuf.
//!
//! Spans go into a bounded queue and are sent by a thread of their own. When the queue is full they are dropped; no request
//! and no delivery ever waits for the collector.

mod collector;
mod complaints;
mod convert;
mod leaves;

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::trace::{EventTrace, Sampling, Span, Stage, Tracer};
use kapsel_core::{Clock, LogId};
use kapsel_store::AttestationStore;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, RetryPolicy, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::collector::Collector;
use self::leaves::LeafWatch;
use crate::commands::Failure;
use crate::config::OtlpConfig;

/// How many spans wait for being sent. Five for each event, so this is what a burst of some thousand events makes.
const QUEUE_MAX: usize = 8_192;
/// How many are sent together.
const BATCH_MAX: usize = 512;
/// How long a span waits for others at most.
const DELAY: Duration = Duration::from_secs(1);
/// How long a batch may take on its way.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the program looks for leaves at its end. While the store is away it would look in vain.
const LEAVES_TIME_MAX: Duration = Duration::from_secs(1);
/// How long it then waits for what is left to be sent.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(3);

/// Sends spans to a collector.
pub(crate) struct OtlpTracer {
    sampling: Sampling,
    processor: BatchSpanProcessor,
    leaves: LeafWatch,
}

impl Tracer for OtlpTracer {
    fn wants(&self, trace: &EventTrace) -> bool {
        self.sampling.takes(trace)
    }

    fn marks(&self, trace: &EventTrace) -> bool {
        self.sampling.takes(trace)
    }

    fn record(&self, span: Span) {
        if span.stage == Stage::Settle {
            self.leaves.await_leaf(&span);
        }
        // Never blocks; what does not fit into the queue is dropped.
        self.processor.on_end(convert::span_data(span));
    }
}

/// The tracer with what works for it.
pub(crate) struct Tracing {
    tracer: Arc<OtlpTracer>,
    leaves: JoinHandle<()>,
    stop_leaves: watch::Sender<bool>,
}

impl Tracing {
    /// Starts sending to the configured collector.
    ///
    /// # Errors
    /// TLS or the endpoint cannot be used. That nobody answers there is none.
    pub(crate) fn start(
        config: &OtlpConfig,
        store: Arc<dyn AttestationStore>,
        clock: Arc<dyn Clock>,
        instance: String,
        log_id: LogId,
    ) -> Result<Self, Failure> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| Failure::runtime("setting up traces")(error);
        let collector = Collector::new(Handle::current(), EXPORT_TIME_MAX).map_err(failed)?;
        // Headers, such as those that authenticate, are read from OTEL_EXPORTER_OTLP_HEADERS by the exporter itself.
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_retry_policy(RetryPolicy::disabled())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(config.traces_url())
            .with_timeout(EXPORT_TIME_MAX)
            .build()
            .map_err(|error| failed(error.into()))?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_MAX)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(DELAY)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder_empty()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", instance))
            .with_attribute(KeyValue::new("kapsel.log_id", log_id.to_string()))
            .build();
        processor.set_resource(&resource);
        let (leaves, watcher) = leaves::watch(store, clock);
        let tracer = Arc::new(OtlpTracer { sampling: Sampling::new(config.ratio), processor, leaves });
        let (stop_leaves, stopped) = watch::channel(false);
        let leaves = tokio::spawn({
            let tracer = Arc::downgrade(&tracer);
            async move { watcher.run(tracer, stopped).await }
        });
        Ok(Tracing { tracer, leaves, stop_leaves })
    }

    /// Where spans go.
    pub(crate) fn tracer(&self) -> Arc<dyn Tracer> {
        Arc::clone(&self.tracer) as _
    }

    /// Looks for leaves once more, sends what is left and ends, within a bound.
    pub(crate) async fn close(self) {
        self.stop_leaves.send_replace(true);
        let _ = tokio::time::timeout(LEAVES_TIME_MAX, self.leaves).await;
        let tracer = self.tracer;
        // It waits for the sending thread, which this runtime has to go on serving meanwhile.
        let flush = tokio::task::spawn_blocking(move || tracer.processor.shutdown_with_timeout(FLUSH_TIME_MAX)).await;
        if !matches!(flush, Ok(Ok(()))) {
            tracing::warn!("the last spans of traces may not have been sent");
        }
    }
}
