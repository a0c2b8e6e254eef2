//! Looking at events: their states, filters and pages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kapsel_core::{DeliveryRef, DeliveryState, Endpoint, EventId, FinalReason, TenantId};
use test_harness::EventBuilder;

use super::world::{ALL, World, assert_not_found, with_key};
use crate::{ClaimedDelivery, EventFilter, NewEvent, StatusSet};

/// Events, and where they are expected to stand.
type Expected = BTreeMap<EventId, (DeliveryState, Option<FinalReason>)>;

/// Stores an event or two in each state that there is. Endpoints are new ones for each call; most of the events are
/// those of the one that is returned.
async fn one_of_each(world: &World) -> (Endpoint, Expected) {
    let (endpoint, disabled, deleted) = (world.endpoint().await, world.endpoint().await, world.endpoint().await);
    let mut expected = Expected::new();
    let mut expect = |delivery: DeliveryRef, state, reason| expected.insert(delivery.event_id, (state, reason));
    let next = async || {
        world.accept(&endpoint).await;
        world.claim_one(&endpoint).await
    };
    let later = world.now() + Duration::from_secs(3_600);

    expect(world.accept(&disabled).await, DeliveryState::Received, None);
    world.disable(&disabled).await;
    let claimed = next().await;
    expect(claimed.delivery, DeliveryState::Pending, None);
    world.settle(world.retry_at(&claimed, later)).await;
    expect(next().await.delivery, DeliveryState::Delivering, None);
    let claimed = next().await;
    expect(claimed.delivery, DeliveryState::Delivered, None);
    world.settle(world.delivered(&claimed)).await;
    for reason in [FinalReason::AttemptsExhausted, FinalReason::Refused] {
        let claimed = next().await;
        expect(claimed.delivery, DeliveryState::Failed, Some(reason));
        world.settle(world.failed(&claimed, reason)).await;
    }
    let discarded = (DeliveryState::Discarded, Some(FinalReason::EndpointDeleted));
    let swept = world.accept(&deleted).await;
    let waiting = world.accept(&deleted).await;
    world.delete(&deleted).await;
    // One of the two is swept, the other is not; which one makes no difference.
    assert!(world.store.delivery_discard_of_deleted(world.now(), 1).await.unwrap() <= 1);
    expect(swept, discarded.0, discarded.1);
    expect(waiting, discarded.0, discarded.1);
    expect(world.accept(&endpoint).await, DeliveryState::Received, None);
    (endpoint, expected)
}

/// Nothing vanishes and nothing is shown twice: the lists of the single states add up to the list of everything, and
/// say the same as the events themselves.
pub async fn every_event_is_in_exactly_one_state(world: World) {
    let (_, expected) = one_of_each(&world).await;
    let mut seen = BTreeMap::new();
    for state in DeliveryState::ALL {
        let filter = EventFilter { status: StatusSet::only(*state), ..EventFilter::default() };
        for event in world.list(filter).await {
            assert_eq!(event.status, *state);
            assert!(seen.insert(event.id, (event.status, event.reason)).is_none(), "{} is in two states", event.id);
        }
    }
    assert_eq!(seen, expected);
    for event in world.list(EventFilter::default()).await {
        let detail = world.store.event_get(TenantId::DEFAULT, event.id, world.now()).await.unwrap();
        assert_eq!(detail.summary, event);
        let delivery = &detail.deliveries[0];
        assert_eq!((delivery.state, delivery.reason), expected[&event.id]);
        assert_eq!(delivery.next_attempt_at, event.next_attempt_at);
    }
    assert_eq!(world.event_count().await, expected.len());
}

/// One query answers what has not arrived, whatever kept it.
pub async fn undelivered_lists_everything_undelivered(world: World) {
    let (_, expected) = one_of_each(&world).await;
    let filter = EventFilter { status: StatusSet::UNDELIVERED, ..EventFilter::default() };
    let listed: BTreeSet<_> = world.list(filter).await.iter().map(|event| event.id).collect();
    let undelivered = expected.iter().filter(|(_, (state, _))| *state != DeliveryState::Delivered);
    assert_eq!(listed, undelivered.map(|(id, _)| *id).collect());

    world.requeue(delivered_of(&world, &expected).await).await.unwrap();
    assert_eq!(world.list(filter).await.len(), expected.len());
}

