//! What processes have used up, read at the borders of phases.

use super::measured::{CpuSeconds, Written};
use crate::destination::Destination;
use crate::error::Error;
use crate::load::Load;
use crate::postgres::Database;
use crate::proc::{cpu, writes};

/// Counters at one moment. They only grow; a phase is the difference of two.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    cpu: CpuSeconds,
    written: Written,
}

impl Usage {
    /// Reads all of them.
    pub(super) async fn read(
        pid: Option<u32>,
        database: Option<&Database>,
        load: Option<&Load>,
        destination: &Destination,
    ) -> Result<Self, Error> {
        let server = database.map(Database::server);
        // The processors first: the rest takes a moment.
        let cpu = CpuSeconds {
            kapsel: pid.and_then(cpu::of_process),
            load: load.map(Load::cpu_seconds).unwrap_or_default(),
            destination: destination.cpu_seconds(),
            postgres: server.and_then(|server| server.cpu_seconds()),
        };
        let wal_bytes = match database {
            Some(database) => Some(database.wal_bytes().await?),
            None => None,
        };
        let kapsel_bytes = pid.and_then(writes::of_process);
        let postgres_bytes = server.and_then(|server| server.written_bytes());
        Ok(Usage { cpu, written: Written { kapsel_bytes, postgres_bytes, wal_bytes } })
    }

    /// Processor time since an earlier moment.
    pub(super) fn cpu_since(&self, earlier: &Usage) -> CpuSeconds {
        let since = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        CpuSeconds {
            kapsel: since(self.cpu.kapsel, earlier.cpu.kapsel),
            postgres: since(self.cpu.postgres, earlier.cpu.postgres),
            load: self.cpu.load - earlier.cpu.load,
            destination: self.cpu.destination - earlier.cpu.destination,
        }
    }

    /// The time of the thread that sends, put in when it is known in full.
    pub(super) fn with_load_seconds(mut self, seconds: f64) -> Self {
        self.cpu.load = seconds;
        self
    }

    /// Bytes written since an earlier moment.
    pub(super) fn written_since(&self, earlier: &Usage) -> Written {
        let since = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        let (now, then) = (&self.written, &earlier.written);
        Written {
            kapsel_bytes: since(now.kapsel_bytes, then.kapsel_bytes),
            postgres_bytes: since(now.postgres_bytes, then.postgres_bytes),
            wal_bytes: since(now.wal_bytes, then.wal_bytes),
        }
    }
}
