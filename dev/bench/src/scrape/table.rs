//! The report as a table for people.

use super::figures::{Copied, Scraped, Through, speed};
use crate::columns::Columns;
use crate::figures::{Compared, Spread};
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
    table.row("log, given out", |a| per_second(a.log.mib, a.log.read));
    table.row("  CPU meanwhile", |a| millicores(a.log.millicores));
    table.row("  RSS before", |a| mebibytes(a.log.rss_before_kib));
    table.row("  RSS, highest", |a| mebibytes(a.log.rss_peak_kib));
    copied(&mut table, "out of a container", |a| &a.out);
    copied(&mut table, "into a container", |a| &a.into);
    table.into_text()
}

/// What came of one way through the agent.
type Way = fn(&Copied) -> Option<&Through>;

/// The rows of one direction.
fn copied(table: &mut Columns<'_, Scraped>, what: &str, of: impl Fn(&Scraped) -> &Copied) {
    table.row(&format!("{what}, directly"), |a| per_second(of(a).mib, of(a).direct));
    let ways: [(&str, Way); 2] = [("v4", |c| Some(&c.known)), ("v5", |c| c.newest.as_ref())];
    for (protocol, through) in ways {
        let mut row = |what: &str, cell: &dyn Fn(&Copied, &Through) -> String| {
            table.row(what, |a| through(of(a)).map_or(String::new(), |through| cell(of(a), through)));
        };
        row(&format!("  through the agent, {protocol}"), &|c, t| per_second(c.mib, t.took));
        row("    of the direct speed", &|c, t| share(c.mib, t.took, c.direct));
        row("    CPU meanwhile", &|_, t| millicores(t.millicores));
        row("    RSS, highest", &|_, t| mebibytes(t.rss_peak_kib));
    }
    table.row("  RSS before", |a| mebibytes(of(a).rss_before_kib));
}

fn per_second(mib: u64, took: Option<Spread>) -> String {
    speed(mib, took).map_or(String::new(), |speed| format!("{speed:.0} MiB/s"))
}

fn share(mib: u64, took: Option<Spread>, direct: Option<Spread>) -> String {
    let share = speed(mib, took).zip(speed(mib, direct)).map(|(speed, direct)| 100.0 * speed / direct);
    share.map_or(String::new(), |share| format!("{share:.0} %"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::figures::{Log, Page};

    #[test]
    fn the_cost_is_what_is_above_idling() {
        let spread = |ms| Some(Spread { median_ms: ms, p99_ms: ms, worst_ms: ms });
        let through = |ms| Through { took: spread(ms), millicores: 400.0, rss_peak_kib: 4096 };
        let out = Copied {
            mib: 64,
            direct: spread(100.0),
            rss_before_kib: 0,
            known: through(125.0),
            newest: Some(through(200.0)),
        };
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
            out,
            into: Copied { direct: None, newest: None, ..out },
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
            "out of a container, directly 640 MiB/s",
            "through the agent, v4 512 MiB/s",
            "of the direct speed 80 %",
            "of the direct speed 50 %",
            "RSS, highest 4.0 MiB",
            "into a container, directly",
            "of the direct speed",
        ] {
            assert!(lines.iter().any(|seen| seen == line), "{line}: {text}");
        }
    }
}
