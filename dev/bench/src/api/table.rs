//! The report as a table for people.

use std::fmt::Write;

use super::figures::{Member, Process, Report};
use crate::calls::Calls;
use crate::figures::{Burst, Spread};
use crate::table::{listed, mebibytes, median, median_seconds, seconds};

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let Report { pods, cores, load_before, load_after, .. } = report;
    let mut text = format!(
        "{pods} pods through an API server on {cores} cores; load average {load_before} before, {load_after} after: \
         what else the machine did is in the figures\n\n"
    );
    let mut table = Table { report, text: &mut text };
    table.rows();
    for member in &report.members {
        for (what, requests) in [
            ("starting, per pod", &member.ready_requests_per_pod),
            ("deleting, per pod", &member.gone_requests_per_pod),
            ("idling, per minute", &member.idle_requests_per_minute),
        ] {
            let Member { agent, server, .. } = member;
            let _ = writeln!(text, "requests of {agent} to {server} {what}: {}", listed(requests));
        }
    }
    text
}

struct Table<'a> {
    report: &'a Report,
    text: &'a mut String,
}

impl Table<'_> {
    fn rows(&mut self) {
        let single = |spread: Option<&Spread>| spread.map_or(String::new(), median);
        let p99 = |burst: &Burst| burst.each.map_or(String::new(), |each| seconds(each.p99_ms));
        let millicores = |cpu: f64| format!("{cpu:.1} mcores");
        self.row("", |m| m.agent.clone());
        self.row("  on", |m| m.server.to_owned());
        self.row("single pod ready", |m| single(m.single_ready.as_ref()));
        self.row("single pod gone", |m| single(m.single_gone.as_ref()));
        self.row("exit seen", |m| single(m.exit_seen.as_ref()));
        self.row("ConfigMap changed to file", |m| single(m.change_in_file.as_ref()));
        self.row("all pods created", |m| seconds(m.created_ms));
        self.row("all pods ready", |m| seconds(m.ready.total_ms));
        self.row("  one of them, median", |m| median_seconds(&m.ready));
        self.row("  one of them, p99", |m| p99(&m.ready));
        self.row("all pods gone", |m| seconds(m.gone.total_ms));
        self.row("  one of them, median", |m| median_seconds(&m.gone));
        self.row("  one of them, p99", |m| p99(&m.gone));
        self.row("requests a minute, idling", |m| format!("{:.1}", sum(&m.idle_requests_per_minute)));
        self.row("requests per pod, starting", |m| format!("{:.1}", sum(&m.ready_requests_per_pod)));
        self.row("requests per pod, deleting", |m| format!("{:.1}", sum(&m.gone_requests_per_pod)));
        self.row("RSS without pods", |m| mebibytes(m.rss_empty_kib));
        self.row("RSS with all pods", |m| mebibytes(m.rss_full_kib));
        self.row("RSS, highest", |m| mebibytes(m.rss_peak_kib));
        self.row("threads", |m| m.threads.to_string());
        self.row("CPU until all are ready", |m| seconds(m.cpu.ready_ms));
        self.row("CPU until all are gone", |m| seconds(m.cpu.gone_ms));
        self.row("CPU idling with all pods", |m| millicores(m.cpu.idle_millicores));
        for (number, who) in ["API server", "etcd"].into_iter().enumerate() {
            if self.report.members.iter().all(|member| member.servers.len() <= number) {
                continue;
            }
            let process =
                |m: &Member, of: &dyn Fn(&Process) -> String| m.servers.get(number).map_or(String::new(), of);
            self.row(&format!("{who}: RSS"), |m| process(m, &|p| mebibytes(p.rss_kib)));
            self.row("  CPU until all are ready", |m| process(m, &|p| seconds(p.cpu.ready_ms)));
            self.row("  CPU until all are gone", |m| process(m, &|p| seconds(p.cpu.gone_ms)));
            self.row("  CPU idling with all pods", |m| process(m, &|p| millicores(p.cpu.idle_millicores)));
        }
    }

    fn row(&mut self, what: &str, cell: impl Fn(&Member) -> String) {
        let _ = write!(self.text, "{what:<28}");
        for member in &self.report.members {
            let _ = write!(self.text, "{:>16}", cell(member));
        }
        self.text.push('\n');
    }
}

fn sum(calls: &Calls) -> f64 {
    calls.values().sum()
}
