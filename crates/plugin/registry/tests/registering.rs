//! Plugins that come, go, come again, hang and are refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use registry::{Handler, Handlers, Metrics, Plugin, Refused, Registry};
use testkit::plugin::{Code, FakePlugin, Fault, Moment, Strike};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// For what takes as long as a plugin's deadlines at most.
const LONG: Duration = Duration::from_secs(60);

/// What the handler was told, in order.
#[derive(Clone)]
struct Recorder {
    told: watch::Sender<Vec<String>>,
    refusal: Arc<Mutex<Option<String>>>,
}

impl Recorder {
    fn new() -> Self {
        Self { told: watch::Sender::new(Vec::new()), refusal: Arc::default() }
    }

    fn refuse(&self, why: Option<&str>) {
        *self.refusal.lock().unwrap() = why.map(str::to_owned);
    }

    async fn wait(&self, told: &[&str]) {
        let mut seen = self.told.subscribe();
        let waited = tokio::time::timeout(LONG, seen.wait_for(|seen| seen.as_slice() == told)).await;
        assert!(waited.is_ok(), "wanted {told:?}, seen {:?}", self.told.borrow());
    }
}

#[async_trait]
impl Handler for Recorder {
    async fn register(&self, plugin: &Plugin) -> Result<(), Refused> {
        if let Some(why) = self.refusal.lock().unwrap().clone() {
            return Err(Refused(why));
        }
        self.told.send_modify(|told| told.push(format!("+{}", plugin.name)));
        Ok(())
    }

    async fn deregister(&self, plugin: &Plugin) {
        self.told.send_modify(|told| told.push(format!("-{}", plugin.name)));
    }
}

struct World {
    _tmp: tempfile::TempDir,
    dir: PathBuf,
    handler: Recorder,
    metrics: telemetry::metrics::Registry,
    running: JoinHandle<()>,
}

impl World {
    fn new() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("plugins_registry");
        std::fs::create_dir(&dir).unwrap();
        let (handler, metrics) = (Recorder::new(), telemetry::metrics::Registry::new());
        let running = tokio::spawn(registry(&dir, &handler, &metrics).run());
        Self { _tmp: tmp, dir, handler, metrics, running }
    }

    /// berth is killed and starts again. Handlers start with nothing; this one stays, for the test to look at.
    fn restart(&mut self) {
        self.running.abort();
        self.metrics = telemetry::metrics::Registry::new();
        self.running = tokio::spawn(registry(&self.dir, &self.handler, &self.metrics).run());
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn plugin(&self, name: &str) -> FakePlugin {
        start(&self.socket(&format!("{name}.sock")), "CSIPlugin", name)
    }
}

