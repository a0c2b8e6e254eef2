//! The contract suite: what every engine must do, as one named test per case.
//!
//! An engine's tests call [`contract_suite!`](crate::contract_suite) once with a function that makes a fresh store:
//!
//! ```text
//! async fn fresh() -> Fixture {
//!     let folder = tempfile::tempdir().unwrap();
//!     Fixture::keeping(Arc::new(MyStore::open(folder.path()).await.unwrap()), folder)
//! }
//!
//! kapsel_store::contract_suite!(fresh);
//! ```
//!
//! Cases are grouped by theme, one file each. [`differential`] compares engines with each other on random operations;
//! [`load`] is for measuring them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a failed expectation fails the test"
)]

use std::any::Any;
use std::sync::Arc;

use crate::Store;

pub mod admin;
pub mod api_keys;
pub mod attestation;
pub mod circuits;
pub mod claim;
pub mod differential;
pub mod erasure;
pub mod ingest;
pub mod lanes;
pub mod load;
pub mod pages;
pub mod replay;
pub mod replay_steps;
pub mod replies;
pub mod retention;
pub mod sealing;
pub mod settle;
pub mod statistics;
pub mod tenant_admin;
pub mod tenants;
mod world;

pub use world::World;

/// A fresh, empty store.
pub struct Fixture {
    store: Arc<dyn Store>,
    /// Dropped after the store.
    keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A store that needs nothing but itself.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Fixture::keeping(store, ())
    }

    /// A store and what must live as long as it does, such as the guard of its temporary folder.
    pub fn keeping(store: Arc<dyn Store>, keep: impl Any + Send + Sync) -> Self {
        Fixture { store, keep: Box::new(keep) }
    }
}

