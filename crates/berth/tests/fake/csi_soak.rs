//! berth is killed between any two steps of what is done with volumes of a CSI driver that really mounts, while pods come
//! and go. After each round nothing is mounted twice, nothing is left, and nobody's data was touched.
//!
//! `BERTH_SOAK_ROUNDS` and `BERTH_SOAK_SEED` say how often, and which chance; the test prints both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use csi::{Layout, VolumeId};
use linux::mount::Tmpfs;
use linux::mountinfo::MountTable;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use testkit::csi::{DriverOptions, Mounting, TestDriver};
use testkit::plugin::{Call, Fault, FaultGuard, Moment, Strike};
use testkit::pod::pod;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use types::PodUid;
use types::corev1::{PersistentVolume, PersistentVolumeClaim};
use types::k8s::api::storage::v1::CSIDriver;

use crate::api_server::ApiRig;
use crate::dice::Dice;
use crate::rig::is_ready;

const DRIVER: &str = "d.example";
/// Volumes that pods share by their claims.
const SHARED: u64 = 3;
/// How many rounds there are if nobody says.
const ROUNDS: u64 = 6;
/// A round that failed is tried again after ten seconds.
const CONVERGES: Duration = Duration::from_secs(60);
/// The file in a volume that its pods write.
const DATA: &str = "data";

/// When berth is killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// While the driver is in a call, before or after it did what was asked.
    In(&'static str, Moment),
    /// As soon as this part of a volume that is made is there.
    Made(Part),
    /// As soon as this part of a volume that is taken down is gone.
    Gone(Part),
    /// At any moment.
    Anywhere,
}

/// What a volume has on disk.
#[derive(Clone, Copy, Debug)]
enum Part {
    StagingDir,
    HalfStagingNote,
    StagingNote,
    StagingPath,
    TargetDir,
    HalfTargetNote,
    TargetNote,
    TargetPath,
    Mark,
}

const KILLS: [Kill; 28] = {
    use Kill::{Anywhere, Gone, In, Made};
    use Moment::{After, Before};
    use Part::*;
    [
        In("NodeStageVolume", Before),
        In("NodeUnstageVolume", After),
        Made(TargetNote),
        Gone(TargetPath),
        Anywhere,
        In("NodePublishVolume", After),
        In("NodeUnpublishVolume", Before),
        Made(StagingDir),
        Gone(Mark),
        In("NodeStageVolume", After),
        In("NodeUnstageVolume", Before),
        Made(TargetDir),
        Gone(StagingNote),
        Anywhere,
        In("NodePublishVolume", Before),
        In("NodeUnpublishVolume", After),
        Made(Mark),
        Gone(TargetNote),
        Made(StagingNote),
        Gone(TargetDir),
        Anywhere,
        Made(HalfTargetNote),
        Gone(StagingPath),
        Made(StagingPath),
        Made(TargetPath),
        Gone(StagingDir),
        Made(HalfStagingNote),
        Anywhere,
    ]
};

impl Kill {
    /// Whether a volume is made for it, and not taken down.
    fn comes(self) -> bool {
        match self {
            Self::In(call, _) => !call.starts_with("NodeUn"),
            Self::Made(_) | Self::Anywhere => true,
            Self::Gone(_) => false,
        }
    }
}

/// One volume of a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Has {
    spec_name: String,
    handle: String,
    staged: bool,
}

/// A pod that is or was wanted.
#[derive(Clone, Debug)]
struct Guest {
    name: String,
    uid: String,
    volumes: Vec<Has>,
}

impl Guest {
    /// Whether it has a volume that no other pod has.
    fn has_own(&self) -> bool {
        self.volumes.iter().any(|has| has.handle.starts_with("own-"))
    }
}

