use std::os::unix::fs::symlink;
use std::sync::atomic::Ordering::Relaxed;

use cgroup::{Hierarchies, Version};
use telemetry::metrics::Registry;
use types::ObservedPod;

use super::*;
use crate::needs::PodView;
use crate::testing::{Fake, driver_usage, image_fs, node_view, pod_view, reading, told};

/// A machine in a directory: cgroups (v2) of the pod of [`pod_view`], its volumes and its logs.
struct Place {
    dir: tempfile::TempDir,
    fake: Fake,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), fake: Fake::default() };
        for (group, usage_us, memory) in [
            ("", 900, 9000),
            ("kubepods", 500, 5000),
            ("kubepods/poduid1", 300, 3000),
            ("kubepods/poduid1/web1", 200, 2000),
        ] {
            let group = Path::new("cgroup").join(group);
            place.write(&group.join("cpu.stat"), &format!("usage_usec {usage_us}\n"));
            place.write(&group.join("memory.stat"), "anon 1\nfile 2\n");
            if memory < 9000 {
                place.write(&group.join("memory.current"), &format!("{memory}\n"));
            }
        }
        place.write(Path::new("root/pods/uid1/volumes/scratch/file"), "x");
        *place.fake.driver.lock().unwrap() = Some(driver_usage(9));
        place.write(Path::new("root/logs/shop_front_uid1/web/0.log"), "a line\n");
        place.write(Path::new("root/logs/shop_front_uid1/sandbox.log"), "another\n");
        place.write(Path::new("root/pods/uid1/etc-hosts"), "::1 localhost\n");
        let mut info = image_fs();
        info.images[0].mountpoint = place.dir.path().to_owned();
        *place.fake.pods.lock().unwrap() = vec![pod_view(&place.root())];
        *place.fake.node.lock().unwrap() = node_view();
        *place.fake.image_fs.lock().unwrap() = Some(info);
        *place.fake.told.lock().unwrap() = Some(vec![told("web1", 2), told("vm1", 3)]);
        place
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn write(&self, path: &Path, text: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn stats(&self, root_dir: PathBuf) -> Stats<Fake> {
        let cgroups = Hierarchies::find(Version::V2, &self.dir.path().join("cgroup")).unwrap();
        let volume_period = Some(Duration::from_secs(60));
        let settings = Settings { node_name: "node1".to_owned(), root_dir, volume_period };
        let metrics = Metrics::register(&Registry::new());
        Stats::new(settings, UsageReader::new(cgroups), self.fake.clone(), &metrics)
    }

    /// Leaves the pod only the container whose cgroup is in sight.
    fn without_vm(&self) {
        let mut pods = self.fake.pods.lock().unwrap();
        let mut observed = ObservedPod::clone(&pods[0].observed);
        observed.containers.retain(|container| &*container.name == "web");
        pods[0] = PodView { observed: Arc::new(observed), ..pods[0].clone() };
    }

    fn asked_runtime(&self) -> usize {
        self.fake.asked_runtime.load(Relaxed)
    }
}

