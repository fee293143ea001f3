//! The state of the fake runtime, and what the calls of CRI do to it. No I/O, no waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use cri::v1::{self, ContainerEventType as Event, ContainerState};
use tokio::time::Instant;
use tonic::Status;
use types::labels;

use super::script::{ExecAnswer, Script};

/// Exit code of a process that was killed.
pub(super) const KILLED: i32 = 137;

/// A sandbox of the fake runtime.
#[derive(Clone, PartialEq, Debug)]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// What it was made from.
    pub config: v1::PodSandboxConfig,
    /// The handler it was made with.
    pub runtime_handler: String,
    /// Whether it is ready.
    pub ready: bool,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
    /// Its IPs while it is ready; none on the node's network.
    pub ips: Vec<String>,
}

impl Sandbox {
    /// The pod's name.
    #[must_use]
    pub fn pod(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |metadata| &metadata.name)
    }

    /// The pod's UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |metadata| &metadata.uid)
    }

    /// How many sandboxes the pod had before.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.config.metadata.as_ref().map_or(0, |metadata| metadata.attempt)
    }

    pub(super) fn network(&self) -> v1::NamespaceMode {
        let options = || self.config.linux.as_ref()?.security_context.as_ref()?.namespace_options.as_ref();
        options().map_or(v1::NamespaceMode::Pod, v1::NamespaceOption::network)
    }
}

/// A container of the fake runtime.
#[derive(Clone, PartialEq, Debug)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// The sandbox it is in.
    pub sandbox_id: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID.
    pub uid: String,
    /// What it was made from.
    pub config: v1::ContainerConfig,
    /// What it does.
    pub state: ContainerState,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
    /// When it was started; 0 if it never was.
    pub started_at: i64,
    /// When it ended; 0 if it did not.
    pub finished_at: i64,
    /// How it ended.
    pub exit_code: i32,
    /// Why it ended, in one word.
    pub reason: String,
    /// Its log file; empty if it has none.
    pub log_path: PathBuf,
    /// The image's id.
    pub image_id: String,
    /// Resources in force.
    pub resources: Option<v1::LinuxContainerResources>,
}

impl Container {
    /// Its name in the pod's spec.
    #[must_use]
    pub fn name(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |metadata| &metadata.name)
    }

    /// How many instances of it the pod had before.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.config.metadata.as_ref().map_or(0, |metadata| metadata.attempt)
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == ContainerState::ContainerRunning
    }
}

/// An image of the fake runtime.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// The name it was pulled by.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it must not be removed.
    pub pinned: bool,
}

/// One call that the runtime received.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// Its name in CRI.
    pub call: &'static str,
    /// The pod's name, if it is about one that is known.
    pub pod: Option<String>,
    /// The container's name; the image's for calls about images.
    pub container: Option<String>,
    /// When it arrived.
    pub at: Instant,
}

/// What a call is about.
#[derive(Clone, Default, Debug)]
pub(super) struct Subject {
    pub(super) pod: Option<String>,
    pub(super) container: Option<String>,
}

/// All that the fake runtime knows.
#[derive(Clone, Default, Debug)]
pub struct Store {
    pub(super) sandboxes: BTreeMap<String, Sandbox>,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) images: BTreeMap<String, Image>,
    pub(super) conditions: BTreeMap<&'static str, v1::RuntimeCondition>,
    pub(super) cgroup_driver: Option<v1::CgroupDriver>,
    pub(super) sandbox_image: Option<String>,
    pub(super) handlers: Vec<v1::RuntimeHandler>,
    pub(super) pullable: Option<BTreeSet<String>>,
    pub(super) pull_users: Vec<String>,
    pub(super) scripts: HashMap<(Option<String>, String), Script>,
    pub(super) exec_answers: HashMap<Vec<String>, ExecAnswer>,
    pub(super) streaming_url: String,
    pub(super) journal: Vec<Call>,
    pub(super) counts: HashMap<&'static str, u64>,
    pub(super) starts: HashMap<(String, String), u64>,
    pub(super) violations: Vec<String>,
    of_pod: HashMap<String, OfPod>,
    names: HashMap<String, String>,
    events: Vec<v1::ContainerEventResponse>,
    made: u64,
    last_time: i64,
}

