//! Disks of iSCSI targets and of Fibre Channel networks, with the machine and its programs played by files and scripts. As
//! root: what the programs would mount is bound.

use super::real::{fifo, told};
use super::*;
use crate::fc::{self, Naming};
use crate::iscsi::{self, Credentials};
use crate::run::CommandError;

const IQN: &str = "iqn.2001-04.com.example:disk";

/// Programs that make and mount file systems of disks.
pub(super) fn programs(world: &World) -> PathBuf {
    let content = world.directory("content");
    let bind = "for last; do :; done; exec /bin/mount --bind CONTENT $last";
    world.program("mount", &bind.replace("CONTENT", content.to_str().unwrap()));
    world.program("blkid", "echo TYPE=ext4");
    world.program("fsck", "");
    content
}

pub(super) fn make(world: &World, path: &str, text: &str) -> PathBuf {
    let path = world.root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

pub(super) fn link(world: &World, path: &str, to: &str) {
    let path = world.root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(to, path).unwrap();
}

/// An iscsiadm that has a session appear below `sys`, and its disk below `dev`, where `make_disk` makes `sdx`.
pub(super) fn iscsiadm(world: &World, make_disk: &str) {
    let script = r#"
        session=W/sys/class/iscsi_host/host2/device/session1
        connection=$session/connection1:0/iscsi_connection/connection1:0
        case "$*" in
        *"-o show") printf 'iface.transport_name = tcp\niface.mtu = 1500\niface.initiatorname = <empty>\n' ;;
        *"-o show -I"*) [ ! -f W/record ] || cat W/record ;;
        *10.0.0.9*--login) echo "no route" >&2; exit 8 ;;
        *10.0.0.8*--login) read x < W/gate; exit 8 ;;
        *--login)
            mkdir -p $session/iscsi_session/session1 $connection $session/target2:0:0/2:0:0:3/block/sdx
            echo IQN > $session/iscsi_session/session1/targetname
            echo 10.0.0.1 > $connection/address; echo 3260 > $connection/port
            mkdir -p W/sys/class/scsi_host/host2 W/sys/block/sdx/device W/dev/disk/by-path
            : > W/sys/class/scsi_host/host2/scan; : > W/sys/block/sdx/device/delete; MAKE
            ln -sf ../../sdx W/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-IQN-lun-3 ;;
        *--logout*) [ -d W/sys/class/iscsi_host ] || exit 21; rm -r W/sys/class/iscsi_host ;;
        esac"#;
    let script = script.replace("MAKE", make_disk);
    world.program("iscsiadm", &script.replace('W', world.root.to_str().unwrap()).replace("IQN", IQN));
}

pub(super) fn on_target(world: &World, pod: &str) -> Wanted {
    let disk = iscsi::Disk {
        volume: "pv".into(),
        portals: vec!["10.0.0.1:3260".into()],
        iqn: IQN.into(),
        lun: 3,
        initial_iface: "default".into(),
        iface: "default".into(),
        initiator: String::new(),
        chap_discovery: false,
        chap_session: false,
        secret: Credentials::default(),
        fs_type: String::new(),
    };
    world.wanted(pod, Plugin::Iscsi, "pv", Kind::Iscsi(disk))
}

#[tokio::test]
async fn a_node_without_iscsiadm_lets_the_pod_go() {
    let world = World::new();
    let error = world.volumes.prepare(&on_target(&world, "a")).await.unwrap_err();
    assert!(error.to_string().contains("iscsiadm"), "{error}");
    let device = format!("root/plugins/kubernetes.io/iscsi/iface-default/10.0.0.1:3260-{IQN}-lun-3");
    assert!(world.root.join(&device).exists());
    world.take_down("a").await.unwrap();
    assert!(!world.root.join(&device).exists());
}

