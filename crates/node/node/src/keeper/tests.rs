use std::borrow::Cow;
use std::collections::BTreeMap;

use telemetry::metrics::Registry;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use types::Event;
use types::corev1::NodeSpec;

use super::fake::{FakeApi, Mode, State};
use super::*;
use crate::facts::Facts;
use crate::testing::{Scene, image, runtime};
use crate::{InUse, RuntimeHealth};

/// A keeper at work on a fake server.
struct Bed {
    api: FakeApi,
    state: watch::Receiver<State>,
    facts: watch::Sender<Arc<Facts>>,
    runtime: watch::Sender<RuntimeHealth>,
    in_use: watch::Sender<Option<Arc<InUse>>>,
    object: watch::Sender<Option<Arc<Node>>>,
    standing: watch::Receiver<Standing>,
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

impl Bed {
    fn start(state: State, registration: Registration) -> Self {
        Self::with(state, registration, runtime(true, true))
    }

    fn with(state: State, registration: Registration, health: RuntimeHealth) -> Self {
        let api = FakeApi::default();
        api.0.send_replace(state);
        let facts = watch::Sender::new(Arc::new(Scene::ready().facts));
        let runtime = watch::Sender::new(health);
        let (in_use, object) = (watch::Sender::new(None), watch::Sender::new(None));
        let feeds = Feeds {
            facts: facts.subscribe(),
            runtime: runtime.subscribe(),
            // Nobody tells of pressure: the sender is gone.
            strain: watch::Sender::default().subscribe(),
            in_use: in_use.subscribe(),
            object: object.subscribe(),
        };
        let settings = Settings { registration, pace: Pace::default() };
        let (recorder, events) = Recorder::channel(100);
        let metrics = Metrics::register(&Registry::new());
        let keeper = Keeper::new(api.clone(), settings, feeds, recorder, metrics);
        let (standing, state) = (keeper.standing(), api.0.subscribe());
        let task = tokio::spawn(keeper.run(api.clone()));
        Self { api, state, facts, runtime, in_use, object, standing, events, task }
    }

    /// A node that registered when all was well.
    async fn registered() -> Self {
        let mut bed = Self::start(State::default(), registering());
        bed.until(|state| !state.renewals.is_empty()).await;
        bed
    }

    /// Waits until the server's state is so.
    async fn until(&mut self, so: impl FnMut(&State) -> bool) -> State {
        let deadline = Duration::from_secs(3600);
        timeout(deadline, self.state.wait_for(so)).await.unwrap().unwrap().clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.api.0.send_modify(change);
    }

    fn reasons(&mut self) -> Vec<Cow<'static, str>> {
        std::iter::from_fn(|| self.events.try_recv().ok()).map(|event| event.reason).collect()
    }

    /// Has these volumes be in use, since the generation that goes with each.
    fn use_volumes(&self, generation: u64, volumes: &[(&str, u64)]) {
        let volumes = volumes.iter().map(|(name, since)| ((*name).to_owned(), *since)).collect();
        self.in_use.send_replace(Some(Arc::new(InUse { generation, volumes })));
    }

    async fn until_told(&mut self, generation: u64) {
        let told = self.standing.wait_for(|standing| standing.in_use == Some(generation));
        timeout(Duration::from_secs(3600), told).await.unwrap().unwrap();
    }

