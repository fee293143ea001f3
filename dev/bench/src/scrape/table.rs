//! The report as a table for people.

use super::figures::Scraped;
use crate::columns::Columns;
use crate::figures::Compared;
use crate::table::{head, mebibytes, median, millicores};

/// The whole report.
pub(crate) fn render(report: &Compared<Scraped>) -> String {
    let mut table = Columns::below(head("pods, asked for figures every 15 s", report), &report.agents);
    table.row("", |a| a.name.clone());
    table.row("CPU, idling", |a| millicores(a.idle_millicores));
    table.row("CPU, asked", |a| millicores(a.scraped_millicores));
    table.row("  above idling", |a| millicores(a.scraped_millicores - a.idle_millicores));
    table.row("RSS, idling", |a| mebibytes(a.rss_idle_kib));
    table.row("RSS, asked", |a| mebibytes(a.rss_scraped_kib));
    for (number, path) in super::PAGES.into_iter().enumerate() {
        table.row(path, |a| {
            a.pages.get(number).and_then(|page| page.took.as_ref()).map_or(String::new(), median)
        });
        table.row("  size", |a| {
            a.pages.get(number).map_or(String::new(), |page| format!("{} KiB", page.bytes >> 10))
        });
    }
    table.row("log, given out", |a| {
        a.log.mib_per_second().map_or(String::new(), |speed| format!("{speed:.0} MiB/s"))
    });
    table.row("  CPU meanwhile", |a| millicores(a.log.millicores));
    table.row("  RSS before", |a| mebibytes(a.log.rss_before_kib));
    table.row("  RSS, highest", |a| mebibytes(a.log.rss_peak_kib));
    table.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Spread;
    use crate::scrape::figures::{Log, Page};

    #[test]
    fn the_cost_is_what_is_above_idling() {
        let spread = |ms| Some(Spread { median_ms: ms, p99_ms: ms, worst_ms: ms });
        let one = Scraped {
            name: "berth".to_owned(),
            idle_millicores: 1.5,
            scraped_millicores: 4.0,
            pages: vec![Page { path: super::super::PAGES[0], took: spread(7.0), bytes: 4096 }],
            rss_idle_kib: 1024,
            rss_scraped_kib: 2048,
            log: Log {
                mib: 64,
                read: spread(250.0),
                millicores: 900.0,
                rss_before_kib: 0,
                rss_peak_kib: 3072,
            },
        };
        let load = "0.1".to_owned();
        let report =
            Compared { pods: 100, cores: 2, load_before: load.clone(), load_after: load, agents: vec![one] };
        let text = render(&report);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<_> = text.lines().map(words).collect();
        for line in [
            "above idling 2.5 mcores",
            "/stats/summary 7 ms",
            "size 4 KiB",
            "/metrics/cadvisor",
            "log, given out 256 MiB/s",
            "RSS, highest 3.0 MiB",
        ] {
            assert!(lines.iter().any(|seen| seen == line), "{line}: {text}");
        }
    }
}