/// Whoever had a session end or begin waits no longer, or was killed. That it is there, or not, says nothing then.
#[tokio::test]
async fn a_session_that_is_being_ended_or_begun_is_waited_for() {
    let mut world = World::new();
    let (here, gate) = (fifo(&world, "here"), fifo(&world, "gate"));
    let script = "hold() { echo x > W/here; read x < W/gate; }
        case \"$*\" in
        *show) echo 'iface.transport_name = tcp' ;;
        *--logout*) hold; rm -r W/sys/class/iscsi_host ;;
        *--login) hold; exit 8 ;;
        esac";
    world.program("iscsiadm", &script.replace('W', world.root.to_str().unwrap()));
    let session = "sys/class/iscsi_host/host2/device/session1";
    make(&world, &format!("{session}/iscsi_session/session1/targetname"), IQN);
    let connection = format!("{session}/connection1:0/iscsi_connection/connection1:0");
    make(&world, &format!("{connection}/address"), "10.0.0.1");
    make(&world, &format!("{connection}/port"), "3260");
    make(&world, "sys/class/scsi_host/host2/scan", "");
    // A crash left a disk attached for nobody.
    let devices = world.root.join("root/plugins/kubernetes.io/iscsi/iface-default");
    fs::create_dir_all(devices.join(format!("10.0.0.1:3260-{IQN}-lun-3"))).unwrap();
    let mut ends = world.volumes.late_ends();
    tokio::select! {
        failed = world.volumes.reclaim() => panic!("{failed:?}"),
        () = told(&here) => {}
    }

    // Another disk of the target would be found by the session that ends.
    fs::create_dir_all(world.root.join(format!("{session}/target2:0:0/2:0:0:9/block/sdy"))).unwrap();
    make(&world, "dev/sdy", "");
    link(&world, &format!("dev/disk/by-path/ip-10.0.0.1:3260-iscsi-{IQN}-lun-9"), "../../sdy");
    programs(&world);
    let disk = |pod: &str, number| {
        let mut wanted = on_target(&world, pod);
        let Kind::Iscsi(disk) = &mut wanted.kind else { unreachable!() };
        disk.lun = number;
        wanted
    };
    let (b, c) = (disk("b", 9), disk("c", 10));
    let waits = |error: VolumeError, what: &str| {
        let text = telemetry::chain(&error);
        let is_awaited = matches!(error, VolumeError::Command(CommandError::StillRuns(_)));
        assert!(is_awaited && text.contains(what), "{text}");
    };
    for restarted in [false, true] {
        if restarted {
            world.restart();
        }
        waits(world.volumes.prepare(&b).await.unwrap_err(), "--logout");
        let error = world.take_down("b").await.unwrap_err();
        assert!(error.to_string().contains("an earlier command still runs"), "{error}");
    }
    assert!(!world.called().iter().any(|line| line.starts_with("mount ")));
    fs::write(&gate, "\n").unwrap();
    timeout(LONG, ends.changed()).await.unwrap().unwrap();

    tokio::select! {
        result = world.volumes.prepare(&b) => panic!("{result:?}"),
        () = told(&here) => {}
    }
    world.restart();
    waits(world.volumes.prepare(&c).await.unwrap_err(), "--login");
    world.program("iscsiadm", "exit 8");
    fs::write(&gate, "\n").unwrap();
}

