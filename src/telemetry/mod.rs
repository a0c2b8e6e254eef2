//! What the program tells about itself beside its log: metrics and traces.
//!
//! Other crates record by a facade (`metrics`) and a port ([`kapsel_core::Tracer`]) and know nothing of what stands here.

mod collect;
mod labels;
mod metered;
mod otlp;
mod process;
mod queue_watch;
mod recorder;
mod statistics;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

pub(crate) use self::collect::{Collector, Origins};
pub(crate) use self::metered::MeteredStore;
pub(crate) use self::otlp::Tracing;
pub(crate) use self::queue_watch::QueueWatch;
pub(crate) use self::recorder::install;
pub(crate) use self::statistics::StatisticsSaver;

/// How often the buffers of histograms are emptied. Under load they take some megabytes in this time.
const TIDY_PERIOD: Duration = Duration::from_secs(5);

/// What metrics need to have done in the background, until `stopped` is ready.
pub(crate) fn start_upkeep(
    collector: &Arc<Collector>,
    queue: Arc<QueueWatch>,
    statistics: Arc<StatisticsSaver>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let collector = Arc::clone(collector);
    tokio::spawn(async move {
        let tidy = async {
            loop {
                tokio::time::sleep(TIDY_PERIOD).await;
                collector.tidy();
            }
        };
        let work = async { tokio::join!(tidy, queue.run(), statistics.run()) };
        tokio::select! {
            biased;
            () = stopped => {}
            _ = work => {}
        }
    })
}
