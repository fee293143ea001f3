//! Whatever happens in whatever order: in the end the API server, the runtime and berth agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use testkit::fake::Store;
use testkit::pod::pod;

use crate::api_server::ApiRig;
use crate::rig::{container, full, is_ready};

/// How many things happen.
const ROUNDS: usize = 100;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const FIXED: &str = "fixed";
/// Longer than the first back-off of a container that crashed, which is 10 s.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// Numbers that look random and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

struct World {
    bed: ApiRig,
    dice: Dice,
    up: bool,
    served: bool,
    /// Pods whose container has crashed; a second time it would wait.
    crashed: BTreeSet<String>,
    fixed: bool,
}

impl World {
    async fn happen(&mut self) {
        let name = NAMES[usize::try_from(self.dice.roll(6)).unwrap()];
        match self.dice.roll(12) {
            0..3 if self.served => self.create(name).await,
            3 if self.served => self.bed.server.delete(name, None).await,
            4 if self.served => self.bed.server.delete(name, Some(0)).await,
            5 => self.crash(name),
            6 | 7 if self.up => {
                self.bed.rig.kill();
                self.up = false;
            }
            6 | 7 => {
                self.bed.rig.launch();
                self.up = true;
            }
            8 if self.served => {
                self.bed.server.stop().await;
                self.served = false;
            }
            8 | 9 if !self.served => {
                self.bed.server.come_back().await;
                self.served = true;
            }
            10 if self.served => {
                let code = [409, 429, 500][usize::try_from(self.dice.roll(3)).unwrap()];
                self.bed.server.fail(Method::PATCH, "/status", code, 2);
            }
            11 => {
                if self.fixed {
                    self.bed.rig.remove(FIXED);
                } else {
                    self.bed.rig.put(&pod(FIXED).container("main", &["run"]));
                }
                self.fixed = !self.fixed;
            }
            _ => {}
        }
    }

    async fn create(&mut self, name: &str) {
        if self.bed.server.pod(name).await.is_null() {
            self.bed.server.create(&pod(name).container("main", &["run"])).await;
            self.crashed.remove(name);
        }
    }

    fn crash(&mut self, name: &str) {
        let runs = self.bed.rig.runtime.read(|store| store.is_running(name, "main"));
        if runs && self.crashed.insert(name.to_owned()) {
            self.bed.rig.runtime.exit_container(name, "main", 1);
        }
    }

    /// Brings back what is away, and waits until all agree.
    async fn settle(mut self) {
        self.bed.server.heal();
        if !self.served {
            self.bed.server.come_back().await;
        }
        if !self.up {
            self.bed.rig.launch();
        }
        // A status may be of before a crash that berth did not live to see: all is looked at anew each time.
        self.bed
            .rig
            .until("all agree", SETTLED_WITHIN, || self.disagreements(), |found| *found == json!([]))
            .await;
        self.bed.rig.assert_proper();
    }

    /// What the API server, the runtime and the manifests do not agree about.
    async fn disagreements(&self) -> Value {
        let mirror = full(FIXED);
        let mut objects = BTreeMap::new();
        for name in NAMES.into_iter().chain([mirror.as_str()]) {
            let object = self.bed.server.pod(name).await;
            if !object.is_null() {
                objects.insert(name.to_owned(), object);
            }
        }
        let mut found = Vec::new();
        if objects.contains_key(&mirror) != self.fixed {
            found.push(format!("{mirror}: manifest {}, mirror pod {}", self.fixed, !self.fixed));
        }
        self.bed.rig.runtime.read(|store| {
            let unknown = store.all_sandboxes().filter(|sandbox| !objects.contains_key(sandbox.pod()));
            found.extend(unknown.map(|sandbox| format!("{}: a sandbox without an object", sandbox.pod())));
            found.extend(objects.iter().filter_map(|(name, object)| disagreement(store, name, object)));
        });
        json!(found)
    }
}

/// What the runtime and the pod's object do not agree about.
fn disagreement(store: &Store, name: &str, object: &Value) -> Option<String> {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Some(format!("{name}: being deleted"));
    }
    if !is_ready(object) {
        return Some(format!("{name}: not ready: {}", object["status"]));
    }
    let shown = container(object, "main")["containerID"].as_str().unwrap_or_default();
    let running: Vec<_> = store.all_containers().filter(|one| one.pod == name && one.is_running()).collect();
    let agrees = running.len() == 1 && running.iter().all(|container| shown.ends_with(&container.id));
    (!agrees).then(|| format!("{name}: {} containers run, and the object shows {shown}", running.len()))
}

async fn chaos(seed: u64) {
    let bed = ApiRig::start().await;
    let dice = Dice(seed);
    let mut world = World { bed, dice, up: true, served: true, crashed: BTreeSet::new(), fixed: false };
    for _ in 0..ROUNDS {
        world.happen().await;
    }
    world.settle().await;
}

#[tokio::test]
async fn all_agree_in_the_end() {
    chaos(0x9e37_79b9_7f4a_7c15).await;
}

#[tokio::test]
async fn all_agree_in_the_end_again() {
    chaos(0x2545_f491_4f6c_dd1d).await;
}