/// What belongs to one pod UID.
#[derive(Clone, Default, Debug)]
struct OfPod {
    sandboxes: BTreeSet<String>,
    containers: BTreeSet<String>,
}

impl Store {
    /// A runtime that is ready and has nothing.
    pub(super) fn fresh() -> Self {
        let condition = |name: &'static str| {
            (name, v1::RuntimeCondition { r#type: name.to_owned(), status: true, ..Default::default() })
        };
        let features = v1::RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: true };
        let handler = |name: &str| v1::RuntimeHandler { name: name.to_owned(), features: Some(features) };
        Self {
            conditions: [condition("RuntimeReady"), condition("NetworkReady")].into(),
            handlers: vec![handler(""), handler("runc")],
            cgroup_driver: Some(v1::CgroupDriver::Cgroupfs),
            sandbox_image: None,
            streaming_url: "http://127.0.0.1:1".to_owned(),
            ..Self::default()
        }
    }

    /// Ids of the sandboxes that `selector` can match.
    pub(super) fn sandbox_ids(&self, selector: &HashMap<String, String>) -> Vec<&String> {
        match selector.get(labels::POD_UID) {
            Some(uid) => self.of_pod.get(uid).into_iter().flat_map(|pod| &pod.sandboxes).collect(),
            None => self.sandboxes.keys().collect(),
        }
    }

    /// Ids of the containers that `selector` can match.
    pub(super) fn container_ids(&self, selector: &HashMap<String, String>) -> Vec<&String> {
        match selector.get(labels::POD_UID) {
            Some(uid) => self.of_pod.get(uid).into_iter().flat_map(|pod| &pod.containers).collect(),
            None => self.containers.keys().collect(),
        }
    }

    pub(super) fn record(&mut self, call: &'static str, subject: &Subject) {
        *self.counts.entry(call).or_default() += 1;
        self.journal.push(Call {
            call,
            pod: subject.pod.clone(),
            container: subject.container.clone(),
            at: Instant::now(),
        });
    }

    pub(super) fn take_events(&mut self) -> Vec<v1::ContainerEventResponse> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn about_sandbox(&self, id: &str) -> Subject {
        Subject { pod: self.sandboxes.get(id).map(|sandbox| sandbox.pod().to_owned()), container: None }
    }

    /// A list with this selector is about the pod whose UID it names.
    pub(super) fn about_selector(&self, selector: &HashMap<String, String>) -> Subject {
        let of_pod = selector.get(labels::POD_UID).and_then(|uid| self.of_pod.get(uid));
        let pod = of_pod.and_then(|of_pod| {
            let sandbox = of_pod.sandboxes.first().and_then(|id| self.sandboxes.get(id));
            let container = of_pod.containers.first().and_then(|id| self.containers.get(id));
            sandbox.map(Sandbox::pod).or_else(|| container.map(|container| container.pod.as_str()))
        });
        Subject { pod: pod.map(str::to_owned), container: None }
    }

    pub(super) fn about_container(&self, id: &str) -> Subject {
        match self.containers.get(id) {
            Some(container) => {
                Subject { pod: Some(container.pod.clone()), container: Some(container.name().to_owned()) }
            }
            None => Subject::default(),
        }
    }

    pub(super) fn script(&self, pod: &str, container: &str) -> Script {
        let of = |pod: Option<&str>| self.scripts.get(&(pod.map(str::to_owned), container.to_owned()));
        of(Some(pod)).or_else(|| of(None)).cloned().unwrap_or_default()
    }

    /// The time in nanoseconds since 1970, later than it ever was.
    fn now(&mut self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        self.last_time = now.max(self.last_time + 1);
        self.last_time
    }

    fn new_id(&mut self) -> String {
        self.made += 1;
        format!("{:064x}", self.made)
    }

    fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Takes `name` for `id`; it is an error if another has it.
    fn reserve(&mut self, kind: &str, name: &str, id: &str) -> Result<(), Status> {
        if let Some(other) = self.names.get(name) {
            let message =
                format!("failed to reserve {kind} name {name:?}: name {name:?} is reserved for {other:?}");
            self.violate(format!("{kind} {name} was created twice"));
            return Err(Status::unknown(message));
        }
        self.names.insert(name.to_owned(), id.to_owned());
        Ok(())
    }

    pub(super) fn run_pod_sandbox(
        &mut self,
        config: v1::PodSandboxConfig,
        runtime_handler: String,
    ) -> Result<String, Status> {
        let metadata = config
            .metadata
            .clone()
            .ok_or_else(|| Status::invalid_argument("sandbox config has no metadata"))?;
        if !runtime_handler.is_empty() && !self.handlers.iter().any(|handler| handler.name == runtime_handler)
        {
            let message =
                format!("failed to get sandbox runtime: no runtime for {runtime_handler:?} is configured");
            return Err(Status::unknown(message));
        }
        let id = self.new_id();
        self.reserve("sandbox", &sandbox_name(&metadata), &id)?;
        let of_pod = self.of_pod.entry(metadata.uid.clone()).or_default();
        let ready: Vec<_> = of_pod.sandboxes.iter().filter(|id| self.sandboxes[*id].ready).cloned().collect();
        of_pod.sandboxes.insert(id.clone());
        if !ready.is_empty() {
            self.violate(format!("pod {} got a sandbox while it had a ready one", metadata.name));
        }
        let created_at = self.now();
        let mut sandbox =
            Sandbox { id: id.clone(), config, runtime_handler, ready: true, created_at, ips: Vec::new() };
        if sandbox.network() != v1::NamespaceMode::Node {
            sandbox.ips.push(format!(
                "10.{}.{}.{}",
                88 + (self.made >> 16),
                self.made >> 8 & 255,
                self.made & 255
            ));
        }
        self.sandboxes.insert(id.clone(), sandbox);
        self.emit(Event::ContainerCreatedEvent, &id, &id);
        self.emit(Event::ContainerStartedEvent, &id, &id);
        Ok(id)
    }

    pub(super) fn stop_pod_sandbox(&mut self, id: &str) {
        let Some(sandbox) = self.sandboxes.get_mut(id) else { return };
        let was_ready = std::mem::replace(&mut sandbox.ready, false);
        sandbox.ips.clear();
        for container in self.containers_in(id) {
            self.exit(&container, KILLED);
        }
        if was_ready {
            self.emit(Event::ContainerStoppedEvent, id, id);
        }
    }

    pub(super) fn remove_pod_sandbox(&mut self, id: &str) {
        let Some(sandbox) = self.sandboxes.get(id) else { return };
        if sandbox.ready {
            let what = format!("sandbox of pod {} was removed while it was ready", sandbox.pod());
            self.violate(what);
        }
        self.stop_pod_sandbox(id);
        for container in self.containers_in(id) {
            self.remove_container(&container);
        }
        self.emit(Event::ContainerDeletedEvent, id, id);
        if let Some(sandbox) = self.sandboxes.remove(id) {
            self.names.remove(&sandbox_name(&sandbox.config.metadata.clone().unwrap_or_default()));
            if let Some(pod) = self.of_pod.get_mut(sandbox.uid()) {
                pod.sandboxes.remove(id);
            }
            self.forget_empty(sandbox.uid());
        }
    }

