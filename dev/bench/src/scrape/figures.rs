//! The figures of scrapes, logs and copies.

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
    pub(crate) out: Copied,
    pub(crate) into: Copied,
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

/// Bytes that a command in a container wrote, or read.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Copied {
    pub(crate) mib: u64,
    /// From the runtime directly, from the request to the command's end.
    pub(crate) direct: Option<Spread>,
    /// Of the agent.
    pub(crate) rss_before_kib: u64,
    /// Through the agent, with the protocol that the runtime knows too.
    pub(crate) known: Through,
    /// Through the agent, with the protocol that it has to translate; `None` if that failed.
    pub(crate) newest: Option<Through>,
}

/// What the same took through the agent, and took of the agent.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Through {
    pub(crate) took: Option<Spread>,
    pub(crate) millicores: f64,
    pub(crate) rss_peak_kib: u64,
}

/// How fast so much was moved, by the median, in MiB a second.
pub(crate) fn speed(mib: u64, took: Option<Spread>) -> Option<f64> {
    #[allow(clippy::cast_precision_loss, reason = "mebibytes of a log or a stream")]
    took.map(|took| mib as f64 * 1000.0 / took.median_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_that_of_the_median() {
        let took = Some(Spread { median_ms: 4000.0, p99_ms: 8000.0, worst_ms: 8000.0 });
        assert_eq!(speed(1024, took), Some(256.0));
        assert_eq!(speed(1024, None), None);
    }
}