#[tokio::test]
async fn real_an_iscsi_disk_is_attached_once_and_detached_after_the_last_pod() {
    let mut world = World::new();
    let content = programs(&world);
    iscsiadm(&world, ": > W/dev/sdx");
    let path = world.volumes.prepare(&on_target(&world, "a")).await.unwrap();
    assert_eq!(canary(&path), "content");
    let at = "10.0.0.1:3260";
    let global = format!("ROOT/plugins/kubernetes.io/iscsi/iface-default/{at}-{IQN}-lun-3");
    let disk = world.root.join(format!("dev/disk/by-path/ip-{at}-iscsi-{IQN}-lun-3"));
    assert_eq!(
        world.called(),
        [
            "iscsiadm -m iface -I default -o show".to_owned(),
            format!("iscsiadm -m discoverydb -t sendtargets -p {at} -I default -o new"),
            format!("iscsiadm -m discoverydb -t sendtargets -p {at} -I default -o new --discover"),
            format!("iscsiadm -m node -p {at} -T {IQN} -I default -o update -n node.session.scan -v manual"),
            format!("iscsiadm -m node -p {at} -T {IQN} -I default --login"),
            format!("iscsiadm -m node -p {at} -T {IQN} -o update -n node.startup -v manual"),
            format!("blkid -p -s TYPE -s PTTYPE -o export {}", disk.display()),
            format!("fsck -a {}", disk.display()),
            format!("mount -t ext4 -o defaults {} {global}", disk.display()),
        ]
    );
    assert_eq!(fs::read_to_string(world.root.join("sys/class/scsi_host/host2/scan")).unwrap(), "0 0 3");
    world.restart();
    let named = Wanted { unique_name: Some("kubernetes.io/iscsi/x".into()), ..on_target(&world, "b") };
    assert!(world.volumes.here().await.unwrap().has_unknown, "nothing says how the volume of a is called");
    let other = world.volumes.prepare(&named).await.unwrap();
    assert_eq!(world.called(), Vec::<String>::new(), "it is there");
    // A second disk of the same target keeps the session.
    let second = world.root.join(format!("root/plugins/kubernetes.io/iscsi/iface-default/{at}-{IQN}-lun-9"));
    fs::create_dir(&second).unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!(canary(&other), "content");
    fs::remove_dir(&second).unwrap();
    let here = Here { names: ["kubernetes.io/iscsi/x".into()].into(), has_unknown: false };
    assert_eq!(world.volumes.here().await.unwrap(), here);
    fs::create_dir(&second).unwrap();
    world.take_down("b").await.unwrap();
    assert_eq!(world.called(), Vec::<String>::new());
    assert_eq!(fs::read_to_string(world.root.join("sys/block/sdx/device/delete")).unwrap(), "1");
    assert!(!world.root.join("root").join(global.trim_start_matches("ROOT/")).exists());
    fs::remove_dir(&second).unwrap();

    // With the session still there it is only scanned for the disk.
    world.volumes.prepare(&on_target(&world, "a")).await.unwrap();
    let logins = world.called().iter().filter(|line| line.contains("--login")).count();
    assert_eq!(logins, 0);
    world.take_down("a").await.unwrap();
    assert_eq!(
        world.called(),
        [
            format!("iscsiadm -m node -p {at} -T {IQN} -o show -I default"),
            format!("iscsiadm -m node -p {at} -T {IQN} --logout -I default"),
            format!("iscsiadm -m node -p {at} -T {IQN} -o delete -I default"),
        ]
    );
    assert_eq!((world.left(), canary(&content).as_str()), (vec![], "content"));

    // One that an administrator has begun is used, and not ended; nor is one that has a disk of others.
    let node = format!("iscsiadm -m node -p {at} -T {IQN}");
    make(&world, "record", "node.session.scan = auto\n");
    world.volumes.prepare(&on_target(&world, "a")).await.unwrap();
    world.called();
    world.take_down("a").await.unwrap();
    assert_eq!((world.called(), world.left()), (vec![format!("{node} -o show -I default")], vec![]));
    make(&world, "record", "node.session.scan = manual\n");
    let theirs = "sys/class/iscsi_host/host2/device/session1/target2:0:0/2:0:0:7/block/sdy";
    fs::create_dir_all(world.root.join(theirs)).unwrap();
    world.volumes.prepare(&on_target(&world, "a")).await.unwrap();
    world.called();
    world.take_down("a").await.unwrap();
    assert_eq!((world.called(), world.left()), (vec![format!("{node} -o show -I default")], vec![]));
    // Nor is it taken for one of another initiator, which may have other disks by the same numbers.
    make(&world, "sys/class/iscsi_host/host2/device/session1/iscsi_session/session1/ifacename", "other\n");
    let error = world.volumes.prepare(&on_target(&world, "a")).await.unwrap_err();
    assert!(error.to_string().contains("no SCSI host for portal"), "{error}");
    assert!(world.called().iter().any(|line| line.contains("--login")));
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), canary(&content).as_str()), (vec![], "content"));
}

