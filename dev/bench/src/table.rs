//! The report as a table for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::figures::{Agent, Bare, Burst, Compared, Report, Spread, Workers};

/// A figure of one contender, as text; empty where there is none.
type Cell<'a> = &'a dyn Fn(&Agent) -> String;

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let mut text = String::new();
    let Report { pods, cores, load_before, load_after, .. } = report;
    let _ = writeln!(
        text,
        "{pods} pods on {cores} cores; load average {load_before} before, {load_after} after: what else the \
         machine did is in the figures"
    );
    if let Some(bare) = &report.bare {
        let _ = writeln!(text, "\nbare runtime      all started   median      all removed");
        for Workers { workers, start, stop } in &bare.bursts {
            let (total, median, removed) =
                (seconds(start.total_ms), median_seconds(start), seconds(stop.total_ms));
            let _ = writeln!(text, "  {workers:>3} workers  {total:>12}   {median:>8}   {removed:>12}");
        }
    }
    let _ = writeln!(text);
    let mut table = Table { report, text };
    table.head();
    table.rows();
    let mut text = table.text;
    for agent in &report.agents {
        for (what, calls) in [
            ("starting, per pod", &agent.calls_per_pod),
            ("stopping, per pod", &agent.stop_calls_per_pod),
            ("idling, per second", &agent.idle_calls_per_second),
        ] {
            if !calls.is_empty() {
                let _ = writeln!(text, "calls of {} {what}: {}", agent.name, listed(calls));
            }
        }
    }
    text
}

struct Table<'a> {
    report: &'a Report,
    text: String,
}

impl Table<'_> {
    fn head(&mut self) {
        let names: Vec<String> = self.report.agents.iter().map(|agent| agent.name.clone()).collect();
        self.line("", "bare", &names);
    }

    fn rows(&mut self) {
        let bare = self.report.bare.as_ref();
        let best = |of: fn(&Workers) -> &Burst| {
            let best = bare.and_then(|bare| bare.best(|workers| of(workers).total_ms));
            best.map_or(String::new(), |w| format!("{} ({} w)", seconds(of(w).total_ms), w.workers))
        };
        let single = |spread: Option<&Spread>| spread.map_or(String::new(), median);
        let of_bare = |of: fn(&Bare) -> &Option<Spread>| {
            bare.and_then(|bare| of(bare).as_ref()).map_or(String::new(), median)
        };
        let median_of_best = bare
            .and_then(|bare| bare.best(|workers| workers.start.total_ms))
            .map_or(String::new(), |workers| median_seconds(&workers.start));

        self.row("all pods started", &best(|w| &w.start), &|a| seconds(a.start.total_ms));
        self.row("  one of them, median", &median_of_best, &|a| median_seconds(&a.start));
        self.row("  one of them, p99", "", &|a| {
            a.start.each.map_or(String::new(), |each| seconds(each.p99_ms))
        });
        self.row("  all shown ready", "", &|a| {
            a.shown_ready.as_ref().map_or(String::new(), |burst| seconds(burst.total_ms))
        });
        self.row("  one shown ready, median", "", &|a| {
            a.shown_ready.as_ref().map_or(String::new(), median_seconds)
        });
        self.row("all pods stopped", "", &|a| seconds(a.stop.total_ms));
        self.row("all pods gone", &best(|w| &w.stop), &|a| a.gone_ms.map_or("later".to_owned(), seconds));
        self.row("single pod started", &of_bare(|b| &b.single_start), &|a| single(a.single_start.as_ref()));
        self.row("  shown ready", "", &|a| single(a.shown_single_ready.as_ref()));
        self.row("single pod stopped", &of_bare(|b| &b.single_stop), &|a| single(a.single_stop.as_ref()));
        self.row("single pod gone", &of_bare(|b| &b.single_gone), &|a| {
            a.single_gone.as_ref().map_or("later".to_owned(), median)
        });
        self.row("exit to restart", "", &|a| single(a.exit_to_restart.as_ref()));
        self.row("exit shown", "", &|a| single(a.shown_exit.as_ref()));
        self.row("RSS before the first pod", "", &|a| mebibytes(a.rss_fresh_kib));
        self.row("RSS after the first pod", "", &|a| mebibytes(a.rss_empty_kib));
        self.row("RSS with all pods", "", &|a| mebibytes(a.rss_full_kib));
        self.row("RSS, highest", "", &|a| mebibytes(a.rss_peak_kib));
        self.row("threads", "", &|a| a.threads.to_string());
        self.row("CPU to start all pods", "", &|a| seconds(a.start_cpu_ms));
        self.row("CPU to stop all pods", "", &|a| seconds(a.stop_cpu_ms));
        self.row("CPU idling with all pods", "", &|a| millicores(a.idle_millicores));
    }

    fn row(&mut self, what: &str, bare: &str, cell: Cell<'_>) {
        let cells: Vec<String> = self.report.agents.iter().map(cell).collect();
        self.line(what, bare, &cells);
    }

    fn line(&mut self, what: &str, bare: &str, cells: &[String]) {
        let _ = write!(self.text, "{what:<26}{bare:>16}");
        for cell in cells {
            let _ = write!(self.text, "{cell:>16}");
        }
        self.text.push('\n');
    }
}

/// The lines above the table of a comparison: of what, and what else was going on.
pub(crate) fn head<T>(what: &str, report: &Compared<T>) -> String {
    let Compared { pods, cores, load_before, load_after, .. } = report;
    format!(
        "{pods} {what}, on {cores} cores; load average {load_before} before, {load_after} after: what else the machine \
         did is in the figures\n\n"
    )
}

pub(crate) fn seconds(ms: f64) -> String {
    format!("{:.2} s", ms / 1000.0)
}

pub(crate) fn median(spread: &Spread) -> String {
    format!("{:.0} ms", spread.median_ms)
}

pub(crate) fn p99(spread: &Spread) -> String {
    format!("{:.0} ms", spread.p99_ms)
}

pub(crate) fn millicores(cpu: f64) -> String {
    format!("{cpu:.1} mcores")
}

pub(crate) fn median_seconds(burst: &Burst) -> String {
    burst.each.map_or(String::new(), |each| seconds(each.median_ms))
}

#[allow(clippy::cast_precision_loss, reason = "kibibytes of memory")]
pub(crate) fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

pub(crate) fn listed(calls: &BTreeMap<String, f64>) -> String {
    calls.iter().map(|(name, count)| format!("{name} {count:.2}")).collect::<Vec<_>>().join(", ")
}