async fn delivered_of(world: &World, events: &Expected) -> DeliveryRef {
    let (id, _) = events.iter().find(|(_, (state, _))| *state == DeliveryState::Delivered).unwrap();
    world.store.event_get(TenantId::DEFAULT, *id, world.now()).await.unwrap().deliveries[0].delivery
}

/// Under every filter and page size: what existed at the first page is shown exactly once, newest first, also when
/// new events come in between the pages.
pub async fn pages_are_total_and_stable(world: World) {
    let start = world.now();
    let mut endpoints = Vec::new();
    for _ in 0..3 {
        let (endpoint, _) = one_of_each(&world).await;
        world.accept_many(&endpoint, 3).await;
        endpoints.push(endpoint);
        world.pass_seconds(10);
    }
    let times = [(None, None), (Some(start + Duration::from_secs(5)), Some(start + Duration::from_secs(25)))];
    let states = DeliveryState::ALL.iter().map(|state| StatusSet::only(*state));
    let mut filters = Vec::new();
    for status in states.chain([StatusSet::ALL, StatusSet::UNDELIVERED]) {
        for endpoint_id in [None, Some(endpoints[1].id)] {
            for (since, until) in times {
                filters.push(EventFilter { status, endpoint_id, since, until, ..EventFilter::default() });
            }
        }
    }
    for filter in filters {
        for limit in [1, 2, 3, 7] {
            let expected: Vec<_> = world.list(filter).await.iter().map(|event| event.id).collect();
            assert!(expected.is_sorted_by(|newer, older| newer > older));
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let filter = EventFilter { before, ..filter };
                let page = world.store.event_list(TenantId::DEFAULT, filter, limit, world.now()).await.unwrap();
                assert!(page.len() <= limit);
                if page.is_empty() {
                    break;
                }
                before = page.last().map(|event| event.id);
                seen.extend(page.iter().map(|event| event.id));
                assert!(seen.len() <= expected.len(), "an event is shown twice or too many");
                if seen.len() == page.len() {
                    world.accept(&endpoints[1]).await;
                }
            }
            assert_eq!(seen, expected, "in pages of {limit} by {filter:?}");
        }
    }
}

/// What one way shows, the other way shows as well, from wherever one turns round.
pub async fn pages_go_both_ways(world: World) {
    let start = world.now();
    let (endpoint, _) = one_of_each(&world).await;
    one_of_each(&world).await;
    world.pass_seconds(10);
    world.accept_many(&endpoint, 3).await;
    let states = DeliveryState::ALL.iter().map(|state| StatusSet::only(*state));
    for status in states.chain([StatusSet::ALL, StatusSet::UNDELIVERED]) {
        for endpoint_id in [None, Some(endpoint.id)] {
            for (since, until) in [(None, None), (Some(start), Some(start + Duration::from_secs(5)))] {
                let filter = EventFilter { status, endpoint_id, since, until, ..EventFilter::default() };
                let mut expected: Vec<_> = world.list(filter).await.iter().map(|event| event.id).collect();
                expected.reverse();
                for limit in [1, 2, ALL] {
                    let (mut seen, mut after) = (Vec::new(), EventId::MIN);
                    loop {
                        let filter = EventFilter { after: Some(after), ..filter };
                        let page = world.store.event_list(TenantId::DEFAULT, filter, limit, world.now()).await.unwrap();
                        let Some(last) = page.last() else { break };
                        after = last.id;
                        seen.extend(page.iter().map(|event| event.id));
                        assert!(seen.len() <= expected.len(), "an event is shown twice or too many");
                    }
                    assert_eq!(seen, expected, "in pages of {limit} by {filter:?}");
                }
                for (place, turn) in expected.iter().enumerate() {
                    let newer = world.list(EventFilter { after: Some(*turn), ..filter }).await;
                    assert!(newer.iter().map(|event| event.id).eq(expected[place + 1..].iter().copied()));
                    let between = EventFilter { after: Some(*turn), before: expected.last().copied(), ..filter };
                    assert_eq!(world.list(between).await.len(), (expected.len() - place).saturating_sub(2));
                }
            }
        }
    }
}

/// An event reads back as it was stored, and only for its tenant.
pub async fn event_reads_back_as_it_came_in(world: World) {
    let endpoint = world.endpoint().await;
    for body in [vec![], b"small".to_vec(), vec![0xa5; 100_000]] {
        let event = EventBuilder::new(world.event_id(), &endpoint, world.now())
            .headers(&[("content-type", "text/plain"), ("x-source", "one"), ("x-source", "two")])
            .body(body)
            .build();
        let new = world.new_event_of(event.clone(), &[&endpoint]);
        world.insert(vec![new]).await;
        assert_eq!(world.store.event_read(TenantId::DEFAULT, event.id).await.unwrap(), event);
        assert_not_found(world.store.event_read(world.tenant_id(), event.id).await);
    }
    assert_not_found(world.store.event_read(TenantId::DEFAULT, world.event_id()).await);
}