#[tokio::test]
async fn real_a_target_that_is_away_leaves_nothing_but_what_is_taken_down() {
    let mut world = World::new();
    programs(&world);
    iscsiadm(&world, ": > W/dev/sdx");
    let mut away = on_target(&world, "a");
    let Kind::Iscsi(disk) = &mut away.kind else { unreachable!() };
    disk.portals = vec!["10.0.0.9:3260".into()];
    let error = world.volumes.prepare(&away).await.unwrap_err();
    assert!(error.to_string().contains("failed to get any path for iscsi disk"), "{error}");
    assert!(error.to_string().contains("no route"), "{error}");
    let called = world.called();
    assert!(called.last().unwrap().ends_with("-o delete"), "the target is forgotten: {called:?}");
    // berth is killed before anybody could take it down, and the pod is gone.
    world.restart();
    fs::remove_dir_all(world.root.join("root/pods")).unwrap();
    let failed = world.volumes.reclaim().await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(world.called().iter().any(|line| line.contains("--logout")));
    assert_eq!(world.left(), Vec::<String>::new());
}

/// A portal that is away takes minutes, and whoever has another path need not wait for it.
#[tokio::test]
async fn real_a_portal_that_hangs_costs_no_pod_its_volume() {
    let mut world = World::new();
    let content = programs(&world);
    iscsiadm(
        &world,
        ": > W/dev/sdx; mkdir -p W/sys/block/dm-0/slaves W/sys/block/dm-0/dm; : > W/dev/dm-0
            : > W/sys/block/dm-0/slaves/sdx; echo mpath-3600 > W/sys/block/dm-0/dm/uuid",
    );
    let gate = fifo(&world, "gate");
    world.restart_impatient(Duration::from_secs(5));
    let mut two = on_target(&world, "a");
    let Kind::Iscsi(disk) = &mut two.kind else { unreachable!() };
    disk.portals.push("10.0.0.8:3260".into());
    let mut ends = world.volumes.late_ends();
    let path = world.volumes.prepare(&two).await.unwrap();
    assert_eq!(canary(&path), "content");
    let asks = |line: &String| line.contains("10.0.0.8") && line.contains("--login");
    assert_eq!(world.called().iter().filter(|line| asks(line)).count(), 1);

    // For a while it is not asked at all.
    fs::write(&gate, "\n").unwrap();
    timeout(LONG, ends.changed()).await.unwrap().unwrap();
    world.program("multipath", "rm -r W/sys/block/dm-0".replace('W', world.root.to_str().unwrap()).as_str());
    world.take_down("a").await.unwrap();
    world.called();
    let path = world.volumes.prepare(&two).await.unwrap();
    assert_eq!(canary(&path), "content");
    assert!(!world.called().iter().any(asks));
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), canary(&content).as_str()), (vec![], "content"));
}

