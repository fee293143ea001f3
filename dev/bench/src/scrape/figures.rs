//! The figures of scrapes and logs.

use serde::Serialize;

use crate::figures::Spread;

/// One node agent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scraped {
    pub(crate) name: String,
    /// While nobody asks.
    pub(crate) idle_millicores: f64,
    /// While all pages are asked for regularly.
    pub(crate) scraped_millicores: f64,
    pub(crate) pages: Vec<Page>,
    pub(crate) rss_idle_kib: u64,
    /// After that.
    pub(crate) rss_scraped_kib: u64,
    pub(crate) log: Log,
}

/// One page of figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Page {
    pub(crate) path: &'static str,
    /// From the request to the end of the answer.
    pub(crate) took: Option<Spread>,
    pub(crate) bytes: u64,
}

/// One container's log, read by one client.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Log {
    /// Its text.
    pub(crate) mib: u64,
    /// From the request to the end of the answer.
    pub(crate) read: Option<Spread>,
    /// Of the agent, while it is read.
    pub(crate) millicores: f64,
    pub(crate) rss_before_kib: u64,
    pub(crate) rss_peak_kib: u64,
}

impl Log {
    /// How fast it is given out, by the median of its readings.
    pub(crate) fn mib_per_second(&self) -> Option<f64> {
        #[allow(clippy::cast_precision_loss, reason = "mebibytes of a log")]
        self.read.map(|read| self.mib as f64 * 1000.0 / read.median_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_that_of_the_median() {
        let read = Some(Spread { median_ms: 4000.0, p99_ms: 8000.0, worst_ms: 8000.0 });
        let log = Log { mib: 1024, read, millicores: 0.0, rss_before_kib: 0, rss_peak_kib: 0 };
        assert_eq!(log.mib_per_second(), Some(256.0));
        assert_eq!(Log { read: None, ..log }.mib_per_second(), None);
    }
}
