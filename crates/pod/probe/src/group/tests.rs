//! The rules of probes, each as a table, on a clock of their own.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The probes of one container, asked as a wheel would.
struct Sim {
    group: Group,
    begun: Instant,
    now: Instant,
    /// What the probes find from now on.
    answers: Box<dyn FnMut(Kind) -> Answer>,
    /// When which probe asked: `3R` is the readiness probe after 3 s.
    asked: Vec<String>,
}

impl Sim {
    fn new(kind: ContainerKind, container: &Value) -> Self {
        let mut container = container.clone();
        container["name"] = json!("web");
        let container = serde_json::from_value(container).unwrap();
        let begun = Instant::now();
        let group = Group::new("uid", kind, &container).expect("it has probes");
        Self { group, begun, now: begun, answers: Box::new(|_| Answer::Pass), asked: Vec::new() }
    }

    fn regular(container: &Value) -> Self {
        Self::new(ContainerKind::Regular, container)
    }

    /// The instance `id` runs since so many seconds.
    fn runs_since(&mut self, id: &str, seconds: u64, past: Past) {
        let running_for = Some(Duration::from_secs(seconds));
        let sight = Sight { id: id.into(), running_for, past };
        self.group.see(Some(&sight), self.group.stage, self.now);
    }

    /// A new instance has just been started.
    fn starts(&mut self, id: &str) {
        self.runs_since(id, 0, Past::New);
    }

    fn stops(&mut self, id: &str) {
        let sight = Sight { id: id.into(), running_for: None, past: Past::New };
        self.group.see(Some(&sight), self.group.stage, self.now);
    }

    /// From now on all probes find the same.
    fn all(&mut self, answer: Answer) {
        self.answers = Box::new(move |_| answer);
    }

    /// Has everything asked that is due within so many seconds. Answers take no time.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            let due = |kind: &Kind| self.group.machine(*kind).and_then(|machine: &Machine| machine.due());
            let next = Kind::ALL.into_iter().filter_map(|kind| Some((due(&kind)?, kind))).min();
            let Some((at, kind)) = next.filter(|(at, _)| *at < end) else { break };
            self.now = self.now.max(at);
            let (run, _) = self.group.machine_mut(kind).unwrap().start(self.now).expect("it is due");
            assert!(self.group.machine_mut(kind).unwrap().begun(run, self.now));
            self.asked.push(format!("{}{}", (self.now - self.begun).as_secs(), &kind.as_str()[..1]));
            let answer = (self.answers)(kind);
            assert!(self.group.finish(kind, run, answer, self.now));
        }
        self.now = end;
    }

    /// What was asked since this was asked last.
    fn asked(&mut self) -> String {
        std::mem::take(&mut self.asked).join(" ")
    }

    /// `startup liveness readiness`: `+`, `-` or `?`.
    fn verdict(&self) -> String {
        let (_, verdict) = self.group.verdict().expect("there is an instance");
        let sign = |result| match result {
            Some(true) => '+',
            Some(false) => '-',
            None => '?',
        };
        [verdict.startup, verdict.liveness, verdict.readiness].map(sign).iter().collect()
    }
}

fn each(probe: &Value) -> Value {
    json!({"startupProbe": probe, "livenessProbe": probe, "readinessProbe": probe})
}

#[test]
fn what_is_missing_is_as_the_api_server_sets_it() {
    let timing = Timing::of(&types::corev1::Probe::default());
    let seconds = Duration::from_secs;
    assert_eq!((timing.initial_delay, timing.period, timing.limit), (seconds(0), seconds(10), seconds(1)));
    assert_eq!((timing.success_threshold, timing.failure_threshold), (1, 3));
    let container = serde_json::from_value(json!({"name": "web", "startupProbe": {}})).unwrap();
    assert!(Group::new("uid", ContainerKind::Init, &container).is_none(), "init containers end");
    assert!(Group::new("uid", ContainerKind::Regular, &Container::default()).is_none());
}