    pub(super) fn create_container(&mut self, request: v1::CreateContainerRequest) -> Result<String, Status> {
        let v1::CreateContainerRequest { pod_sandbox_id, config, .. } = request;
        let config = config.ok_or_else(|| Status::invalid_argument("container config is missing"))?;
        let metadata = config
            .metadata
            .clone()
            .ok_or_else(|| Status::invalid_argument("container config has no metadata"))?;
        let sandbox = self.sandboxes.get(&pod_sandbox_id).ok_or_else(|| no_sandbox(&pod_sandbox_id))?;
        if !sandbox.ready {
            let message = format!("failed to get sandbox container task: task {pod_sandbox_id} not found");
            return Err(Status::not_found(message));
        }
        let (pod, uid) = (sandbox.pod().to_owned(), sandbox.uid().to_owned());
        let log_path = match config.log_path.as_str() {
            "" => PathBuf::new(),
            path => Path::new(&sandbox.config.log_directory).join(path),
        };
        let name = container_name(&metadata, sandbox);
        let wanted = config.image.clone().unwrap_or_default().image;
        let image_id = match self.image(&wanted) {
            Some(image) => image.id.clone(),
            None => return Err(Status::not_found(format!("failed to resolve image {wanted:?}: not found"))),
        };
        let id = self.new_id();
        self.reserve("container", &name, &id)?;
        let created_at = self.now();
        self.of_pod.entry(uid.clone()).or_default().containers.insert(id.clone());
        let resources = config.linux.as_ref().and_then(|linux| linux.resources.clone());
        let container = Container {
            id: id.clone(),
            sandbox_id: pod_sandbox_id.clone(),
            pod,
            uid,
            config,
            state: ContainerState::ContainerCreated,
            created_at,
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
            reason: String::new(),
            log_path,
            image_id,
            resources,
        };
        self.containers.insert(id.clone(), container);
        self.emit(Event::ContainerCreatedEvent, &id, &pod_sandbox_id);
        Ok(id)
    }

    pub(super) fn start_container(&mut self, id: &str) -> Result<(), Status> {
        let container = self.containers.get(id).ok_or_else(|| no_container(id))?;
        let (pod, name) = (container.pod.clone(), container.name().to_owned());
        if container.state != ContainerState::ContainerCreated {
            let message = format!("container is in {} state", container.state.as_str_name());
            self.violate(format!("container {name} of pod {pod} was started again: it {message}"));
            return Err(Status::unknown(message));
        }
        let sandbox_id = container.sandbox_id.clone();
        if !self.sandboxes.get(&sandbox_id).is_some_and(|sandbox| sandbox.ready) {
            return Err(Status::unknown(format!("sandbox container {sandbox_id:?} is not running")));
        }
        let twin = self.of_pod.get(&container.uid).is_some_and(|of_pod| {
            let twins = of_pod.containers.iter().filter_map(|id| self.containers.get(id));
            twins.filter(|twin| twin.name() == name).any(Container::is_running)
        });
        if twin {
            self.violate(format!("two instances of container {name} of pod {pod} ran at once"));
        }
        let started_at = self.now();
        if let Some(container) = self.containers.get_mut(id) {
            container.state = ContainerState::ContainerRunning;
            container.started_at = started_at;
        }
        *self.starts.entry((pod.clone(), name.clone())).or_default() += 1;
        self.emit(Event::ContainerStartedEvent, id, &sandbox_id);
        if let Some(code) = self.script(&pod, &name).exits_at_once {
            self.exit(id, code);
        }
        Ok(())
    }

    /// Ends a container that runs.
    pub(super) fn exit(&mut self, id: &str, code: i32) {
        self.exit_because(id, code, if code == 0 { "Completed" } else { "Error" });
    }

    /// Ends a container that runs, for a reason.
    pub(super) fn exit_because(&mut self, id: &str, code: i32, reason: &str) {
        let now = self.now();
        let Some(container) = self.containers.get_mut(id) else { return };
        if !container.is_running() {
            return;
        }
        container.state = ContainerState::ContainerExited;
        container.finished_at = now;
        container.exit_code = code;
        container.reason = reason.to_owned();
        let sandbox_id = container.sandbox_id.clone();
        self.emit(Event::ContainerStoppedEvent, id, &sandbox_id);
    }

