//! The report as a table for people.

use std::fmt::Write;

use super::figures::{Member, Process, Report};
use crate::calls::Calls;
use crate::columns::Columns;
use crate::figures::{Burst, Spread};
use crate::table::{listed, mebibytes, median, median_seconds, millicores, seconds};

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let Report { pods, cores, load_before, load_after, .. } = report;
    let head = format!(
        "{pods} pods through an API server on {cores} cores; load average {load_before} before, {load_after} after: \
         what else the machine did is in the figures\n\n"
    );
    let mut table = Columns::below(head, &report.members);
    rows(&mut table);
    for (number, who) in ["API server", "etcd"].into_iter().enumerate() {
        if report.members.iter().any(|member| member.servers.len() > number) {
            server_rows(&mut table, number, who);
        }
    }
    let mut text = table.into_text();
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

fn rows(table: &mut Columns<'_, Member>) {
    let single = |spread: Option<&Spread>| spread.map_or(String::new(), median);
    let p99 = |burst: &Burst| burst.each.map_or(String::new(), |each| seconds(each.p99_ms));
    table.row("", |m| m.agent.clone());
    table.row("  on", |m| m.server.to_owned());
    table.row("single pod ready", |m| single(m.single_ready.as_ref()));
    table.row("single pod gone", |m| single(m.single_gone.as_ref()));
    table.row("exit seen", |m| single(m.exit_seen.as_ref()));
    for (what, spread) in [
        ("probe failed to unready", (|m| m.unready_seen.as_ref()) as fn(&Member) -> Option<&Spread>),
        ("probe succeeded to ready", |m| m.ready_seen.as_ref()),
    ] {
        table.row(what, |m| single(spread(m)));
        table.row("  p99", |m| spread(m).map_or(String::new(), crate::table::p99));
    }
    table.row("ConfigMap changed to file", |m| single(m.change_in_file.as_ref()));
    table.row("all pods created", |m| seconds(m.created_ms));
    table.row("all pods ready", |m| seconds(m.ready.total_ms));
    table.row("  one of them, median", |m| median_seconds(&m.ready));
    table.row("  one of them, p99", |m| p99(&m.ready));
    table.row("all pods gone", |m| seconds(m.gone.total_ms));
    table.row("  one of them, median", |m| median_seconds(&m.gone));
    table.row("  one of them, p99", |m| p99(&m.gone));
    table.row("requests a minute, idling", |m| format!("{:.1}", sum(&m.idle_requests_per_minute)));
    table.row("requests per pod, starting", |m| format!("{:.1}", sum(&m.ready_requests_per_pod)));
    table.row("requests per pod, deleting", |m| format!("{:.1}", sum(&m.gone_requests_per_pod)));
    table.row("RSS before the first pod", |m| mebibytes(m.rss_fresh_kib));
    table.row("RSS after the first pod", |m| mebibytes(m.rss_empty_kib));
    table.row("RSS with all pods", |m| mebibytes(m.rss_full_kib));
    table.row("RSS, highest", |m| mebibytes(m.rss_peak_kib));
    table.row("threads", |m| m.threads.to_string());
    table.row("CPU until all are ready", |m| seconds(m.cpu.ready_ms));
    table.row("CPU until all are gone", |m| seconds(m.cpu.gone_ms));
    table.row("CPU idling with all pods", |m| millicores(m.cpu.idle_millicores));
}

/// The rows of the server's process of that number.
fn server_rows(table: &mut Columns<'_, Member>, number: usize, who: &str) {
    let process =
        |m: &Member, of: &dyn Fn(&Process) -> String| m.servers.get(number).map_or(String::new(), of);
    table.row(&format!("{who}: RSS"), |m| process(m, &|p| mebibytes(p.rss_kib)));
    table.row("  CPU until all are ready", |m| process(m, &|p| seconds(p.cpu.ready_ms)));
    table.row("  CPU until all are gone", |m| process(m, &|p| seconds(p.cpu.gone_ms)));
    table.row("  CPU idling with all pods", |m| process(m, &|p| millicores(p.cpu.idle_millicores)));
}

fn sum(calls: &Calls) -> f64 {
    calls.values().sum()
}