#[tokio::test]
async fn real_an_fc_disk_by_its_port() {
    let world = World::new();
    let content = programs(&world);
    on_fc(&world, "sdq");
    let delete = make(&world, "sys/block/sdq/device/delete", "");
    let scan = make(&world, "sys/class/scsi_host/host0/scan", "");
    let disk = fc::Disk {
        naming: Naming::Targets { wwns: vec!["5006a".into(), "5006b".into()], lun: 1 },
        fs_type: "xfs".into(),
    };
    let wanted = Wanted { read_only: true, ..world.wanted("a", Plugin::Fc, "pv", Kind::Fc(disk)) };
    let error = world.volumes.prepare(&wanted).await.unwrap_err();
    assert!(error.to_string().starts_with("no fc disk found"), "{error}");
    assert_eq!(fs::read_to_string(&scan).unwrap(), "- - -");
    make(&world, "dev/sdq", "");
    link(&world, "dev/disk/by-path/pci-0000:41:00.0-fc-0x5006b-lun-1", "../../sdq");
    let path = world.volumes.prepare(&wanted).await.unwrap();
    assert_eq!(canary(&path), "content");
    assert!(mount_options(&path).starts_with("ro,"));
    let dev = world.root.join("dev").display().to_string();
    let global = "ROOT/plugins/kubernetes.io/fc/5006a-5006b-lun-1";
    assert_eq!(
        world.called(),
        [
            format!("blkid -p -s TYPE -s PTTYPE -o export {dev}/sdq"),
            format!("mount -t xfs -o ro,defaults {dev}/sdq {global}"),
        ]
    );
    world.program("blockdev", "");
    world.take_down("a").await.unwrap();
    assert_eq!(world.called(), [format!("blockdev --flushbufs {dev}/sdq")]);
    assert_eq!(fs::read_to_string(delete).unwrap(), "1");
    assert_eq!((world.left(), canary(&content).as_str()), (vec![], "content"));
}

/// The disk `name` of an adapter for Fibre Channel.
pub(super) fn on_fc(world: &World, name: &str) {
    let device = format!("sys/devices/host5/rport-5:0-0/target5:0:0/5:0:0:0/block/{name}");
    make(world, &format!("{device}/size"), "8");
    link(world, &format!("sys/block/{name}"), &format!("../{}", device.trim_start_matches("sys/")));
    make(world, "sys/class/fc_host/host5/port_name", "0x5006");
}

/// Any pod may name any disk, also that of the node or of others.
#[tokio::test]
async fn a_disk_that_is_on_no_fc_adapter_is_nobodys() {
    let world = World::new();
    programs(&world);
    make(&world, "dev/sda", "");
    make(&world, "dev/sda1", "");
    make(&world, "sys/devices/host0/target0:0:1/0:0:1:0/block/sda/size", "8");
    link(&world, "sys/block/sda", "../devices/host0/target0:0:1/0:0:1:0/block/sda");
    make(&world, "sys/class/fc_host/host5/port_name", "0x5006");
    make(&world, "sys/class/scsi_host/host0/scan", "");
    for (id, target) in [("0Google_PersistentDisk", "sda"), ("0Google_PersistentDisk-part1", "sda1")] {
        link(&world, &format!("dev/disk/by-id/scsi-{id}"), &format!("../../{target}"));
        let disk = fc::Disk { naming: Naming::Own(vec![id.into()]), fs_type: String::new() };
        let wanted = world.wanted("a", Plugin::Fc, "pv", Kind::Fc(disk));
        let error = world.volumes.prepare(&wanted).await.unwrap_err();
        assert!(error.to_string().contains("no fc disk found"), "{error}");
        world.take_down("a").await.unwrap();
    }
    assert_eq!((world.called(), world.left()), (vec![], vec![]));
}

/// mount(8) would not even look at the disk.
#[tokio::test]
async fn a_disk_is_mounted_as_no_file_system_of_the_kernels_own() {
    let world = World::new();
    programs(&world);
    on_fc(&world, "sdq");
    make(&world, "dev/sdq", "");
    link(&world, "dev/disk/by-id/scsi-3600", "../../sdq");
    for fs_type in ["proc", "fuse.sh"] {
        let disk = fc::Disk { naming: Naming::Own(vec!["3600".into()]), fs_type: fs_type.into() };
        let wanted = world.wanted("a", Plugin::Fc, "pv", Kind::Fc(disk));
        let error = world.volumes.prepare(&wanted).await.unwrap_err();
        assert!(error.to_string().contains("is no file system that is on disks"), "{error}");
    }
    assert!(!world.called().iter().any(|line| line.starts_with("mount ") || line.starts_with("fsck ")));
}

