//! The report as a table for people.

use super::figures::{Probing, Round, Tail, Window};
use crate::columns::Columns;
use crate::figures::Compared;
use crate::table::{head, median, millicores, p99};

/// The whole report.
pub(crate) fn render(report: &Compared<Probing>) -> String {
    let mut table = Columns::below(head("probed pods", report), &report.agents);
    table.row("", |a| a.name.clone());
    let rounds = [
        ("two HTTP probes a pod, each second", (|a| a.http) as fn(&Probing) -> Round),
        ("one command a pod, every 10 s", |a| a.command),
    ];
    for (what, round) in rounds {
        table.heading(what);
        window(&mut table, |a| round(a).quiet);
        table.heading(&format!("{what}, every core busy"));
        window(&mut table, |a| round(a).busy);
    }
    table.heading("liveness probe fails");
    for (what, spread) in [
        ("to the container's end", (|a| a.failure_to_stop) as fn(&Probing) -> _),
        ("to its successor", |a| a.failure_to_restart),
    ] {
        table.row(&format!("  {what}"), |a| spread(a).as_ref().map_or(String::new(), median));
        table.row("    p99", |a| spread(a).as_ref().map_or(String::new(), p99));
    }
    table.into_text()
}

fn window(table: &mut Columns<'_, Probing>, of: impl Fn(&Probing) -> Window) {
    let tails = [
        ("late", (|window| window.lateness) as fn(Window) -> Option<Tail>),
        ("took", |window| window.duration),
    ];
    table.row("  CPU of the agent", |a| millicores(of(a).agent_millicores));
    table.row("  CPU of the runtime", |a| millicores(of(a).runtime_millicores));
    table.row("  attempts a second", |a| format!("{:.1}", of(a).attempts_per_second));
    table.row("  failed", |a| format!("{:.0}", of(a).failed));
    table.row("  could not be made", |a| format!("{:.0}", of(a).unknown));
    for (what, tail) in tails {
        table.row(&format!("  {what}, p50"), |a| bound(tail(of(a)).map(|tail| tail.p50_ms)));
        table.row(&format!("  {what}, p99"), |a| bound(tail(of(a)).map(|tail| tail.p99_ms)));
    }
}

/// A bound that observations keep.
fn bound(ms: Option<f64>) -> String {
    match ms {
        None => "n/a".to_owned(),
        Some(ms) if ms.is_infinite() => "over the last".to_owned(),
        Some(ms) => format!("<= {ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_has_its_rows() {
        let window = |failed, lateness| Window {
            agent_millicores: 12.34,
            runtime_millicores: 5.0,
            attempts_per_second: 200.0,
            failed,
            unknown: 0.0,
            lateness,
            duration: Some(Tail { p50_ms: 2.5, p99_ms: f64::INFINITY }),
        };
        let round =
            Round { quiet: window(0.0, None), busy: window(2.0, Some(Tail { p50_ms: 1.0, p99_ms: 5.0 })) };
        let one = Probing {
            name: "berth".to_owned(),
            http: round,
            command: round,
            failure_to_stop: None,
            failure_to_restart: None,
        };
        let load = "0.1".to_owned();
        let report =
            Compared { pods: 100, cores: 2, load_before: load.clone(), load_after: load, agents: vec![one] };
        let text = render(&report);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<_> = text.lines().map(words).collect();
        let after = |heading: &str| {
            let at = lines.iter().position(|line| line == heading).unwrap();
            lines[at + 1..at + 10].join("; ")
        };
        assert_eq!(
            after("two HTTP probes a pod, each second"),
            "CPU of the agent 12.3 mcores; CPU of the runtime 5.0 mcores; attempts a second 200.0; failed 0; \
             could not be made 0; late, p50 n/a; late, p99 n/a; took, p50 <= 2.5 ms; took, p99 over the last"
        );
        let busy = after("one command a pod, every 10 s, every core busy");
        assert!(busy.contains("failed 2;") && busy.contains("late, p99 <= 5 ms;"), "{busy}");
    }
}