    /// Lets the watch show what the server has.
    fn show(&self) {
        let node = self.state.borrow().node.clone().map(Arc::new);
        self.object.send_replace(node);
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn registering() -> Registration {
    let labels = BTreeMap::from([("node.kubernetes.io/instance-type".to_owned(), "big".to_owned())]);
    Registration { register: true, labels, controller_attach: true, ..Registration::default() }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_ready_registers_with_one_call() {
    let mut bed = Bed::with(State::default(), registering(), RuntimeHealth::unknown(Timestamp::now()));
    sleep(Duration::from_millis(500)).await;
    bed.runtime.send_replace(runtime(true, true));
    let state = bed.until(|state| !state.renewals.is_empty()).await;
    assert_eq!((state.creates, state.patches.len(), state.ready()), (1, 0, Some("True")));
    assert_eq!(Some(state.renewals[0].1.as_str()), state.uid());
    assert_eq!(bed.standing.borrow().uid(), state.uid());
    assert!(bed.reasons().contains(&"NodeReady".into()));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_silent_holds_up_registration_for_a_second() {
    let begun = Instant::now();
    let mut bed = Bed::with(State::default(), registering(), RuntimeHealth::unknown(Timestamp::now()));
    let state = bed.until(|state| state.node.is_some()).await;
    assert_eq!((begun.elapsed(), state.ready()), (FIRST_ANSWER, Some("False")));
    bed.runtime.send_replace(runtime(true, true));
    let at = Instant::now();
    bed.until(|state| state.ready() == Some("True")).await;
    assert_eq!(at.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn without_news_it_only_lives() {
    let bed = Bed::registered().await;
    sleep(secs(149)).await;
    assert_eq!(bed.state.borrow().patches.len(), 0);
    sleep(secs(3600 - 149)).await;
    let state = bed.state.borrow().clone();
    assert!((11..=12).contains(&state.patches.len()), "{}", state.patches.len());
    assert!((346..=361).contains(&state.renewals.len()), "{}", state.renewals.len());
    assert!(state.patches.iter().all(|(_, patch)| patch["status"].as_object().unwrap().len() == 1));
}

#[tokio::test(start_paused = true)]
async fn ready_goes_out_at_once_and_images_wait() {
    let mut bed = Bed::registered().await;
    let begun = Instant::now();
    bed.runtime.send_replace(runtime(false, true));
    let state = bed.until(|state| state.ready() == Some("False")).await;
    assert_eq!((state.patches.len(), begun.elapsed()), (1, Duration::ZERO));

    for size in 0..20 {
        bed.facts.send_modify(|facts| {
            let images = vec![image("sha256:9", size)];
            Arc::make_mut(facts).images = Some(Arc::new(images));
        });
        sleep(Duration::from_millis(100)).await;
    }
    bed.runtime.send_replace(runtime(true, true));
    let at = Instant::now();
    let state = bed.until(|state| state.ready() == Some("True")).await;
    assert_eq!((state.patches.len(), at.elapsed()), (2, Duration::ZERO));
    bed.facts.send_modify(|facts| Arc::make_mut(facts).images = None);
    bed.facts.send_modify(|facts| Arc::make_mut(facts).port += 1);
    let state = bed.until(|state| state.patches.len() == 3).await;
    assert_eq!((at.elapsed(), state.patches[2].1["status"]["images"].is_null()), (secs(10), true));
    assert!(bed.reasons().ends_with(&["NodeNotReady".into(), "NodeReady".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_asked_every_seven_seconds() {
    let mut bed = Bed::start(State { mode: Mode::Away, ..State::default() }, registering());
    sleep(secs(300)).await;
    let calls = bed.state.borrow().calls;
    assert!((40..=50).contains(&calls), "{calls}");
    assert!(bed.standing.borrow().status.is_some() && bed.standing.borrow().uid().is_none());
    bed.change(|state| state.mode = Mode::Up);
    let at = Instant::now();
    bed.until(|state| state.node.is_some()).await;
    assert!(at.elapsed() <= secs(7));
    bed.standing.wait_for(|standing| standing.status.is_none()).await.unwrap();

    // It goes away again: what changes meanwhile is told when it is back, which its watch tells.
    bed.change(|state| state.mode = Mode::Away);
    bed.runtime.send_replace(runtime(false, true));
    sleep(secs(120)).await;
    let trouble = bed.standing.borrow().clone();
    assert!(trouble.status.is_some() && trouble.lease.is_some() && trouble.uid().is_some());
    bed.change(|state| state.mode = Mode::Up);
    let at = Instant::now();
    bed.show();
    let state = bed.until(|state| state.ready() == Some("False")).await;
    assert_eq!((at.elapsed(), state.patches.len()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_busy_is_left_alone() {
    let bed = Bed::start(State { mode: Mode::Busy(secs(20)), ..State::default() }, registering());
    sleep(secs(59)).await;
    assert_eq!(bed.state.borrow().calls, 3);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_hangs_does_not_hold_up_the_lease() {
    let mut bed = Bed::registered().await;
    bed.change(|state| state.mode = Mode::Hangs);
    bed.runtime.send_replace(runtime(false, true));
    bed.standing.wait_for(|standing| standing.status.is_some()).await.unwrap();
    let before = bed.state.borrow().renewals.len();
    sleep(secs(60)).await;
    assert!(bed.state.borrow().renewals.len() >= before + 5);
    assert!(bed.standing.borrow().status.clone().unwrap().error.contains("10s"));
}

#[tokio::test(start_paused = true)]
async fn conflicts_are_tried_again() {
    let mut bed = Bed::registered().await;
    bed.change(|state| state.conflicts = 2);
    let at = Instant::now();
    bed.runtime.send_replace(runtime(false, true));
    let state = bed.until(|state| state.ready() == Some("False")).await;
    assert_eq!((at.elapsed(), state.patches.len()), (Duration::from_millis(600), 3));
    bed.standing.wait_for(|standing| standing.status.is_none()).await.unwrap();
    assert!(bed.reasons().ends_with(&["NodeNotReady".into()]), "told once, when it is true");
}

#[tokio::test(start_paused = true)]
async fn trouble_ends_when_the_server_is_back_even_without_news() {
    let mut bed = Bed::registered().await;
    bed.change(|state| state.mode = Mode::Away);
    bed.runtime.send_replace(runtime(false, true));
    bed.standing.wait_for(|standing| standing.status.is_some()).await.unwrap();
    bed.runtime.send_replace(runtime(true, true));
    sleep(secs(30)).await;
    assert!(bed.standing.borrow().status.is_some());
    bed.change(|state| state.mode = Mode::Up);
    let at = Instant::now();
    bed.standing.wait_for(|standing| standing.status.is_none()).await.unwrap();
    assert!(at.elapsed() <= secs(7) && bed.state.borrow().patches.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_without_news_writes_nothing() {
    let state = State { node: Bed::registered().await.state.borrow().node.clone(), ..State::default() };
    let mut bed = Bed::with(state, registering(), RuntimeHealth::unknown(Timestamp::now()));
    bed.standing.wait_for(|standing| standing.node.is_some()).await.unwrap();
    sleep(secs(20)).await;
    bed.runtime.send_replace(runtime(true, true));
    sleep(secs(100)).await;
    let state = bed.state.borrow().clone();
    assert_eq!((state.creates, state.patches.len()), (0, 0));
    assert_eq!(bed.reasons(), Vec::<&str>::new());
    assert!(!state.renewals.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_corrects_what_is_wrong_in_one_write() {
    let mut node = Bed::registered().await.state.borrow().node.clone().unwrap();
    node.metadata.labels.as_mut().unwrap().remove("node.kubernetes.io/instance-type");
    node.metadata.annotations = None;
    let info = node.status.as_mut().unwrap().node_info.as_mut().unwrap();
    info.boot_id = "boot-0".to_owned();
    let mut bed = Bed::start(State { node: Some(node), ..State::default() }, registering());
    let state = bed.until(|state| !state.patches.is_empty()).await;
    let patch = &state.patches[0].1;
    assert_eq!(patch["metadata"]["labels"]["node.kubernetes.io/instance-type"], "big");
    assert_eq!(patch["status"]["nodeInfo"]["bootID"], "boot-1");
    sleep(secs(100)).await;
    assert_eq!(bed.state.borrow().patches.len(), 1);
    assert_eq!(bed.reasons(), ["Rebooted"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_deleted_registers_again() {
    let mut bed = Bed::registered().await;
    let first = bed.state.borrow().uid().unwrap().to_owned();
    bed.show();
    // The watch tells of it.
    bed.change(|state| state.node = None);
    bed.show();
    let at = Instant::now();
    let other = |state: &State, than: &str| {
        state.uid().is_some_and(|uid| uid != than && state.renewals.last().unwrap().1 == uid)
    };
    let state = bed.until(|state| other(state, &first)).await;
    assert_eq!((state.creates, at.elapsed()), (2, Duration::ZERO));
    // No watch tells of it: the next report finds out.
    let second = state.uid().unwrap().to_owned();
    bed.change(|state| state.node = None);
    bed.runtime.send_replace(runtime(false, true));
    let state = bed.until(|state| other(state, &second)).await;
    assert_eq!((state.creates, state.ready()), (3, Some("False")));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_somebody_made_anew_is_taken_over() {
    let mut bed = Bed::registered().await;
    bed.show();
    bed.change(|state| {
        state.node = None;
        state.store(Node::default());
    });
    bed.show();
    let state = bed.until(|state| state.ready() == Some("True")).await;
    let state = bed.until(|now| now.renewals.last().unwrap().1 == state.uid().unwrap()).await;
    let labels = state.node.unwrap().metadata.labels.unwrap();
    assert_eq!((state.creates, labels["node.kubernetes.io/instance-type"].as_str()), (1, "big"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_behind_deletes_nothing() {
    let mut bed = Bed::registered().await;
    let old = bed.state.borrow().node.clone().map(Arc::new);
    bed.runtime.send_replace(runtime(false, true));
    bed.until(|state| state.ready() == Some("False")).await;
    bed.object.send_replace(old);
    bed.object.send_replace(None);
    sleep(secs(100)).await;
    let state = bed.state.borrow().clone();
    assert_eq!((state.creates, state.patches.len()), (1, 1));
    assert_eq!(bed.standing.borrow().uid(), state.uid());
}

#[tokio::test(start_paused = true)]
async fn without_register_node_it_waits_for_somebody_to_create_it() {
    let registration = Registration { register: false, ..registering() };
    let mut bed = Bed::start(State::default(), registration);
    sleep(secs(60)).await;
    assert!(bed.state.borrow().creates == 0 && bed.standing.borrow().status.is_some());
    bed.change(|state| state.store(Node::default()));
    let state = bed.until(|state| state.ready() == Some("True")).await;
    let labels = state.node.unwrap().metadata.labels.unwrap();
    assert!(labels.contains_key("kubernetes.io/os") && !labels.contains_key("kubernetes.io/hostname"));
    bed.change(|state| state.node = None);
    bed.runtime.send_replace(runtime(false, true));
    sleep(secs(60)).await;
    assert_eq!((bed.state.borrow().creates, bed.standing.borrow().uid().is_some()), (0, false));
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_cache_is_behind_is_asked_again() {
    let node = Bed::registered().await.state.borrow().node.clone();
    let mut bed = Bed::start(State { node, lags: true, ..State::default() }, registering());
    bed.standing.wait_for(|standing| standing.node.is_some()).await.unwrap();
    assert_eq!((bed.state.borrow().creates, bed.state.borrow().patches.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn who_meddles_is_put_right_but_not_at_once() {
    let mut bed = Bed::registered().await;
    bed.change(|state| {
        state.meddler = Some("Unknown");
        let node = state.node.clone().unwrap();
        state.store(node);
    });
    bed.show();
    bed.until(|state| state.patches.len() == 1).await;
    sleep(secs(65)).await;
    let patches = bed.state.borrow().patches.len();
    assert!((6..=8).contains(&patches), "{patches}");
    bed.change(|state| state.meddler = None);
    bed.until(|state| state.ready() == Some("True")).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_old_server_drops_is_not_told_over_and_over() {
    let bed = Bed::start(State { is_old: true, ..State::default() }, registering());
    sleep(secs(140)).await;
    assert_eq!((bed.state.borrow().creates, bed.state.borrow().patches.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn cordons_are_told() {
    let mut bed = Bed::registered().await;
    bed.reasons();
    for (unschedulable, reason) in [(true, "NodeNotSchedulable"), (false, "NodeSchedulable")] {
        bed.change(|state| {
            let mut node = state.node.clone().unwrap();
            node.spec = Some(NodeSpec { unschedulable: Some(unschedulable), ..NodeSpec::default() });
            state.store(node);
        });
        bed.show();
        assert_eq!(bed.events.recv().await.unwrap().reason, reason);
    }
    assert_eq!(bed.state.borrow().patches.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn volumes_in_use_are_told_at_once_and_it_is_known_when() {
    let mut bed = Bed::registered().await;
    assert_eq!(bed.standing.borrow().in_use, None);
    let at = Instant::now();
    for (generation, volumes) in
        [(1, &[("a", 1)][..]), (2, &[("a", 1), ("b", 2)]), (3, &[("b", 2)]), (4, &[])]
    {
        bed.use_volumes(generation, volumes);
        bed.until_told(generation).await;
        let told = bed.state.borrow().in_use();
        assert_eq!(told, volumes.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
        let known = bed.standing.borrow().node.clone().unwrap();
        assert_eq!(known.metadata.resource_version, Some(bed.state.borrow().versions.to_string()));
    }
    assert_eq!((at.elapsed(), bed.state.borrow().patches.len()), (Duration::ZERO, 4));
    // What the server has already is known without a word.
    bed.use_volumes(5, &[]);
    bed.until_told(5).await;
    assert_eq!(bed.state.borrow().patches.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn after_a_report_without_an_answer_the_server_is_asked_what_it_has() {
    let mut bed = Bed::registered().await;
    bed.use_volumes(1, &[("a", 1)]);
    bed.until_told(1).await;
    let before = bed.state.borrow().node.clone().unwrap();
    bed.change(|state| state.mode = Mode::Mute);
    bed.use_volumes(2, &[]);
    bed.until(|state| state.in_use().is_empty()).await;
    // The volume is to be used again, and a watch that is behind shows it as if nothing had happened.
    bed.use_volumes(3, &[("a", 3)]);
    let mut behind = before;
    behind.metadata.resource_version = Some(format!("{}", bed.state.borrow().versions));
    sleep(secs(11)).await;
    bed.object.send_replace(Some(Arc::new(behind)));
    sleep(secs(60)).await;
    assert_eq!(bed.standing.borrow().in_use, Some(1), "it is not known to be in use");
    bed.change(|state| state.mode = Mode::Up);
    bed.until_told(3).await;
    assert_eq!(bed.state.borrow().in_use(), ["a"]);
}