#[test]
fn before_the_first_result() {
    let mut sim = Sim::regular(&each(&json!({"initialDelaySeconds": 60})));
    sim.starts("1");
    assert_eq!(sim.verdict(), "???");
    assert!(!sim.group.is_awaited(), "a new instance is neither started nor ready, and that is known");
    sim.pass(59);
    assert_eq!((sim.asked().as_str(), sim.verdict().as_str()), ("", "???"));
}

#[test]
fn initial_delays_count_from_the_start_of_the_container() {
    for (delay, running_for, first) in
        [(0, 0, "0R"), (5, 0, "5R"), (5, 3, "2R"), (5, 5, "0R"), (5, 100, "0R")]
    {
        let mut sim = Sim::regular(&json!({"readinessProbe": {"initialDelaySeconds": delay}}));
        sim.runs_since("1", running_for, Past::New);
        sim.pass(10);
        assert_eq!(sim.asked(), first, "delay {delay}, runs for {running_for}");
    }
}

#[test]
fn each_probe_has_its_period() {
    let mut sim = Sim::regular(&json!({"readinessProbe": {"periodSeconds": 3}}));
    sim.starts("1");
    sim.pass(10);
    assert_eq!(sim.asked(), "0R 3R 6R 9R");
    // What comes to the same is no other time.
    sim.runs_since("1", 10, Past::New);
    sim.pass(5);
    assert_eq!(sim.asked(), "12R");
}

#[test]
fn results_change_at_thresholds() {
    // `p`ass, `f`ail, `v`oid; after each answer, the result.
    for (success, failure, answers, results) in [
        (1, 1, "pfpf", "+-+-"),
        (1, 3, "pffpfff", "++++++-"),
        (1, 3, "ff", "??"),
        (1, 3, "fffp", "??-+"),
        (3, 1, "pppfppp", "??+---+"),
        (2, 2, "pfpfppff", "?????++-"),
        // What could not be asked is no answer: it neither counts nor begins anew.
        (1, 3, "pfvfvf", "+++++-"),
        (2, 1, "pvpvf", "??++-"),
        (1, 1, "vvv", "???"),
    ] {
        let probe = json!({"periodSeconds": 1, "successThreshold": success, "failureThreshold": failure});
        let mut sim = Sim::regular(&json!({"readinessProbe": probe}));
        sim.starts("1");
        let mut seen = String::new();
        for answer in answers.chars() {
            sim.all(match answer {
                'p' => Answer::Pass,
                'f' => Answer::Fail,
                _ => Answer::Void,
            });
            sim.pass(1);
            seen.push(sim.verdict().chars().last().unwrap());
        }
        assert_eq!(seen, results, "{success}/{failure}: {answers}");
    }
}

#[test]
fn startup_holds_back_the_others() {
    let mut sim = Sim::regular(&each(&json!({"periodSeconds": 2})));
    sim.all(Answer::Void);
    sim.starts("1");
    sim.pass(3);
    assert_eq!((sim.asked().as_str(), sim.verdict().as_str()), ("0S 2S", "???"));
    sim.all(Answer::Pass);
    sim.pass(2);
    // Readiness is waited for; when liveness is asked first, is by chance.
    let asked: Vec<_> = sim.asked().split(' ').map(str::to_owned).filter(|a| !a.ends_with('L')).collect();
    assert_eq!(asked, ["4S", "4R"]);
    assert!(sim.verdict().starts_with('+') && sim.verdict().ends_with('+'));
    sim.pass(100);
    assert!(!sim.asked().contains('S'), "it has done its part");
}

#[test]
fn a_startup_probe_that_fails_asks_no_more() {
    let mut sim = Sim::regular(&each(&json!({"periodSeconds": 1, "failureThreshold": 2})));
    sim.all(Answer::Fail);
    sim.starts("1");
    sim.pass(10);
    assert_eq!((sim.asked().as_str(), sim.verdict().as_str()), ("0S 1S", "-??"));
    // The next instance begins anew.
    sim.stops("1");
    sim.pass(1);
    sim.starts("2");
    sim.all(Answer::Pass);
    assert_eq!(sim.verdict(), "???");
    sim.pass(1);
    assert!(sim.asked().starts_with("11S 11R"));
}