struct Soak {
    api: ApiRig,
    driver: TestDriver,
    dir: tempfile::TempDir,
    /// The root directory, as the mount table has it.
    root: PathBuf,
    dice: Dice,
    pods: Vec<Guest>,
    gone: Vec<Guest>,
    /// What was last written to each volume.
    data: BTreeMap<String, Vec<u8>>,
    made: u64,
    /// Holds up a call of a berth that is gone.
    late: Option<FaultGuard>,
    /// Whether berth is stopped, to go on later.
    held: bool,
    /// What a volume's places looked like when berth was killed, and how often.
    hit: BTreeMap<String, u64>,
}

impl Soak {
    async fn start(seed: u64) -> Self {
        Self::on(ApiRig::start().await, seed).await
    }

    async fn on(api: ApiRig, seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let driver = TestDriver::start(dir.path(), DriverOptions::new(DRIVER, Mounting::Real)).unwrap();
        let object = json!({"metadata": {"name": DRIVER},
            "spec": {"attachRequired": false, "volumeLifecycleModes": ["Persistent", "Ephemeral"]}});
        let object: CSIDriver = serde_json::from_value(object).unwrap();
        api.server.client.create(None, &object).await.unwrap();
        let root = fs::canonicalize(api.rig.root()).unwrap();
        let (pods, gone, data, hit) = (Vec::new(), Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut soak = Self {
            api,
            driver,
            dir,
            root,
            dice: Dice(seed),
            pods,
            gone,
            data,
            made: 0,
            late: None,
            held: false,
            hit,
        };
        for n in 0..SHARED {
            soak.volume(&format!("shared-{n}")).await;
            soak.claim(&format!("claim-{n}"), &format!("shared-{n}")).await;
        }
        let registry = soak.root.join("plugins_registry");
        fs::create_dir_all(&registry).unwrap();
        soak.driver.register(&registry).unwrap();
        soak
    }

    /// Makes a PersistentVolume; its handle is its name.
    async fn volume(&self, name: &str) {
        let volume = json!({"metadata": {"name": name}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem",
            "storageClassName": "", "persistentVolumeReclaimPolicy": "Retain",
            "csi": {"driver": DRIVER, "volumeHandle": name}}});
        let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
        self.api.server.client.create(None, &volume).await.unwrap();
    }