/// Filters narrow down, each by itself and together; `since` is within, `until` is not.
pub async fn filters_by_time_endpoint_and_status(world: World) {
    let (one, two) = (world.endpoint().await, world.endpoint().await);
    let start = world.now();
    let at = |seconds| Some(start + Duration::from_secs(seconds));
    let mut accepted = Vec::new();
    for _ in 0..4 {
        for endpoint in [&one, &two] {
            accepted.push(world.accept(endpoint).await.event_id);
        }
        world.pass_seconds(10);
    }
    let claimed: ClaimedDelivery = world.claim(world.lease(), &[&one], 1).await.remove(0);
    world.settle(world.delivered(&claimed)).await;

    let all = EventFilter::default();
    let delivered = StatusSet::only(DeliveryState::Delivered);
    let cases: Vec<(EventFilter, &[usize])> = vec![
        (all, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (EventFilter { since: at(0), ..all }, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (EventFilter { since: at(10), ..all }, &[2, 3, 4, 5, 6, 7]),
        (EventFilter { since: at(11), ..all }, &[4, 5, 6, 7]),
        (EventFilter { until: at(10), ..all }, &[0, 1]),
        (EventFilter { until: at(11), ..all }, &[0, 1, 2, 3]),
        (EventFilter { until: at(0), ..all }, &[]),
        (EventFilter { since: at(10), until: at(30), ..all }, &[2, 3, 4, 5]),
        (EventFilter { since: at(30), until: at(10), ..all }, &[]),
        (EventFilter { since: at(10), until: at(10), ..all }, &[]),
        (EventFilter { since: at(40), ..all }, &[]),
        (EventFilter { endpoint_id: Some(two.id), ..all }, &[1, 3, 5, 7]),
        (EventFilter { endpoint_id: Some(two.id), since: at(20), ..all }, &[5, 7]),
        (EventFilter { endpoint_id: Some(world.new_endpoint().id), ..all }, &[]),
        (EventFilter { status: delivered, ..all }, &[0]),
        (EventFilter { status: delivered, endpoint_id: Some(two.id), ..all }, &[]),
        (EventFilter { status: delivered, since: at(10), ..all }, &[]),
        (EventFilter { status: StatusSet::UNDELIVERED, endpoint_id: Some(one.id), ..all }, &[2, 4, 6]),
        (EventFilter { before: Some(accepted[4]), ..all }, &[0, 1, 2, 3]),
        (EventFilter { before: Some(accepted[4]), since: at(10), endpoint_id: Some(one.id), ..all }, &[2]),
        (EventFilter { before: Some(EventId::MIN), ..all }, &[]),
        (EventFilter { before: Some(EventId::MAX), until: at(10), ..all }, &[0, 1]),
    ];
    for (filter, expected) in cases {
        let listed: Vec<_> = world.list(filter).await.iter().map(|event| event.id).collect();
        let expected: Vec<_> = expected.iter().rev().map(|index| accepted[*index]).collect();
        assert_eq!(listed, expected, "{filter:?}");
        for limit in [0, 1, 2] {
            let page = world.store.event_list(TenantId::DEFAULT, filter, limit, world.now()).await.unwrap();
            let page: Vec<_> = page.iter().map(|event| event.id).collect();
            assert_eq!(page, expected[..limit.min(expected.len())], "the newest {limit} of {filter:?}");
        }
    }
    assert_eq!(world.store.event_list(TenantId::DEFAULT, all, ALL, world.now()).await.unwrap().len(), 8);
}

/// A list shows what an operator looks for, without the body.
pub async fn summary_shows_what_came_in(world: World) {
    let endpoint = world.endpoint().await;
    let event = EventBuilder::new(world.event_id(), &endpoint, world.now())
        .headers(&[("content-type", "text/plain; charset=utf-8"), ("content-type", "ignored")])
        .body(vec![b'x'; 1_234])
        .build();
    let mut event = event;
    event.idempotency_key = Some("order-17".to_owned());
    event.received_at = world.now() + Duration::from_micros(7);
    let new = with_key(world.new_event_of(event.clone(), &[&endpoint]), "order-17");
    let bare = EventBuilder::new(world.event_id(), &endpoint, world.now()).headers(&[]).body("").build();
    let bare: NewEvent = world.new_event_of(bare, &[&endpoint]);
    world.insert(vec![new, bare]).await;

    let listed = world.list(EventFilter::default()).await;
    let expected = crate::EventSummary {
        id: event.id,
        endpoint_id: endpoint.id,
        received_at: event.received_at,
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        size_bytes: 1_234,
        idempotency_key: Some("order-17".to_owned()),
        status: DeliveryState::Received,
        reason: None,
        erased_at: None,
        delivered_at: None,
        attempts_total: 0,
        next_attempt_at: Some(world.now()),
    };
    assert_eq!(listed[1], expected);
    assert_eq!((listed[0].size_bytes, &listed[0].content_type, &listed[0].idempotency_key), (0, &None, &None));
}

/// With fan-out, an event is as open as the most open of its deliveries; each delivery shows its own state.
pub async fn event_with_several_deliveries_shows_the_most_open_one(world: World) {
    let source = world.endpoint().await;
    let (one, two, three) = (world.endpoint().await, world.endpoint().await, world.endpoint().await);
    let event = EventBuilder::new(world.event_id(), &source, world.now()).build();
    let id = event.id;
    let new = world.new_event_of(event, &[&one, &two, &three]);
    let ids: Vec<_> = new.deliveries.iter().map(|delivery| delivery.id).collect();
    world.insert(vec![new]).await;
    let look = async || {
        let detail = world.store.event_get(TenantId::DEFAULT, id, world.now()).await.unwrap();
        assert_eq!(detail.deliveries.iter().map(|detail| detail.delivery.id).collect::<Vec<_>>(), ids);
        assert_eq!(world.list_in(detail.summary.status).await, [id]);
        assert_eq!(world.list(EventFilter::default()).await, std::slice::from_ref(&detail.summary));
        (detail.summary, detail.deliveries.iter().map(|detail| detail.state).collect::<Vec<_>>())
    };
    use DeliveryState::{Delivered, Delivering, Discarded, Failed, Pending, Received};

    let (summary, states) = look().await;
    assert_eq!((summary.status, states), (Received, vec![Received, Received, Received]));
    assert_eq!(summary.endpoint_id, source.id);
    let claimed = world.claim_one(&two).await;
    assert_eq!((claimed.delivery.endpoint_id, claimed.event.endpoint_id), (two.id, source.id));
    let (summary, states) = look().await;
    assert_eq!((summary.status, states), (Delivering, vec![Received, Delivering, Received]));

    let due_at = world.now() + Duration::from_secs(5);
    world.settle(world.retry_at(&claimed, due_at)).await;
    let (summary, states) = look().await;
    assert_eq!((summary.status, states), (Pending, vec![Received, Pending, Received]));
    assert_eq!((summary.next_attempt_at, summary.attempts_total), (Some(due_at), 1));

    let of_one = world.claim_one(&one).await;
    let (summary, states) = look().await;
    assert_eq!((summary.status, states), (Delivering, vec![Delivering, Pending, Received]));
    assert_eq!(summary.next_attempt_at, None);
    world.settle(world.delivered(&of_one)).await;
    world.pass_seconds(5);
    let claimed = world.claim_one(&two).await;
    world.settle(world.failed(&claimed, FinalReason::Refused)).await;
    let (summary, states) = look().await;
    assert_eq!((summary.status, states), (Received, vec![Delivered, Failed, Received]));
    assert!(summary.delivered_at.is_some());

    world.delete(&three).await;
    let (summary, states) = look().await;
    assert_eq!((summary.status, states), (Failed, vec![Delivered, Failed, Discarded]));
    assert_eq!((summary.reason, summary.next_attempt_at), (Some(FinalReason::Refused), None));
    let detail = world.store.event_get(TenantId::DEFAULT, id, world.now()).await.unwrap();
    let attempts: Vec<_> = detail.attempts.iter().map(|attempt| (attempt.delivery.id, attempt.number)).collect();
    assert_eq!(attempts, [(ids[0], 1), (ids[1], 1), (ids[1], 2)]);

    // Queued anew as a whole or not at all.
    super::world::assert_conflict(world.store.event_requeue(TenantId::DEFAULT, id, world.now()).await);
    let (summary, states) = look().await;
    assert_eq!((summary.status, states), (Failed, vec![Delivered, Failed, Discarded]));
}