#[test]
fn a_liveness_probe_that_fails_asks_no_more() {
    let mut sim = Sim::regular(&json!({"livenessProbe": {"periodSeconds": 1, "failureThreshold": 2}}));
    sim.all(Answer::Fail);
    sim.starts("1");
    sim.pass(10);
    assert_eq!(sim.asked.len(), 2);
    assert_eq!(sim.verdict(), "?-?");
    sim.asked();
    sim.starts("2");
    assert_eq!(sim.verdict(), "???");
    sim.pass(1);
    assert_eq!((sim.asked.len(), sim.verdict().as_str()), (1, "???"), "one failure of the new one is one");
}

#[test]
fn what_does_not_run_is_not_asked() {
    let mut sim = Sim::regular(&json!({"readinessProbe": {"periodSeconds": 1}}));
    sim.pass(2);
    sim.stops("1");
    sim.pass(2);
    assert_eq!(sim.asked(), "");
    sim.starts("1");
    sim.pass(2);
    assert_eq!(sim.asked(), "4R 5R");
    sim.stops("1");
    sim.pass(5);
    assert_eq!(sim.asked(), "");
    sim.group.see(None, Stage::Running, sim.now);
    assert_eq!(sim.group.verdict(), None);
}

#[test]
fn at_the_end_of_the_pod() {
    for (kind, asked) in [(ContainerKind::Regular, "R"), (ContainerKind::Sidecar, "LR")] {
        let mut sim = Sim::new(kind, &each(&json!({"periodSeconds": 1})));
        sim.starts("1");
        sim.pass(2);
        sim.asked();
        sim.group.stage = Stage::Terminating;
        sim.runs_since("1", 2, Past::New);
        sim.pass(3);
        let mut kinds: Vec<_> = sim.asked().chars().filter(char::is_ascii_alphabetic).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.iter().collect::<String>(), asked, "{kind:?}");
        assert_eq!(sim.verdict(), "+++");

        // One that has not started yet is not going to.
        let mut sim = Sim::new(kind, &each(&json!({"periodSeconds": 1})));
        sim.all(Answer::Void);
        sim.starts("1");
        sim.pass(2);
        sim.asked();
        sim.group.stage = Stage::Terminating;
        sim.runs_since("1", 2, Past::New);
        sim.pass(2);
        assert_eq!(sim.asked().is_empty(), kind == ContainerKind::Regular, "{kind:?}");
        assert_eq!(sim.verdict(), "???");
    }
}

const READY: Past = Past::Known { started: true, ready: true };

#[test]
fn after_a_restart_of_berth_a_ready_container_is_ready() {
    let mut sim = Sim::regular(&each(&json!({"periodSeconds": 10, "failureThreshold": 2})));
    sim.runs_since("1", 1000, READY);
    assert_eq!(sim.verdict(), "+?+");
    assert!(!sim.group.is_awaited());
    sim.all(Answer::Fail);
    sim.pass(10);
    assert_eq!(sim.verdict(), "+?+", "one failure is one");
    let asked = sim.asked();
    assert!(!asked.contains('S') && asked.matches('R').count() == 1, "{asked}");
    sim.pass(10);
    assert_eq!(sim.verdict(), "+--");
    // What is known is about that instance.
    sim.runs_since("2", 0, Past::New);
    assert_eq!(sim.verdict(), "???");
}

#[test]
fn after_a_restart_of_berth_one_that_was_not_ready_is_asked_soon() {
    for (started, first) in [(true, 'R'), (false, 'S')] {
        let mut sim = Sim::regular(&each(&json!({"periodSeconds": 100})));
        sim.runs_since("1", 1000, Past::Known { started, ready: false });
        assert!(!sim.group.is_awaited() && sim.verdict().ends_with("??"));
        sim.pass(1);
        assert!(sim.asked().contains(&format!("0{first}")), "within a second");
    }
}