#[tokio::test]
async fn everything_comes_together() {
    let place = Place::new();
    let summary = place.stats(place.root()).summary(false).await.unwrap();
    let pod = &summary.pods[0];
    let of = |name| pod.containers.iter().find(|container| container.name == name).unwrap();
    let (web, vm) = (of("web"), of("vm"));
    assert_eq!(web.cpu.as_ref().unwrap().usage_core_nano_seconds, Some(200_000));
    assert_eq!(web.cpu.as_ref().unwrap().usage_nano_cores, Some(200_000_000), "the runtime's, at first");
    assert_eq!(web.memory.as_ref().unwrap().usage_bytes, Some(2000));
    assert_eq!(vm.memory.as_ref().unwrap().working_set_bytes, Some(2700), "the runtime's");
    assert_eq!(web.rootfs.as_ref().unwrap().used_bytes, Some(20_000));
    assert_eq!(web.logs.as_ref().unwrap().inodes_used, Some(2));
    assert!(vm.logs.is_none(), "it has not written any");
    assert_eq!(pod.memory.as_ref().unwrap().usage_bytes, Some(3000));

    let volumes: Vec<_> = pod.volumes.iter().map(|volume| (&*volume.name, volume.fs.inodes_used)).collect();
    assert_eq!(volumes, [("scratch", Some(2)), ("data", Some(900))], "without the one that does not answer");
    // Two layers, a container's logs, a volume, the sandbox's log and the hosts file.
    assert_eq!(pod.ephemeral_storage.as_ref().unwrap().inodes_used, Some(20 + 30 + 2 + 2 + 1 + 1));
    let node = &summary.node;
    assert!(node.fs.as_ref().unwrap().capacity_bytes > Some(0));
    assert!(node.runtime.as_ref().unwrap().image_fs.as_ref().unwrap().capacity_bytes > Some(0));
    assert!(node.rlimit.as_ref().unwrap().curproc > 0);
    assert_eq!(node.system_containers.len(), 1, "only those that there are");
    assert_eq!(node.memory.as_ref().unwrap().usage_bytes, Some(3), "of the root, what its parts add up to");
}

#[tokio::test]
async fn those_who_ask_at_once_share_a_reading() {
    let place = Place::new();
    let stats = place.stats(place.root());
    let (whole, part, text) =
        tokio::join!(stats.summary(false), stats.summary(true), stats.resource_metrics());
    assert_eq!(place.fake.asked_pods.load(Relaxed), 1);
    assert!(whole.unwrap().node.fs.is_some() && part.unwrap().node.fs.is_none());
    assert!(text.contains("\nresource_scrape_error 0\n"), "{text}");
    assert!(text.contains("pod_memory_working_set_bytes{namespace=\"shop\",pod=\"front\"} "), "{text}");
    let text = stats.cadvisor_metrics().await;
    assert_eq!(place.fake.asked_pods.load(Relaxed), 2);
    assert!(text.contains("\ncontainer_scrape_error 0\n"), "{text}");
    assert!(text.contains("container=\"web\",id=\"/kubepods/poduid1/web1\""), "{text}");
}

#[tokio::test]
async fn a_runtime_that_is_away_is_missed_only_where_it_counts() {
    let place = Place::new();
    *place.fake.told.lock().unwrap() = None;
    *place.fake.image_fs.lock().unwrap() = None;
    let summary = place.stats(place.root()).summary(false).await.unwrap();
    let pod = &summary.pods[0];
    assert!(summary.node.runtime.is_none() && summary.node.fs.is_some());
    assert!(pod.containers.iter().all(|container| container.rootfs.is_none()));
    assert_eq!(pod.memory.as_ref().unwrap().usage_bytes, Some(3000));
}

#[tokio::test]
async fn the_runtime_is_asked_for_what_the_kernel_does_not_know() {
    let place = Place::new();
    let stats = place.stats(place.root());
    stats.resource_metrics().await;
    assert_eq!(place.asked_runtime(), 1, "one container is out of sight");
    place.without_vm();
    stats.resource_metrics().await;
    stats.cadvisor_metrics().await;
    assert_eq!(place.asked_runtime(), 1);
    stats.summary(true).await.unwrap();
    assert_eq!(place.asked_runtime(), 2, "there is no rate yet");
    stats.summary(false).await.unwrap();
    assert_eq!(place.asked_runtime(), 3, "for the writable layers");
}

#[tokio::test]
async fn a_root_directory_behind_a_link() {
    let place = Place::new();
    let link = place.dir.path().join("link");
    symlink(place.root(), &link).unwrap();
    *place.fake.pods.lock().unwrap() = vec![pod_view(&link)];
    let summary = place.stats(link).summary(false).await.unwrap();
    assert_eq!(summary.pods[0].volumes.len(), 2, "the other one hangs");
    assert!(summary.node.fs.is_some());
}

