//! A berth that is killed between any two steps: a process of its own that says what it is about to do, and is killed then.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use super::*;
use crate::run::CommandError;

const ROOT: &str = "INTREE_TEST_ROOT";

/// Says each step.
struct Steps;

impl tracing::Subscriber for Steps {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if event.metadata().fields().field("step").is_some() {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "\nSTEP").and_then(|()| out.flush());
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// On a directory, on a disk and on a server, and a disk as a device.
fn wanted_by(world: &World, pod: &str) -> [Wanted; 4] {
    let disk = fs::read_to_string(world.root.join("device")).unwrap();
    let mut on_disk = world.local(pod, Path::new(&disk));
    on_disk.target.spec_name = "disk".into();
    let raw = fs::read_to_string(world.root.join("raw-device")).unwrap();
    [
        world.local(pod, &world.root.join("source")),
        on_disk,
        world.nfs(pod),
        world.device(pod, Path::new(&raw)),
    ]
}

/// Not a test by itself: the process that is killed. Pods come and go.
#[tokio::test]
async fn real_life_to_be_killed() {
    let Ok(root) = std::env::var(ROOT) else { return };
    let _ = tracing::subscriber::set_global_default(Steps);
    let world = std::mem::ManuallyDrop::new(World::at(root.into()));
    for pod in ["a", "b"] {
        for wanted in wanted_by(&world, pod) {
            world.volumes.prepare(&wanted).await.unwrap();
        }
    }
    for pod in ["a", "b"] {
        world.take_down(pod).await.unwrap();
    }
}

fn is_running(error: &VolumeError) -> bool {
    matches!(error, VolumeError::Command(CommandError::StillRuns(_)))
}

/// Commands go on when berth is killed, and are waited for.
async fn prepare(world: &World, wanted: &Wanted) -> PathBuf {
    loop {
        match world.volumes.prepare(wanted).await {
            Err(error) if is_running(&error) => tokio::task::yield_now().await,
            shown => return shown.unwrap(),
        }
    }
}

async fn take_down(world: &World, pod: &str) {
    loop {
        match world.take_down(pod).await {
            Err(error) if error.failures.iter().all(|(_, error)| is_running(error)) => {
                tokio::task::yield_now().await;
            }
            gone => {
                gone.unwrap();
                return;
            }
        }
    }
}

/// The command of an earlier life ends at any moment of the look that this one takes.
#[tokio::test]
async fn real_what_ends_while_it_is_looked_for_is_not_done_twice() {
    let mut world = World::new();
    let (gate, export) = (world.root.join("gate"), world.directory("export"));
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    // Only the first one is held up.
    let script = format!(
        "for last; do :; done
        [ $(grep -c ^mount {}) -gt 1 ] || read x < {}
        exec /bin/mount --bind {} $last",
        world.root.join("called").display(),
        gate.display(),
        export.display()
    );
    world.program("mount", &script);
    let wanted = world.nfs("a");
    for round in 0..40 {
        let path = gate.clone();
        // It can be opened once the command reads.
        let opened =
            tokio::task::spawn_blocking(move || fs::OpenOptions::new().write(true).open(path).unwrap());
        let mut opened = tokio::select! {
            opened = opened => opened.unwrap(),
            shown = world.volumes.prepare(&wanted) => panic!("the command has ended: {shown:?}"),
        };
        world.restart();
        opened.write_all(b"\n").unwrap();
        prepare(&world, &wanted).await;
        let called = world.called();
        assert_eq!(called.len(), 1, "round {round}: {called:?}");
        assert_eq!(mounts_below(&world.root.join("root/pods/a")).len(), 1, "round {round}");
        take_down(&world, "a").await;
    }
}

/// What an earlier life unmounts by force would be taken from the pod that gets the volume meanwhile.
#[tokio::test]
async fn real_nothing_is_mounted_while_it_is_unmounted_by_force() {
    let world = World::new();
    let (here, gate) = (world.root.join("here"), world.root.join("gate"));
    for fifo in [&here, &gate] {
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }
    world.program("umount", &format!("echo > {}; read x < {}", here.display(), gate.display()));
    let wanted = world.nfs("a");
    let [_, forced] = keys(&world.volumes.config.layout, &wanted.target).unwrap();
    let command = crate::nfs::unmount(Path::new("/nowhere"), true);
    let begun = tokio::task::spawn_blocking(move || fs::read(here).unwrap());
    tokio::select! {
        ended = world.volumes.commands.run(&forced, &command, LONG) => panic!("the command has ended: {ended:?}"),
        _ = begun => {}
    }
    for unwanted in [world.volumes.prepare(&wanted).await, world.volumes.prepare(&wanted).await] {
        assert!(is_running(&unwanted.unwrap_err()));
    }
    assert_eq!(world.called().len(), 1, "nothing but what was begun before");
    fs::write(gate, "\n").unwrap();
}

#[tokio::test]
async fn real_killed_between_any_two_steps() {
    let mut world = World::new();
    let (source, export) = (world.directory("source"), world.directory("export"));
    let script = "for last; do :; done
        case \"$*\" in *nfs*) exec /bin/mount --bind EXPORT $last;; *) exec /bin/mount \"$@\";; esac";
    world.program("mount", &script.replace("EXPORT", export.to_str().unwrap()));
    let (Some(disk), Some(raw)) = (Loop::new(&world), Loop::of_file(&world, "raw")) else {
        println!("skipped: no loop devices");
        return;
    };
    devices::write_canary(&raw);
    fs::write(world.root.join("raw-device"), raw.0.to_str().unwrap()).unwrap();
    fs::write(world.root.join("device"), disk.0.to_str().unwrap()).unwrap();
    let path = prepare(&world, &wanted_by(&world, "c")[1]).await;
    fs::write(path.join(CANARY), "disk").unwrap();
    world.take_down("c").await.unwrap();

    let mut steps = 1;
    loop {
        let child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "volumes::tests::kills::real_life_to_be_killed", "--nocapture"])
            .env(ROOT, &world.root)
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines.filter(|line| line.as_deref().is_ok_and(|line| line == "STEP")).take(steps).count();
        child.kill().unwrap();
        child.wait().unwrap();
        world.restart();
        for (wanted, expected) in wanted_by(&world, "a").iter().zip(["source", "disk", "export", "canary"]) {
            let path = prepare(&world, wanted).await;
            let found = match wanted.target.mode {
                VolumeMode::Filesystem => canary(&path),
                VolumeMode::Block => devices::start(&path),
            };
            assert_eq!(found, expected, "killed at step {steps}");
        }
        assert_eq!(mounts_below(&world.root.join("root/pods/a")).len(), 3, "killed at step {steps}");
        take_down(&world, "a").await;
        take_down(&world, "b").await;
        let failed = world.volumes.reclaim().await.unwrap();
        assert!(failed.is_empty(), "killed at step {steps}: {failed:?}");
        assert_eq!(world.left(), Vec::<String>::new(), "killed at step {steps}");
        assert_eq!((canary(&source).as_str(), canary(&export).as_str()), ("source", "export"));
        assert_eq!(devices::start(&raw.0), "canary", "killed at step {steps}");
        if seen < steps {
            break;
        }
        steps += 1;
    }
    assert!(steps > 30, "only {steps} steps");
}