#[test]
fn what_is_not_known_is_awaited_until_it_is() {
    let all = each(&json!({"periodSeconds": 100}));
    let readiness = json!({"readinessProbe": {"periodSeconds": 100}});
    let liveness = json!({"livenessProbe": {}});
    let delayed = json!({"readinessProbe": {"initialDelaySeconds": 60}});
    for (probes, running_for, answer, awaited, verdict) in [
        (&all, 1000, Answer::Pass, true, "+?+"),
        (&readiness, 1000, Answer::Pass, true, "??+"),
        // It did not start yet, as far as can be told.
        (&all, 1000, Answer::Fail, true, "???"),
        (&readiness, 1000, Answer::Fail, true, "???"),
        (&readiness, 1000, Answer::Void, true, "???"),
        // Nothing depends on it.
        (&liveness, 1000, Answer::Pass, false, "???"),
        // It cannot have been asked before.
        (&delayed, 50, Answer::Pass, false, "???"),
        (&delayed, 70, Answer::Pass, true, "??+"),
    ] {
        let mut sim = Sim::regular(probes);
        sim.runs_since("1", running_for, Past::Unknown);
        assert_eq!(sim.group.is_awaited(), awaited, "{probes}");
        sim.all(answer);
        // The startup probe and then the readiness probe, each within a second.
        sim.pass(2);
        assert!(!sim.group.is_awaited(), "{probes} {answer:?}");
        let liveness_aside = sim.verdict().replace(['+', '-'], "+");
        assert_eq!(liveness_aside.chars().next(), verdict.chars().next(), "{probes} {answer:?}");
        assert_eq!(sim.verdict().chars().last(), verdict.chars().last(), "{probes} {answer:?}");
    }
    let mut sim = Sim::regular(&readiness);
    sim.runs_since("1", 1000, Past::Unknown);
    sim.group.see(
        Some(&Sight { id: "1".into(), running_for: Some(Duration::ZERO), past: Past::Unknown }),
        Stage::Terminating,
        sim.now,
    );
    assert!(!sim.group.is_awaited(), "a pod that stops waits for nothing");
}

#[test]
fn slow_answers_do_not_shift_the_next_ones() {
    let mut sim = Sim::regular(&json!({"readinessProbe": {"periodSeconds": 10}}));
    sim.starts("1");
    let seconds = |seconds| sim.begun + Duration::from_secs(seconds);
    for (due, ends, next) in [(0, 3, 10), (10, 20, 30), (30, 55, 60), (60, 60, 70)] {
        let (run, at) = sim.group.machine_mut(Kind::Readiness).unwrap().start(seconds(due)).unwrap();
        assert_eq!(at, seconds(due));
        assert!(sim.group.finish(Kind::Readiness, run, Answer::Pass, seconds(ends)));
        assert_eq!(sim.group.machine(Kind::Readiness).unwrap().due(), Some(seconds(next)), "{due} {ends}");
    }
}

#[test]
fn late_answers_are_about_what_is_gone() {
    let mut sim = Sim::regular(&json!({"readinessProbe": {"failureThreshold": 1}}));
    sim.starts("1");
    let start = |sim: &mut Sim| sim.group.machine_mut(Kind::Readiness).unwrap().start(sim.now).unwrap().0;
    let old = start(&mut sim);
    sim.starts("2");
    assert!(!sim.group.finish(Kind::Readiness, old, Answer::Fail, sim.now));
    let new = start(&mut sim);
    assert!(!sim.group.machine_mut(Kind::Readiness).unwrap().begun(old, sim.now));
    assert!(!sim.group.finish(Kind::Readiness, old, Answer::Fail, sim.now));
    assert_eq!(sim.verdict(), "???");
    assert!(sim.group.finish(Kind::Readiness, new, Answer::Pass, sim.now));
    assert_eq!(sim.verdict(), "??+");
    assert!(!sim.group.finish(Kind::Readiness, new, Answer::Fail, sim.now), "once");
}

