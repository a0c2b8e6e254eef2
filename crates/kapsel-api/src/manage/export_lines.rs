//! What an export says, line by line: what it is, the tenant, its endpoints without their secrets, its events from old to
//! new with all that happened to them, and that it is whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kapsel_core::{Endpoint, EndpointId, Event, EventId, Tenant, TenantId, Timestamp};
use kapsel_store::{EventFilter, StoreError};
use serde::Serialize;

use super::endpoint_view::EndpointView;
use super::event_view::EventView;
use super::export::{Broken, Lines};
use super::tenant_view::TenantView;
use crate::Shared;

/// Grows when a line gets another meaning.
const FORM: u32 = 1;
/// How many events are listed at once. Their bodies are read one by one.
const EVENTS_PAGE: usize = 100;
const ENDPOINTS_PAGE: usize = 100;

/// What to export.
pub(super) struct Export {
    /// Whose.
    pub(super) tenant: Tenant,
    /// Which events, the oldest first, up to those that are there at the beginning.
    pub(super) filter: EventFilter,
    /// Whether with their payloads.
    pub(super) include_payload: bool,
    /// What ingest URLs begin with.
    pub(super) base_url: String,
    /// When it began.
    pub(super) exported_at: Timestamp,
}

/// A line. Which kind it is stands first.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Export {
        version: u32,
        exported_at: Timestamp,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        include_payload: bool,
    },
    Tenant(TenantView),
    Endpoint(EndpointView<'a>),
    Event(Box<EventLine>),
    End {
        events: u64,
    },
}

/// An event as elsewhere, and what it came with.
#[derive(Serialize)]
struct EventLine {
    #[serde(flatten)]
    event: EventView,
    /// `null` where the event is erased.
    headers: Option<Vec<HeaderLine>>,
    /// Base64; `null` where it is erased or not wanted.
    payload: Option<String>,
}

#[derive(Serialize)]
struct HeaderLine {
    name: String,
    /// `null` where it is no text.
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// Writes it from its first line to its last.
pub(super) async fn write_export(shared: &Shared, export: Export, lines: &mut Lines) -> Result<(), Broken> {
    let Export { tenant, mut filter, include_payload, base_url, exported_at } = export;
    let (since, until, tenant_id) = (filter.since, filter.until, tenant.id);
    lines.add(&Line::Export { version: FORM, exported_at, since, until, include_payload }).await?;
    lines.add(&Line::Tenant(tenant.into())).await?;
    let mut after: Option<EndpointId> = None;
    loop {
        let page = shared.store.endpoint_list(tenant_id, after, ENDPOINTS_PAGE).await?;
        write_endpoints(shared, &page, exported_at, &base_url, lines).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
    }
    let mut events = 0;
    loop {
        let page = shared.store.event_list(tenant_id, filter, EVENTS_PAGE, shared.clock.now()).await?;
        let Some(last) = page.last() else { break };
        filter.after = Some(last.id);
        for summary in &page {
            // What has had its time since it was listed is not there any more.
            if let Some(line) = event_line(shared, tenant_id, summary.id, include_payload).await? {
                lines.add(&Line::Event(Box::new(line))).await?;
                events += 1;
            }
        }
    }
    lines.add(&Line::End { events }).await?;
    lines.flush().await
}

async fn write_endpoints(
    shared: &Shared,
    page: &[Endpoint],
    now: Timestamp,
    base_url: &str,
    lines: &mut Lines,
) -> Result<(), Broken> {
    let Some(first) = page.first() else { return Ok(()) };
    let ids = page.iter().map(|endpoint| endpoint.id).collect();
    let circuits = shared.circuits.circuit_list(first.tenant_id, ids).await?;
    for endpoint in page {
        let circuit = circuits.iter().find(|stored| stored.endpoint_id == endpoint.id);
        let circuit = circuit.map(|stored| stored.circuit).unwrap_or_default();
        lines.add(&Line::Endpoint(EndpointView::new(endpoint, &circuit, now, base_url))).await?;
    }
    Ok(())
}

async fn event_line(
    shared: &Shared,
    tenant_id: TenantId,
    id: EventId,
    include_payload: bool,
) -> Result<Option<EventLine>, StoreError> {
    let detail = match shared.store.event_get(tenant_id, id, shared.clock.now()).await {
        Err(StoreError::NotFound) => return Ok(None),
        result => result?,
    };
    // An erased event has neither.
    let event = match shared.store.event_read(tenant_id, id).await {
        Err(StoreError::NotFound) => None,
        result => Some(result?),
    };
    let payload = event.as_ref().filter(|_| include_payload).map(|event| STANDARD.encode(&event.body));
    Ok(Some(EventLine { event: EventView::in_full(detail), headers: event.as_ref().map(headers), payload }))
}

fn headers(event: &Event) -> Vec<HeaderLine> {
    let line = |(name, value): (&str, &[u8])| {
        let text = std::str::from_utf8(value).ok();
        HeaderLine {
            name: name.to_owned(),
            value: text.map(str::to_owned),
            value_base64: text.is_none().then(|| STANDARD.encode(value)),
        }
    };
    event.headers.iter().map(line).collect()
}