    /// Makes a claim for a volume.
    async fn claim(&self, name: &str, volume: &str) {
        let claim = json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume,
                "resources": {"requests": {"storage": "1Gi"}}}});
        self.api.server.make::<PersistentVolumeClaim>(claim).await;
        self.bound(name, volume).await;
    }

    /// Waits until the claim has the volume.
    async fn bound(&self, name: &str, volume: &str) {
        let is_bound = |claim: PersistentVolumeClaim| {
            let has = claim.spec.is_some_and(|spec| spec.volume_name.as_deref() == Some(volume));
            has && claim.status.is_some_and(|status| status.phase.as_deref() == Some("Bound"))
        };
        while !self.api.server.client.get(Some("default"), name).await.is_ok_and(is_bound) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Makes a pod, with a volume of its own if it is to be `alone`, and any others.
    async fn come(&mut self, alone: bool) -> Guest {
        self.made += 1;
        let name = format!("pod-{}", self.made);
        let own = alone || self.dice.roll(3) == 0;
        let inline = self.dice.roll(3) == 0;
        let claim = (self.dice.roll(2) == 0 || !(own || inline)).then(|| self.dice.roll(SHARED));
        let template = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        let volumes: Vec<Value> = [
            own.then(|| json!({"name": "own", "ephemeral": {"volumeClaimTemplate": template}})),
            inline.then(|| json!({"name": "inline", "csi": {"driver": DRIVER}})),
            claim.map(
                |n| json!({"name": "shared", "persistentVolumeClaim": {"claimName": format!("claim-{n}")}}),
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mount = |volume: &Value| json!({"name": volume["name"], "mountPath": format!("/{}", volume["name"].as_str().unwrap())});
        let mounts: Vec<_> = volumes.iter().map(mount).collect();
        let builder = pod(&name)
            .container("app", &["run"])
            .with_container("app", &json!({"volumeMounts": mounts}))
            .with_spec(&json!({"volumes": volumes}));
        // Its claim is there when berth first looks: what failed is only tried again after a while.
        self.signal(Signal::STOP);
        self.api.server.create(&builder).await;
        let uid = self.api.server.pod(&name).await["metadata"]["uid"].as_str().unwrap().to_owned();
        let mut guest = Guest { name, uid, volumes: Vec::new() };
        let of_pv = |handle: String| Has { spec_name: handle.clone(), handle, staged: true };
        if own {
            let volume = format!("own-{}", self.made);
            self.volume(&volume).await;
            self.bound(&format!("{}-own", guest.name), &volume).await;
            guest.volumes.push(of_pv(volume));
        }
        if inline {
            let handle = VolumeId::ephemeral_handle(&PodUid::from(guest.uid.as_str()), "inline");
            guest.volumes.push(Has { spec_name: "inline".to_owned(), handle, staged: false });
        }
        guest.volumes.extend(claim.map(|n| of_pv(format!("shared-{n}"))));
        if !self.held {
            self.signal(Signal::CONT);
        }
        self.pods.push(guest.clone());
        guest
    }

    /// Deletes a pod: one with a volume of its own if it has to be `alone`, or any.
    async fn go(&mut self, alone: bool) -> Option<Guest> {
        let fit: Vec<usize> =
            (0..self.pods.len()).filter(|index| !alone || self.pods[*index].has_own()).collect();
        if fit.is_empty() {
            return None;
        }
        let guest = self.pods.remove(fit[self.dice.index(&fit)]);
        let grace = if self.dice.roll(2) == 0 { 0 } else { 1 };
        self.api.server.delete(&guest.name, Some(grace)).await;
        self.gone.push(guest.clone());
        Some(guest)
    }

    fn staging_dir(&self, handle: &str) -> PathBuf {
        let volume = VolumeId { driver: DRIVER.to_owned(), handle: handle.to_owned() };
        Layout::new(self.root.clone()).staging_path(&volume).parent().unwrap().to_owned()
    }

    fn target_dir(&self, pod: &Guest, has: &Has) -> PathBuf {
        self.root.join("pods").join(&pod.uid).join("volumes/kubernetes.io~csi").join(&has.spec_name)
    }

    fn path(&self, pod: &Guest, has: &Has, part: Part) -> PathBuf {
        let (staging, target) = (self.staging_dir(&has.handle), self.target_dir(pod, has));
        let marks = self.root.join("pods").join(&pod.uid).join("plugins/kubernetes.io~csi");
        match part {
            Part::StagingDir => staging,
            Part::HalfStagingNote => staging.join(".vol_data.json.new"),
            Part::StagingNote => staging.join("vol_data.json"),
            Part::StagingPath => staging.join("globalmount"),
            Part::TargetDir => target,
            Part::HalfTargetNote => target.join(".vol_data.json.new"),
            Part::TargetNote => target.join("vol_data.json"),
            Part::TargetPath => target.join("mount"),
            Part::Mark => marks.join(&has.spec_name).join("ready"),
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.api.rig.pid()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Kills berth at the moment.
    async fn kill(&mut self, kill: Kill) {
        // It must not be past the moment before this looks.
        self.held = matches!(kill, Kill::Made(_) | Kill::Gone(_));
        if self.held {
            self.signal(Signal::STOP);
        }
        let hang = match kill {
            Kill::In(call, moment) => {
                Some(self.driver.raise(Strike::new(call, moment, Fault::Hang).times(1)))
            }
            _ => None,
        };
        self.driver.forget_calls();
        // One whose volumes are there, and not one that has just come.
        let goes = if kill.comes() { None } else { self.go(true).await };
        if self.dice.roll(2) == 0 {
            self.come(false).await;
        }
        if kill.comes() && self.dice.roll(3) == 0 {
            self.go(false).await;
        }
        let subject = match goes {
            Some(pod) => pod,
            None => self.come(true).await,
        };
        match kill {
            Kill::In(call, _) => {
                let asked = |calls: &[Call]| calls.iter().any(|seen| seen.name == call);
                self.driver.wait(CONVERGES, asked).await.unwrap();
                self.api.rig.kill();
                // The driver goes on with what it was asked, at once or while the next berth is there already.
                self.late = hang.filter(|_| self.dice.roll(3) == 0);
            }
            Kill::Made(part) | Kill::Gone(part) => {
                let has = subject.volumes.iter().find(|has| has.handle.starts_with("own-")).unwrap();
                // A half note is there for a moment that may be missed.
                let after = match part {
                    Part::HalfStagingNote => Part::StagingNote,
                    Part::HalfTargetNote => Part::TargetNote,
                    part => part,
                };
                let paths = [part, after].map(|part| self.path(&subject, has, part));
                let there = kill.comes();
                let pid = Pid::from_raw(i32::try_from(self.api.rig.pid()).unwrap()).unwrap();
                self.held = false;
                let watching = spawn_blocking(move || kill_when(pid, &paths, there));
                self.signal(Signal::CONT);
                assert!(watching.await.unwrap(), "{kill:?} has not come");
                self.api.rig.ended().await;
            }
            Kill::Anywhere => {
                // Not to wait for something, but to be killed at another moment each time.
                sleep(Duration::from_millis(self.dice.roll(120))).await;
                self.api.rig.kill();
            }
        }
        self.count(kill);
    }

    /// Takes down what the volumes of all pods looked like when berth was killed.
    fn count(&mut self, kill: Kill) {
        let mounts = MountTable::read().unwrap();
        let guests: Vec<Guest> = self.pods.iter().chain(&self.gone).cloned().collect();
        let mut seen = BTreeSet::new();
        for (pod, has) in guests.iter().flat_map(|pod| pod.volumes.iter().map(move |has| (pod, has))) {
            let is = |part| self.path(pod, has, part).symlink_metadata().is_ok();
            let name = |part, text: &'static str| if is(part) { text } else { "" };
            let mounted =
                |part| if mounts.is_mount_point(&self.path(pod, has, part)) { " mounted" } else { "" };
            let target = [
                name(Part::TargetDir, "target: directory"),
                name(Part::HalfTargetNote, " half-note"),
                name(Part::TargetNote, " note"),
                name(Part::TargetPath, " path"),
                mounted(Part::TargetPath),
                name(Part::Mark, " mark"),
            ];
            seen.insert((target.concat(), pod.uid.clone(), has.spec_name.clone()));
            let staging = [
                name(Part::StagingDir, "staging: directory"),
                name(Part::HalfStagingNote, " half-note"),
                name(Part::StagingNote, " note"),
                name(Part::StagingPath, " path"),
                mounted(Part::StagingPath),
            ];
            seen.insert((staging.concat(), String::new(), has.handle.clone()));
        }
        for (what, ..) in seen.into_iter().filter(|(what, ..)| !what.is_empty()) {
            *self.hit.entry(what).or_default() += 1;
        }
        *self.hit.entry(format!("{kill:?}")).or_default() += 1;
        self.mounts();
    }

    /// What is mounted below the root directory for volumes.
    fn mounts(&self) -> BTreeSet<PathBuf> {
        let mounts = MountTable::read().unwrap();
        let mut points = BTreeSet::new();
        for mount in mounts.below(&self.root) {
            assert!(points.insert(mount.point.clone()), "mounted twice: {}", mount.point.display());
        }
        points.retain(|point| {
            point
                .components()
                .any(|part| ["kubernetes.io~csi", "csi"].map(AsRef::as_ref).contains(&part.as_os_str()))
        });
        points
    }

    /// What is not as it should be in the end.
    async fn differences(&self) -> Vec<String> {
        let mut all = Vec::new();
        for pod in &self.pods {
            if !is_ready(&self.api.server.pod(&pod.name).await) {
                all.push(format!("{} is not ready", pod.name));
            }
        }
        for pod in &self.gone {
            if !self.api.server.pod(&pod.name).await.is_null() {
                all.push(format!("{} is not gone", pod.name));
            }
        }
        let mut compare = |what: &str, is: BTreeSet<PathBuf>, wanted: &BTreeSet<PathBuf>| {
            all.extend(is.difference(wanted).map(|path| format!("{what}: {} is left", path.display())));
            all.extend(wanted.difference(&is).map(|path| format!("{what}: {} is missing", path.display())));
        };
        let volumes = || self.pods.iter().flat_map(|pod| pod.volumes.iter().map(move |has| (pod, has)));
        let targets: BTreeSet<_> = volumes().map(|(pod, has)| self.target_dir(pod, has)).collect();
        let staged: BTreeSet<_> =
            volumes().filter(|(_, has)| has.staged).map(|(_, has)| self.staging_dir(&has.handle)).collect();
        let uids: BTreeSet<_> = self.pods.iter().map(|pod| self.root.join("pods").join(&pod.uid)).collect();
        let marks = uids.iter().flat_map(|pod| entries(&pod.join("plugins/kubernetes.io~csi"))).collect();
        let wanted_marks = volumes()
            .map(|(pod, has)| self.path(pod, has, Part::Mark).parent().unwrap().to_owned())
            .collect();
        compare("pods", entries(&self.root.join("pods")), &uids);
        compare(
            "targets",
            uids.iter().flat_map(|pod| entries(&pod.join("volumes/kubernetes.io~csi"))).collect(),
            &targets,
        );
        compare("marks", marks, &wanted_marks);
        compare("staging", entries(&self.root.join("plugins/kubernetes.io/csi").join(DRIVER)), &staged);
        let paths = |dirs: &BTreeSet<PathBuf>, name: &str| -> BTreeSet<PathBuf> {
            dirs.iter().map(|dir| dir.join(name)).collect()
        };
        let (targets, staged) = (paths(&targets, "mount"), paths(&staged, "globalmount"));
        compare("the driver's published", self.driver.published().into_keys().map(real).collect(), &targets);
        compare("the driver's staged", self.driver.staged().into_values().map(real).collect(), &staged);
        compare("mounts", self.mounts(), &targets.union(&staged).cloned().collect());
        all
    }

    async fn converge(&mut self, round: &str) {
        let give_up = Instant::now() + CONVERGES;
        loop {
            let differences = self.differences().await;
            if differences.is_empty() {
                break;
            }
            assert!(Instant::now() < give_up, "{round}: {differences:#?}");
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.driver.damage(), Vec::<String>::new(), "{round}");
        self.gone.clear();
        for pod in self.pods.clone() {
            for has in &pod.volumes {
                let path = self.target_dir(&pod, has).join("mount").join(DATA);
                assert_eq!(
                    fs::read(&path).ok().as_ref(),
                    self.data.get(&has.handle),
                    "{round}: {}",
                    path.display()
                );
                let bytes: Vec<u8> = (0..4096).map(|_| u8::try_from(self.dice.roll(256)).unwrap()).collect();
                fs::write(&path, &bytes).unwrap();
                self.data.insert(has.handle.clone(), bytes);
            }
        }
        for (handle, data) in &self.data {
            let path = self.dir.path().join("volumes").join(handle).join(DATA);
            assert!(fs::read(&path).unwrap() == *data, "{round}: {} was touched", path.display());
        }
    }

    async fn round(&mut self, round: u64, kill: Kill) {
        while self.pods.len() < 4 || !self.pods.iter().any(Guest::has_own) {
            self.come(true).await;
        }
        let name = format!("round {round}, {kill:?}");
        self.converge(&format!("before {name}")).await;
        self.kill(kill).await;
        if self.dice.roll(3) == 0 {
            // The driver's connections break, too, and it listens anew.
            self.driver.restart().unwrap();
        }
        if self.dice.roll(3) == 0 {
            // A pod that goes while berth is away.
            self.go(false).await;
        }
        let is_away = self.dice.roll(8) == 0;
        if is_away {
            self.api.server.stop().await;
            *self.hit.entry("without the API server".to_owned()).or_default() += 1;
        }
        self.api.rig.launch();
        for _ in 0..self.dice.roll(3) {
            // Not to wait for something, but to be killed at another moment each time.
            sleep(Duration::from_millis(40 + self.dice.roll(300))).await;
            self.api.rig.kill();
            self.count(Kill::Anywhere);
            self.api.rig.launch();
        }
        if is_away {
            self.api.server.come_back().await;
        }
        if let Some(late) = self.late.take() {
            *self.hit.entry("with a call that ends late".to_owned()).or_default() += 1;
            // Not to wait for something, but to be at another moment each time.
            sleep(Duration::from_millis(self.dice.roll(300))).await;
            drop(late);
        }
        self.converge(&name).await;
        while self.pods.len() > 6 {
            self.go(false).await;
        }
    }
}

/// Kills the process as soon as one of `paths` is there, or is not.
fn kill_when(pid: Pid, paths: &[PathBuf], there: bool) -> bool {
    let give_up = Instant::now() + CONVERGES;
    // Busy: what comes next may be there a millisecond later.
    while !paths.iter().any(|path| path.symlink_metadata().is_ok() == there) {
        if Instant::now() > give_up {
            return false;
        }
        std::thread::yield_now();
    }
    kill_process(pid, Signal::KILL).unwrap();
    true
}

fn entries(dir: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// The path as the mount table has it.
fn real(path: PathBuf) -> PathBuf {
    fs::canonicalize(&path).unwrap_or(path)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_killed_between_any_two_steps_of_a_volume() {
    let (rounds, seed) = (number("BERTH_SOAK_ROUNDS", ROUNDS), number("BERTH_SOAK_SEED", 6));
    println!("BERTH_SOAK_ROUNDS={rounds} BERTH_SOAK_SEED={seed}");
    let mut soak = Soak::start(seed).await;
    for round in 0..rounds {
        let kill = KILLS[usize::try_from(round).unwrap() % KILLS.len()];
        let begun = Instant::now();
        soak.round(round, kill).await;
        println!("round {round}: {kill:?}, {:?}", begun.elapsed());
    }
    while soak.go(false).await.is_some() {}
    soak.converge("the end").await;
    println!("{rounds} rounds, {} pods; killed at: {:#?}", soak.made, soak.hit);
    soak.api.rig.assert_proper();
}

/// A file system that is full: nothing is lost, the pods are told why they wait, and all goes on when there is room.
#[tokio::test]
async fn real_a_full_root_directory() {
    let mut api = ApiRig::prepare("").await;
    let size_bytes = Some(1 << 20);
    linux::mount::tmpfs(&api.rig.root(), Tmpfs { size_bytes, ..Tmpfs::default() }).unwrap();
    api.rig.launch();
    api.server.until_node("registered", |node| !node.is_null()).await;
    let mut soak = Soak::on(api, 1).await;
    soak.come(true).await;
    soak.converge("there is room").await;
    let full = soak.root.join("full");
    let fill = || {
        let mut size = 0;
        while fs::write(&full, vec![0; size + 4096]).is_ok() {
            size += 4096;
        }
    };
    fill();
    let waits = soak.come(true).await;
    let told = |why: &Value| why.to_string().contains("No space left on device");
    soak.api.rig.until_why(&waits.name, "waits for room", told).await;
    // A restart finds what is there, and a pod can go.
    soak.api.rig.kill();
    soak.api.rig.launch();
    soak.api.rig.until_why(&waits.name, "still waits for room", told).await;
    let goes = soak.pods.remove(0);
    soak.api.server.delete(&goes.name, Some(1)).await;
    soak.api.server.until_gone(&goes.name).await;
    // What it leaves makes room, in which the other one may have begun already.
    let published = soak.driver.published();
    assert!(!published.keys().any(|path| path.to_string_lossy().contains(&goes.uid)), "{published:?}");
    assert_eq!(soak.driver.damage(), Vec::<String>::new());
    soak.gone.push(goes);
    fs::remove_file(&full).unwrap();
    soak.converge("there is room again").await;
    soak.api.rig.assert_proper();
}