#[test]
fn news_of_the_pod_hurry_a_container_that_is_not_ready() {
    for (delay, answer, asked) in [
        (0, Answer::Fail, "0R 1R"),
        (0, Answer::Pass, "0R"),
        // Nothing is asked before its time.
        (5, Answer::Fail, ""),
    ] {
        let mut sim = Sim::regular(&json!({"readinessProbe": {"initialDelaySeconds": delay}}));
        sim.starts("1");
        sim.all(answer);
        sim.pass(1);
        sim.group.hurry(sim.now);
        sim.pass(1);
        assert_eq!(sim.asked(), asked, "{delay} {answer:?}");
    }
}

#[test]
fn probes_of_the_same_period_do_not_ask_at_once() {
    let container: Container =
        serde_json::from_value(json!({"name": "web", "livenessProbe": {"periodSeconds": 10}})).unwrap();
    let now = Instant::now();
    let mut in_slot = [0; 50];
    for pod in 0..500 {
        let uid = format!("0c9bd1d7-0000-4000-8000-{pod:012}");
        let mut group = Group::new(&uid, ContainerKind::Regular, &container).unwrap();
        let sight = Sight { id: "1".into(), running_for: Some(Duration::from_secs(60)), past: READY };
        group.see(Some(&sight), Stage::Running, now);
        let due = group.machine(Kind::Liveness).unwrap().due().unwrap() - now;
        assert!(due < Duration::from_secs(10));
        in_slot[usize::try_from(due.as_millis() / 200).unwrap()] += 1;
    }
    assert!(in_slot.iter().all(|count| *count <= 30), "{in_slot:?}");
}

#[derive(Clone, Debug)]
enum Move {
    Run(u8, bool),
    Stop,
    End,
    Answer(usize, u8),
    Wait(u16),
    Hurry,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (0..3u8, any::<bool>()).prop_map(|(id, adopted)| Move::Run(id, adopted)),
        Just(Move::Stop),
        Just(Move::End),
        (0..3usize, 0..3u8).prop_map(|(kind, answer)| Move::Answer(kind, answer)),
        (0..5000u16).prop_map(Move::Wait),
        Just(Move::Hurry),
    ];
    proptest::collection::vec(one, 0..60)
}

proptest! {
    #[test]
    fn whatever_happens(moves in moves()) {
        let mut sim = Sim::regular(&each(&json!({"periodSeconds": 1})));
        let mut id = 0;
        let mut running: [Option<Run>; 3] = [None; 3];
        for step in moves {
            match step {
                Move::Run(next, adopted) => {
                    id = next;
                    sim.runs_since(&id.to_string(), 10, if adopted { Past::Unknown } else { Past::New });
                }
                Move::Stop => sim.stops(&id.to_string()),
                Move::End => sim.group.stage = Stage::Terminating,
                Move::Wait(ms) => sim.now += Duration::from_millis(ms.into()),
                Move::Hurry => sim.group.hurry(sim.now),
                Move::Answer(kind, answer) => {
                    if let Some(run) = running[kind].take() {
                        let answer = [Answer::Pass, Answer::Fail, Answer::Void][usize::from(answer)];
                        sim.group.finish(Kind::ALL[kind], run, answer, sim.now);
                    }
                }
            }
            for kind in Kind::ALL {
                let now = sim.now;
                let machine = sim.group.machine_mut(kind).unwrap();
                if let Some((run, due)) = machine.start(now) {
                    prop_assert!(due <= now);
                    running[kind as usize] = Some(run);
                }
                // What is due next is ahead, at most a period and a half-open start away.
                if let Some(due) = machine.due() {
                    prop_assert!(due > now && due <= now + Duration::from_secs(1));
                }
            }
            if let Some((_, verdict)) = sim.group.verdict() {
                let started = verdict.startup == Some(true);
                prop_assert!(started || verdict.liveness.is_none(), "{verdict:?}");
                prop_assert!(started || verdict.readiness.is_none(), "{verdict:?}");
            }
        }
    }
}