#[tokio::test]
async fn volumes_are_left_out_where_that_is_asked() {
    let place = Place::new();
    let mut stats = place.stats(place.root());
    Arc::get_mut(&mut stats.shared).unwrap().settings.volume_period = None;
    let summary = stats.summary(false).await.unwrap();
    assert!(summary.pods[0].volumes.is_empty() && summary.node.fs.is_some());
    assert_eq!(stats.claims().await, []);
    assert!(place.fake.asked_driver.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_claim_of_two_pods_is_asked_for_once() {
    let place = Place::new();
    {
        let mut pods = place.fake.pods.lock().unwrap();
        let mut other = pods[0].clone();
        let mut observed = ObservedPod::clone(&other.observed);
        observed.pod.uid = "uid2".into();
        other.observed = Arc::new(observed);
        other.volumes.retain(|volume| volume.name == "data");
        other.volumes[0].name = "disk".to_owned();
        pods.push(other);
    }
    let stats = place.stats(place.root());
    let claims = stats.claims().await;
    let claim = claims[0].claim.as_ref().unwrap();
    assert_eq!((claims.len(), &*claim.namespace, &*claim.name), (1, "shop", "claim1"));
    let summary = stats.summary(false).await.unwrap();
    let all = summary.pods.iter().flat_map(|pod| &pod.volumes).filter(|volume| volume.claim.is_some());
    assert_eq!(all.map(|volume| &*volume.name).collect::<Vec<_>>(), ["data", "disk"]);
    let asked = place.fake.asked_driver.lock().unwrap();
    let names: Vec<Vec<_>> = asked.iter().map(|all| all.iter().map(|one| &*one.volume).collect()).collect();
    assert_eq!(names, [["data", "disk"]], "what was told a moment ago still holds");
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_hangs_is_not_followed_by_another() {
    let place = Place::new();
    let stats = place.stats(place.root());
    let hanging = Arc::clone(&stats.shared.reader).acquire_owned().await.unwrap();
    assert!(matches!(stats.summary(true).await, Err(StatsError::Busy)));
    assert!(stats.resource_metrics().await.contains("\nresource_scrape_error 1\n"));
    assert!(stats.cadvisor_metrics().await.contains("\ncontainer_scrape_error 1\n"));
    assert_eq!(place.fake.asked_pods.load(Relaxed), 0);
    drop(hanging);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_hangs_is_waited_for_a_while() {
    let begun = tokio::time::Instant::now();
    assert_eq!(super::told("ImageFsInfo", std::future::pending::<Result<(), _>>()).await, None);
    assert_eq!(begun.elapsed(), RUNTIME_PATIENCE);
}

#[test]
fn when_the_runtime_is_asked() {
    let (mut seen, mut none) = (reading(), reading());
    seen.pods[0].containers.retain(|container| container.member.is_some());
    none.pods.clear();
    let unseen = reading();
    let (first, mut later) = (Rates::default(), Rates::default());
    let mut earlier = reading();
    if let Some(root) = &mut earlier.node.root {
        root.moment.since_boot -= Duration::from_secs(20);
    }
    later.update(earlier.rated());
    later.update(unseen.rated());
    use Kind::{Cadvisor, CpuAndMemory, Resource, Summary};
    for (kind, reading, rates, expected) in [
        (Resource, &seen, &first, false),
        (Resource, &unseen, &later, true),
        (CpuAndMemory, &seen, &first, true),
        (CpuAndMemory, &seen, &later, false),
        (CpuAndMemory, &unseen, &later, true),
        (Summary, &seen, &later, true),
        (Summary, &none, &first, false),
        (Cadvisor, &unseen, &first, false),
    ] {
        assert_eq!(asks_runtime(kind, reading, rates), expected, "{kind:?}");
    }
}