    /// Ends a container that runs because memory ran out, or tells it late of one that was killed.
    pub(super) fn out_of_memory(&mut self, id: &str) {
        const REASON: &str = "OOMKilled";
        self.exit_because(id, KILLED, REASON);
        if let Some(container) = self.containers.get_mut(id) {
            container.reason = REASON.to_owned();
        }
    }

    pub(super) fn remove_container(&mut self, id: &str) {
        let Some(container) = self.containers.get(id) else { return };
        let sandbox_id = container.sandbox_id.clone();
        if container.is_running() {
            let what =
                format!("container {} of pod {} was removed while it ran", container.name(), container.pod);
            self.violate(what);
            self.exit(id, KILLED);
        }
        if let Some(container) = self.containers.remove(id) {
            if let Some(sandbox) = self.sandboxes.get(&sandbox_id) {
                let metadata = container.config.metadata.clone().unwrap_or_default();
                self.names.remove(&container_name(&metadata, sandbox));
            }
            if let Some(pod) = self.of_pod.get_mut(&container.uid) {
                pod.containers.remove(id);
            }
            self.emit(Event::ContainerDeletedEvent, id, &sandbox_id);
            self.forget_empty(&container.uid);
        }
    }

    /// The container `id`, which has to run for a call to make sense.
    pub(super) fn running(&self, id: &str) -> Result<&Container, Status> {
        let container = self.containers.get(id).ok_or_else(|| no_container(id))?;
        if container.is_running() {
            Ok(container)
        } else {
            Err(Status::unknown(format!("container is in {} state", container.state.as_str_name())))
        }
    }

    /// The image with this name or id.
    pub(super) fn image(&self, name: &str) -> Option<&Image> {
        self.images.get(name).or_else(|| self.images.values().find(|image| image.id == name))
    }

    pub(super) fn add_image(&mut self, name: &str, size: u64, pinned: bool) -> String {
        let id = format!("sha256:{}", format!("{:08x}", types::hash::fnv1a_32(name.as_bytes())).repeat(8));
        let image = Image { name: name.to_owned(), id: id.clone(), size, pinned };
        self.images.insert(name.to_owned(), image);
        id
    }

    /// Ids of the containers in the sandbox `id`.
    fn containers_in(&self, id: &str) -> Vec<String> {
        let Some(pod) = self.sandboxes.get(id).and_then(|sandbox| self.of_pod.get(sandbox.uid())) else {
            return Vec::new();
        };
        let inside =
            |container: &&String| self.containers.get(*container).is_some_and(|c| c.sandbox_id == id);
        pod.containers.iter().filter(inside).cloned().collect()
    }

    fn forget_empty(&mut self, uid: &str) {
        if self.of_pod.get(uid).is_some_and(|pod| pod.sandboxes.is_empty() && pod.containers.is_empty()) {
            self.of_pod.remove(uid);
        }
    }

    fn emit(&mut self, kind: Event, id: &str, sandbox_id: &str) {
        let created_at = self.now();
        let statuses = self.containers_in(sandbox_id);
        self.events.push(v1::ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind as i32,
            created_at,
            pod_sandbox_status: self.sandboxes.get(sandbox_id).map(Sandbox::status),
            containers_statuses: statuses
                .iter()
                .filter_map(|id| self.containers.get(id))
                .map(|container| self.container_status(container))
                .collect(),
        });
    }
}

fn sandbox_name(metadata: &v1::PodSandboxMetadata) -> String {
    let v1::PodSandboxMetadata { name, uid, namespace, attempt } = metadata;
    format!("{name}_{namespace}_{uid}_{attempt}")
}

fn container_name(metadata: &v1::ContainerMetadata, sandbox: &Sandbox) -> String {
    let pod = sandbox.config.metadata.clone().unwrap_or_default();
    format!("{}_{}_{}_{}_{}", metadata.name, pod.name, pod.namespace, pod.uid, metadata.attempt)
}

pub(super) fn no_sandbox(id: &str) -> Status {
    Status::not_found(format!("no sandbox with the id {id:?}: not found"))
}