/// Expands to one `#[tokio::test]` per case. The argument names an `async fn() -> Fixture` that makes a fresh, empty
/// store. The calling crate needs tokio with the features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! contract_suite {
    ($factory:expr) => {
        $crate::contract_suite! { @cases $factory,
            ingest::{
                same_key_twice_is_one_event,
                duplicate_within_a_batch_is_one_event,
                concurrent_same_key_is_one_event,
                explicit_key_with_other_body_conflicts,
                provider_id_with_other_body_replays,
                key_is_forgotten_after_its_window,
                keys_are_scoped_to_the_endpoint,
                idempotency_prune_forgets_only_expired_keys,
                repeated_batch_changes_nothing,
                repeated_batch_after_delivery_does_not_requeue,
                repeated_event_is_created_though_its_key_moved_on,
                body_and_headers_are_byte_exact,
                event_stored_under_a_lease_is_due_at_its_end,
                event_that_ended_before_it_began_is_not_queued,
            }
            claim::{
                claim_is_exclusive,
                expired_lease_is_reclaimed,
                running_lease_is_not_claimed,
                claim_respects_quota_and_byte_budget,
                claim_takes_longest_due_first,
                claim_goes_lane_by_lane,
                blocked_endpoint_delays_nobody,
                release_makes_due_again,
                release_under_a_stale_lease_is_passed_over,
                release_claim_gives_back_what_a_lost_answer_took,
                lease_release_all_frees_only_the_owner,
                lease_release_all_without_an_owner_frees_everything,
            }
            settle::{
                stale_token_writes_nothing,
                settle_twice_is_stale,
                concurrent_settlements_are_written_once,
                late_settlement_counts_until_somebody_else_claims,
                settlements_of_a_batch_are_told_apart,
                retry_is_due_at_its_time,
                failed_delivery_has_its_reason,
                delivered_at_is_the_end_of_the_first_success,
                gone_disables_the_endpoint_and_parks_its_queue,
                gone_leaves_a_disabled_or_deleted_endpoint_as_it_is,
                attempt_round_trips_every_outcome,
            }
            circuits::{
                circuit_round_trips,
                circuit_is_put_only_over_the_version_before,
                concurrent_puts_of_one_version_let_one_through,
                circuit_changes_go_by_the_time_of_writing,
                circuits_are_listed_for_their_tenant_alone,
                circuit_reset_closes_whatever_the_version,
                blocked_lane_is_due_when_the_block_ends,
                prober_sees_the_lane_that_it_has_the_right_to_probe,
                rights_of_the_dead_end_with_their_leases,
                claim_takes_nothing_when_the_circuit_has_changed,
                endpoint_takes_its_circuit_along_when_it_is_deleted,
            }
            lanes::{
                lane_scan_finds_due_lanes_of_enabled_endpoints,
                lane_scan_reports_next_due_time,
                lanes_page_by_endpoint_id,
                deleted_endpoint_discards_its_queue,
                settlement_after_the_endpoint_was_deleted,
                discard_of_deleted_goes_in_steps,
                queue_look_counts_up_to_its_bound,
            }
            admin::{
                store_gives_a_sign_of_life,
                endpoint_round_trips,
                endpoint_id_is_taken_once,
                endpoint_update_needs_its_version,
                concurrent_updates_from_one_version_let_one_through,
                endpoint_list_pages_by_id,
                endpoint_changes_are_ordered_and_complete,
                requeue_starts_attempts_anew_and_keeps_history,
                requeue_brings_back_what_was_delivered,
                requeue_makes_a_waiting_delivery_due_now,
                requeue_refuses_while_delivering,
                requeue_refuses_without_an_enabled_endpoint,
                queue_usage_is_that_of_the_tenant,
            }
            pages::{
                every_event_is_in_exactly_one_state,
                undelivered_lists_everything_undelivered,
                pages_are_total_and_stable,
                pages_go_both_ways,
                event_reads_back_as_it_came_in,
                filters_by_time_endpoint_and_status,
                summary_shows_what_came_in,
                event_with_several_deliveries_shows_the_most_open_one,
            }
            replay::{
                replay_round_trips,
                replay_list_pages_newest_first,
                replay_state_changes_need_their_version,
                replay_due_finds_running_jobs_in_turn,
                replay_scan_finds_what_lists_show_oldest_first,
                replay_scan_is_short_and_goes_on,
                replay_scan_leaves_out_what_is_under_way,
                replay_count_says_when_it_stopped_early,
            }
            replay_steps::{
                replay_step_queues_anew_and_keeps_history,
                replay_step_brings_back_whatever_ended,
                replay_step_from_another_version_does_nothing,
                concurrent_replay_steps_are_made_once,
                replay_step_passes_over_what_cannot_be_queued,
                replay_step_passes_over_what_left_its_states,
                replay_step_queues_an_event_as_a_whole_or_not_at_all,
                last_replay_step_completes_the_job,
                replay_takes_each_event_once,
                replays_of_tenants_never_meet,
            }
            retention::{
                events_go_before_what_happened_to_them,
                what_is_undelivered_is_never_removed,
                retention_goes_in_steps,
                leaves_outlive_their_attempts,
                retention_of_tenants_never_meets,
            }
            erasure::{
                erasure_takes_what_was_held_and_leaves_what_happened,
                erased_events_are_never_delivered,
                erasure_waits_for_an_attempt_under_way,
                erasing_twice_is_fine,
                erasure_needs_something_of_its_event,
                erasures_are_kept_and_listed,
                erasure_steps_are_made_once,
                erasure_of_a_tenant_goes_in_steps,
                erasure_of_a_tenant_finds_what_comes_late,
            }
            attestation::{
                leaf_exists_iff_settled,
                log_is_made_once,
                log_lease_is_exclusive,
                leaves_wait_in_order,
                integration_moves_leaves_into_the_tree,
                integration_from_another_size_or_epoch_does_nothing,
                integration_of_a_leaf_that_does_not_wait_does_nothing,
                concurrent_integrations_let_one_through,
                tiles_round_trip,
                heads_only_grow,
                log_keys_round_trip,
                leaf_opens_with_what_stands_beside_its_attempt,
                leaves_of_tenants_never_meet,
                attempt_traces_are_total,
            }
            replies::{
                reply_is_kept_for_its_key,
                reply_claim_can_be_given_back_and_lapses,
                concurrent_reply_claims_let_one_through,
            }
            statistics::{
                statistics_add_up_by_hour,
                concurrent_statistics_all_count,
                old_statistics_go,
            }
            tenant_admin::{
                tenant_round_trips,
                tenant_id_is_taken_once,
                tenant_update_needs_its_version,
                tenant_list_pages_by_id,
                tenant_changes_are_ordered_and_complete,
                suspended_tenant_is_not_delivered_to,
                deleted_tenant_takes_endpoints_and_keys_along,
            }
            api_keys::{
                api_key_round_trips,
                api_key_prefix_is_taken_once,
                api_key_needs_its_tenant,
                api_key_list_pages_by_id,
                revoked_api_key_stays_revoked,
                last_use_of_an_api_key_only_grows,
                api_keys_of_tenants_never_meet,
            }
            tenants::{
                tenants_never_meet,
            }
        }
    };
    (@cases $factory:expr, $($theme:ident::{ $($case:ident,)* })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fixture: $crate::contract::Fixture = $factory().await;
                $crate::contract::$theme::$case($crate::contract::World::new(fixture)).await;
            }
        )*)*
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    fn fresh() -> std::future::Ready<Fixture> {
        std::future::ready(Fixture::new(Arc::new(MemoryStore::new())))
    }

    crate::contract_suite!(fresh);

    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        let listed = include_str!("mod.rs");
        let themes = [
            include_str!("admin.rs"),
            include_str!("api_keys.rs"),
            include_str!("attestation.rs"),
            include_str!("circuits.rs"),
            include_str!("claim.rs"),
            include_str!("erasure.rs"),
            include_str!("ingest.rs"),
            include_str!("lanes.rs"),
            include_str!("pages.rs"),
            include_str!("replay.rs"),
            include_str!("replay_steps.rs"),
            include_str!("replies.rs"),
            include_str!("retention.rs"),
            include_str!("settle.rs"),
            include_str!("statistics.rs"),
            include_str!("tenant_admin.rs"),
            include_str!("tenants.rs"),
        ];
        let cases = themes.iter().flat_map(|theme| theme.lines()).filter_map(|line| line.strip_prefix("pub async fn "));
        for case in cases.filter_map(|rest| rest.split('(').next()) {
            assert!(listed.contains(&format!("                {case},\n")), "{case} is not in contract_suite!");
        }
    }
}
