//! Whatever happens in whatever order: in the end the API server, the runtime and berth agree.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::Value;
use testkit::fake::Store;
use testkit::pod::pod;

use crate::api_server::ApiRig;
use crate::rig::{container, full, is_ready};

/// How many things happen.
const ROUNDS: usize = 100;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const FIXED: &str = "fixed";

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
            3 if self.served => self.delete(name, None).await,
            4 if self.served => self.delete(name, Some(0)).await,
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

    async fn delete(&mut self, name: &str, grace_seconds: Option<u32>) {
        if !self.bed.server.pod(name).await.is_null() {
            self.bed.server.delete(name, grace_seconds).await;
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
        let mut wanted = BTreeMap::new();
        for name in NAMES {
            let settled = |pod: &Value| pod.is_null() || is_ready(pod);
            let object = self.bed.server.until_pod(name, "ready or gone", settled).await;
            if !object.is_null() {
                wanted.insert(name.to_owned(), object);
            }
        }
        let mirror = full(FIXED);
        if self.fixed {
            let object = self.bed.server.until_ready(&mirror).await;
            wanted.insert(mirror, object);
        } else {
            self.bed.server.until_gone(&mirror).await;
        }
        let agrees = |store: &Store| {
            let sandboxes: Vec<_> = store.all_sandboxes().map(|sandbox| sandbox.pod().to_owned()).collect();
            sandboxes.iter().all(|pod| wanted.contains_key(pod))
                && wanted.iter().all(|(name, object)| {
                    let shown = container(object, "main")["containerID"].as_str().unwrap_or_default();
                    let runs = store.all_containers().find(|container| shown.ends_with(&container.id));
                    store.running_containers(name).len() == 1
                        && runs.is_some_and(testkit::fake::Container::is_running)
                })
        };
        self.bed.rig.until_store("what the server says", agrees).await;
        self.bed.rig.assert_proper();
    }
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