pub(super) fn no_container(id: &str) -> Status {
    Status::not_found(format!("no container with the id {id:?}: not found"))
}

#[cfg(test)]
mod tests {
    use types::{PodName, PodRef};

    use super::*;
    use crate::fake::{IMAGE, container_config, sandbox_config};

    fn pod() -> PodRef {
        PodRef { name: PodName::new("shop", "web"), uid: "u-1".into() }
    }

    fn create(store: &mut Store, sandbox: &str, attempt: u32) -> Result<String, Status> {
        store.create_container(v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(container_config(&pod(), "app", attempt)),
            sandbox_config: None,
        })
    }

    fn with_sandbox() -> (Store, String) {
        let mut store = Store::fresh();
        store.add_image(IMAGE, 1, false);
        let sandbox = store.run_pod_sandbox(sandbox_config(&pod(), 0), String::new()).unwrap();
        (store, sandbox)
    }

    #[test]
    fn names_are_taken_until_they_are_removed() {
        let (mut store, sandbox) = with_sandbox();
        let first = create(&mut store, &sandbox, 0).unwrap();
        assert!(create(&mut store, &sandbox, 0).unwrap_err().message().contains("is reserved for"));
        assert_eq!(store.violations.len(), 1);
        store.remove_container(&first);
        create(&mut store, &sandbox, 0).unwrap();
        store.run_pod_sandbox(sandbox_config(&pod(), 0), String::new()).unwrap_err();
        assert_eq!(store.violations.len(), 2);
        store.stop_pod_sandbox(&sandbox);
        store.remove_pod_sandbox(&sandbox);
        assert!(store.containers.is_empty() && store.of_pod.is_empty() && store.names.is_empty());
        store.run_pod_sandbox(sandbox_config(&pod(), 0), String::new()).unwrap();
        assert_eq!(store.violations.len(), 2);
    }

    #[test]
    fn what_no_kubelet_does_is_a_violation() {
        let (mut store, sandbox) = with_sandbox();
        let first = create(&mut store, &sandbox, 0).unwrap();
        store.start_container(&first).unwrap();
        store.start_container(&first).unwrap_err();
        let second = create(&mut store, &sandbox, 1).unwrap();
        store.start_container(&second).unwrap();
        store.remove_container(&first);
        store.run_pod_sandbox(sandbox_config(&pod(), 1), String::new()).unwrap();
        store.remove_pod_sandbox(&sandbox);
        let expected =
            ["started again", "ran at once", "while it ran", "had a ready one", "while it was ready"];
        assert_eq!(store.violations.len(), expected.len(), "{:?}", store.violations);
        for (violation, expected) in store.violations.iter().zip(expected) {
            assert!(violation.contains(expected), "{violation}");
        }
    }

    #[test]
    fn a_stopped_sandbox_runs_nothing() {
        let (mut store, sandbox) = with_sandbox();
        let running = create(&mut store, &sandbox, 0).unwrap();
        let created = create(&mut store, &sandbox, 1).unwrap();
        store.start_container(&running).unwrap();
        store.stop_pod_sandbox(&sandbox);
        assert_eq!(store.containers[&running].exit_code, KILLED);
        store.start_container(&created).unwrap_err();
        create(&mut store, &sandbox, 2).unwrap_err();
        assert!(store.sandboxes[&sandbox].ips.is_empty());
        assert!(store.violations.is_empty());
    }

    #[test]
    fn what_is_missing_is_refused() {
        let (mut store, sandbox) = with_sandbox();
        assert_eq!(create(&mut store, "none", 0).unwrap_err().code(), tonic::Code::NotFound);
        assert_eq!(store.start_container("none").unwrap_err().code(), tonic::Code::NotFound);
        store.images.clear();
        assert_eq!(create(&mut store, &sandbox, 0).unwrap_err().code(), tonic::Code::NotFound);
        store.run_pod_sandbox(sandbox_config(&pod(), 7), "unknown".to_owned()).unwrap_err();
        assert!(store.violations.is_empty());
    }
}