#[tokio::test]
async fn real_an_fc_disk_with_several_paths() {
    let world = World::new();
    programs(&world);
    for name in ["sdq", "sdr"] {
        on_fc(&world, name);
        make(&world, &format!("dev/{name}"), "");
        make(&world, &format!("sys/block/{name}/device/delete"), "");
        make(&world, &format!("sys/block/dm-0/slaves/{name}"), "");
    }
    make(&world, "sys/block/dm-0/dm/uuid", "mpath-3600\n");
    make(&world, "dev/dm-0", "");
    link(&world, "dev/disk/by-id/scsi-3600", "../../sdq");
    let disk = fc::Disk { naming: Naming::Own(vec!["3600".into()]), fs_type: String::new() };
    let wanted = world.wanted("a", Plugin::Fc, "pv", Kind::Fc(disk));
    world.volumes.prepare(&wanted).await.unwrap();
    let dev = world.root.join("dev").display().to_string();
    assert!(world.called()[2].starts_with(&format!("mount -t ext4 -o defaults {dev}/dm-0 ")));
    // While the device that joins them is in use, its paths stay.
    world.program("multipath", "echo map in use >&2; exit 1");
    world.program("blockdev", "");
    let error = world.take_down("a").await.unwrap_err();
    assert!(error.to_string().contains("map in use"), "{error}");
    assert_eq!(fs::read_to_string(world.root.join("sys/block/sdq/device/delete")).unwrap(), "");
    world.called();
    world.program("multipath", "");
    world.take_down("a").await.unwrap();
    assert_eq!(
        world.called(),
        [
            format!("multipath -f {dev}/dm-0"),
            format!("blockdev --flushbufs {dev}/sdq"),
            format!("blockdev --flushbufs {dev}/sdr"),
        ]
    );
    assert_eq!(fs::read_to_string(world.root.join("sys/block/sdr/device/delete")).unwrap(), "1");
    assert_eq!(world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn real_a_disk_that_looks_empty_and_cannot_be_read_is_not_formatted() {
    let world = World::new();
    programs(&world);
    world.program("blkid", "exit 2");
    world.program("mkfs.ext4", "");
    on_fc(&world, "sdq");
    make(&world, "dev/sdq", "");
    link(&world, "dev/disk/by-id/scsi-3600", "../../sdq");
    let disk = fc::Disk { naming: Naming::Own(vec!["3600".into()]), fs_type: String::new() };
    let wanted = world.wanted("a", Plugin::Fc, "pv", Kind::Fc(disk));
    let error = world.volumes.prepare(&wanted).await.unwrap_err();
    assert!(error.to_string().contains("so it is not formatted"), "{error}");
    fs::write(world.root.join("dev/sdq"), [0; 4096]).unwrap();
    world.called();
    world.volumes.prepare(&wanted).await.unwrap();
    assert!(world.called()[1].starts_with("mkfs.ext4 -F -m0 "));
    world.program("blockdev", "");
    world.take_down("a").await.unwrap();
    // Errors that nobody has corrected.
    world.program("blkid", "echo TYPE=ext4");
    world.program("fsck", "echo run fsck by hand; exit 4");
    let error = world.volumes.prepare(&wanted).await.unwrap_err();
    assert!(error.to_string().contains("could not correct them: run fsck by hand"), "{error}");
    world.program("fsck", "exit 1");
    world.volumes.prepare(&wanted).await.unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!(world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_disk_with_another_file_system_than_its_volume_says_is_told_of_there() {
    let mut world = World::new();
    programs(&world);
    world.program("blkid", "echo TYPE=xfs");
    world.program("mount", "echo wrong fs type; exit 32");
    on_fc(&world, "sdq");
    make(&world, "dev/sdq", "");
    link(&world, "dev/disk/by-id/scsi-3600", "../../sdq");
    let disk = fc::Disk { naming: Naming::Own(vec!["3600".into()]), fs_type: "ext4".into() };
    let inline = world.wanted("a", Plugin::Fc, "pv", Kind::Fc(disk));
    let volume = StorageRef { namespace: None, name: "pv".into(), uid: "pv-uid".into() };
    let claimed = Wanted { persistent: Some(volume.clone()), ..inline.clone() };
    for wanted in [inline, claimed] {
        let error = world.volumes.prepare(&wanted).await.unwrap_err();
        assert!(matches!(error, VolumeError::Mismatch { .. }) && error.is_of_device(), "{error}");
    }
    let told = world.events.try_recv().unwrap();
    assert_eq!((told.storage, told.pod), (Some(volume), None));
    assert_eq!(told.reason, "FailedMountOnFilesystemMismatch");
    let begins = format!(
        "MountVolume failed for volume \"pv\" disk {}/dev/sdq was to be mounted as ext4 and is formatted as xfs",
        world.root.display()
    );
    assert!(told.message.starts_with(&begins), "{}", told.message);
    assert!(world.events.try_recv().is_err(), "what a pod has inline is no object");
    world.take_down("a").await.unwrap();
    assert_eq!(world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn real_a_disk_is_mounted_with_a_label_and_not_shown_to_pods_of_another() {
    let mut world = World::new();
    programs(&world);
    let at = "10.0.0.1:3260";
    iscsiadm(&world, ": > W/dev/sdx");
    let label = |name: &str| Some(format!("u:r:t:{name}"));
    let of = |world: &World, pod: &str, name: &str| Wanted { label: label(name), ..on_target(world, pod) };
    let mounts = |world: &World| {
        let called = world.called().into_iter().filter(|line| line.starts_with("mount "));
        called.map(|line| line.split(" /").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let path = world.volumes.prepare(&of(&world, "a", "s0:c1,c2")).await.unwrap();
    assert_eq!(mounts(&world), ["mount -t ext4 -o context=\"u:r:t:s0:c1,c2\",defaults"]);
    assert!(!of(&world, "a", "s0").is_relabeled() && on_target(&world, "a").is_relabeled());
    for restarted in [false, true] {
        if restarted {
            world.restart();
        }
        world.volumes.prepare(&of(&world, "b", "s0:c1,c2")).await.unwrap();
        for other in [of(&world, "c", "s0:c3"), on_target(&world, "c")] {
            let error = world.volumes.prepare(&other).await.unwrap_err();
            assert!(matches!(error, VolumeError::Label { .. }) && !error.is_of_device(), "{error}");
        }
        // Its own options say it.
        let options = vec!["context=u:r:t:own".to_owned()];
        let own = Wanted { mount_options: options, ..on_target(&world, "d") };
        world.volumes.prepare(&own).await.unwrap();
        for pod in ["b", "d"] {
            world.take_down(pod).await.unwrap();
        }
    }
    assert_eq!((mounts(&world), canary(&path).as_str()), (vec![], "content"));
    world.take_down("a").await.unwrap();
    assert_eq!(world.left(), Vec::<String>::new());

    // A crash left the disk mounted for nobody, with another label than the next pod wants.
    let global = world.root.join(format!("root/plugins/kubernetes.io/iscsi/iface-default/{at}-{IQN}-lun-3"));
    fs::create_dir_all(&global).unwrap();
    let content = world.root.join("content");
    assert!(Process::new("/bin/mount").arg("--bind").args([&content, &global]).status().unwrap().success());
    world.volumes.prepare(&of(&world, "c", "s0:c3")).await.unwrap();
    assert_eq!(mounts(&world), ["mount -t ext4 -o context=\"u:r:t:s0:c3\",defaults"]);
    world.take_down("c").await.unwrap();
    assert_eq!((world.left(), canary(&content).as_str()), (vec![], "content"));
}