fn registry(dir: &Path, handler: &Recorder, metrics: &telemetry::metrics::Registry) -> Registry {
    let handlers = Handlers::default().with("CSIPlugin", Arc::new(handler.clone()));
    Registry::new(dir.to_owned(), handlers, Metrics::register(metrics))
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn start(socket: &Path, kind: &str, name: &str) -> FakePlugin {
    FakePlugin::start(socket, kind, name).unwrap()
}

#[tokio::test]
async fn a_plugin_comes_and_goes() {
    let world = World::new();
    let plugin = world.plugin("a");
    world.handler.wait(&["+a"]).await;
    assert_eq!(plugin.wait_verdicts(1, LONG).await.unwrap(), ["registered"]);
    assert_eq!(plugin.authority().as_deref(), Some("localhost"));
    plugin.stop().unwrap();
    world.handler.wait(&["+a", "-a"]).await;
    let _again = world.plugin("a");
    world.handler.wait(&["+a", "-a", "+a"]).await;
}

#[tokio::test]
async fn plugins_that_are_there_already_and_those_in_directories() {
    let mut world = World::new();
    let _early = world.plugin("early");
    world.handler.wait(&["+early"]).await;
    world.restart();
    world.handler.wait(&["+early", "+early"]).await;
    std::fs::create_dir(world.socket("sub")).unwrap();
    let below = start(&world.socket("sub/b.sock"), "CSIPlugin", "below");
    world.handler.wait(&["+early", "+early", "+below"]).await;
    below.stop().unwrap();
    world.handler.wait(&["+early", "+early", "+below", "-below"]).await;
}

#[tokio::test]
async fn a_plugin_that_restarts_on_the_same_path_is_registered_again() {
    let world = World::new();
    let plugin = world.plugin("a");
    world.handler.wait(&["+a"]).await;
    plugin.restart().unwrap();
    world.handler.wait(&["+a", "-a", "+a"]).await;
    plugin.crash();
    assert_eq!(world.handler.told.borrow().len(), 3, "a socket nobody listens on is still there");
}

#[tokio::test]
async fn one_that_hangs_delays_only_itself() {
    let world = World::new();
    // Started elsewhere, so that the fault is up before it is asked.
    let stuck = start(&world.dir.parent().unwrap().join("s.sock"), "CSIPlugin", "stuck");
    let fault = stuck.raise(Strike::new("GetInfo", Moment::Before, Fault::Hang));
    std::fs::rename(world.dir.parent().unwrap().join("s.sock"), world.socket("s.sock")).unwrap();
    stuck.wait(LONG, |calls| !calls.is_empty()).await.unwrap();
    let other = world.plugin("other");
    world.handler.wait(&["+other"]).await;
    other.stop().unwrap();
    world.handler.wait(&["+other", "-other"]).await;
    drop(fault);
    world.handler.wait(&["+other", "-other", "+stuck"]).await;
}

#[tokio::test]
async fn a_type_that_nobody_handles_and_a_refusal_are_told_to_the_plugin() {
    let world = World::new();
    let odd = start(&world.socket("odd.sock"), "TeapotPlugin", "pot");
    let told = odd.wait_verdicts(1, LONG).await.unwrap();
    assert_eq!(
        told[0],
        "the plugin \"pot\" is of the type \"TeapotPlugin\", which berth does not have: it has CSIPlugin"
    );
    world.handler.refuse(Some("its version is too old"));
    let old = world.plugin("old");
    let told = old.wait_verdicts(1, LONG).await.unwrap();
    assert_eq!(told[0], "the plugin \"old\" (CSIPlugin) was refused: its version is too old");
    world.handler.refuse(None);
    world.handler.wait(&["+old"]).await;
}

#[tokio::test]
async fn one_that_does_not_hear_is_taken_out_and_tried_again() {
    let world = World::new();
    let plugin = start(&world.dir.parent().unwrap().join("d.sock"), "CSIPlugin", "deaf");
    let fail = Fault::Fail(Code::Internal, "not now".into());
    let _fault = plugin.raise(Strike::new("NotifyRegistrationStatus", Moment::Before, fail).times(1));
    std::fs::rename(world.dir.parent().unwrap().join("d.sock"), world.socket("d.sock")).unwrap();
    world.handler.wait(&["+deaf", "-deaf", "+deaf"]).await;
    plugin.wait_verdicts(2, LONG).await.unwrap();
}

#[tokio::test]
async fn one_that_was_refused_is_tried_again_at_once_when_another_goes() {
    let world = World::new();
    let first = world.plugin("first");
    world.handler.wait(&["+first"]).await;
    world.handler.refuse(Some("first is there"));
    let second = world.plugin("second");
    // After some failures the next attempt is far away.
    second.wait_verdicts(2, LONG).await.unwrap();
    world.handler.refuse(None);
    first.stop().unwrap();
    world.handler.wait(&["+first", "-first", "+second"]).await;
}

#[tokio::test]
async fn what_is_counted() {
    let world = World::new();
    let plugin = world.plugin("a");
    plugin.wait_verdicts(1, LONG).await.unwrap();
    world.handler.wait(&["+a"]).await;
    let path = world.socket("a.sock");
    let series = |state| {
        format!("plugin_manager_total_plugins{{socket_path=\"{}\",state=\"{state}\"}} 1", path.display())
    };
    assert!(world.metrics.encode().contains(&series("desired_state_of_world")));
    plugin.stop().unwrap();
    world.handler.wait(&["+a", "-a"]).await;
    assert!(!world.metrics.encode().contains("a.sock"), "{}", world.metrics.encode());
}
