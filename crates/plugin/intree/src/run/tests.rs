use std::os::unix::fs::PermissionsExt as _;

use tokio::io::AsyncReadExt as _;

use super::*;

const LONG: Duration = Duration::from_secs(60);

struct World {
    dir: tempfile::TempDir,
    commands: Commands,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let search_path = std::env::join_paths([bin.as_path(), Path::new("/usr/bin"), Path::new("/bin")]);
        let commands = Commands::new(dir.path().join("commands"), search_path.unwrap());
        Self { dir, commands }
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.dir.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What a program writes into to say where it is, or reads from to be held up.
    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        path
    }

    fn left(&self) -> usize {
        fs::read_dir(self.dir.path().join("commands")).map_or(0, Iterator::count)
    }
}

fn key() -> Key {
    Key::of(Path::new("/volume"))
}

async fn line(fifo: &Path) -> String {
    let mut reader = tokio::net::unix::pipe::OpenOptions::new().read_write(true).open_receiver(fifo).unwrap();
    let mut text = [0; 64];
    let length = timeout(LONG, reader.read(&mut text)).await.unwrap().unwrap();
    String::from_utf8_lossy(&text[..length]).into_owned()
}

#[tokio::test]
async fn what_it_says_and_how_it_ends() {
    let world = World::new();
    world.program("good", "echo out; echo err >&2; cat; pwd >/dev/null");
    world.program("bad", "echo sorry >&2; exit 3");
    world.program("many", "head -c 1000000 /dev/zero");
    let run = async |command: Command| world.commands.run(&key(), &command, LONG).await;
    assert_eq!(run(Command::new("good")).await.unwrap(), "out\nerr\n", "and its input is empty");
    let error = run(Command::new("bad").arg("x")).await.unwrap_err();
    assert_eq!(error.to_string(), "`bad x` failed with exit status 3: sorry");
    assert_eq!(error.status(), Some(3));
    let error = run(Command::new("bad").secret("pw")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`bad ***` failed with exit status 3: (it was told a secret, so its words are not shown)"
    );
    assert!(!format!("{error:?}").contains("sorry"));
    assert_eq!(run(Command::new("many")).await.unwrap().len(), OUTPUT_LIMIT);
    let error = run(Command::new("none")).await.unwrap_err();
    assert!(matches!(error, CommandError::NotFound { .. }), "{error}");
    assert_eq!(world.left(), 0);
}

#[tokio::test]
async fn one_that_hangs_is_left_and_waited_for() {
    let world = World::new();
    let (here, gate) = (world.fifo("here"), world.fifo("gate"));
    world.program(
        "hang",
        &format!("echo here > {}; read x < {}; echo gone > {0}", here.display(), gate.display()),
    );
    let hang = Command::new("hang").arg("a");
    // Whoever waits is gone, or another berth: the lock is the command's own.
    let key = key();
    tokio::select! {
        result = world.commands.run(&key, &hang, LONG) => panic!("{result:?}"),
        text = line(&here) => assert_eq!(text, "here\n"),
    }
    let again = Commands::new(world.dir.path().join("commands"), world.commands.search_path.clone());
    let running = again.running(&key).unwrap().unwrap();
    assert!(running.contains("hang a`, process "), "{running}");
    let error = again.run(&key, &hang, LONG).await.unwrap_err();
    assert!(matches!(error, CommandError::StillRuns(_)), "{error}");
    world.program("other", "echo fine");
    let other = again.run(&Key::of(Path::new("/other")), &Command::new("other"), LONG).await;
    assert_eq!(other.unwrap(), "fine\n");
    let gone = line(&here);
    fs::write(&gate, "\n").unwrap();
    assert_eq!(gone.await, "gone\n");
}

/// As when berth is killed: nobody is there any more for what it says.
#[test]
fn one_that_says_something_goes_on_without_berth() {
    let world = World::new();
    let (here, gate) = (world.fifo("here"), world.fifo("gate"));
    let script = "echo begun; echo here > HERE; read x < GATE; for i in 1 2 3; do echo $i; /bin/echo $i; done; echo whole > HERE";
    let script = script.replace("HERE", here.to_str().unwrap()).replace("GATE", gate.to_str().unwrap());
    world.program("repair", &script);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(async {
        let (key, command) = (key(), Command::new("repair"));
        tokio::select! {
            result = world.commands.run(&key, &command, LONG) => panic!("{result:?}"),
            text = line(&here) => assert_eq!(text, "here\n"),
        }
    });
    runtime().block_on(async {
        let whole = line(&here);
        fs::write(&gate, "\n").unwrap();
        assert_eq!(whole.await, "whole\n");
    });
}

#[tokio::test]
async fn late_ones_go_on_or_are_killed() {
    let world = World::new();
    let gate = world.fifo("gate");
    world.program("hang", &format!("exec cat {}", gate.display()));
    let hang = Command::new("hang");
    let soon = Duration::from_millis(1);
    let error = world.commands.run_or_kill(&key(), &hang, soon).await.unwrap_err();
    assert!(matches!(error, CommandError::Late { .. }), "{error}");
    // Its task has seen its end before it said so.
    assert_eq!(world.commands.running(&key()).unwrap(), None);
    let error = world.commands.run(&key(), &hang, soon).await.unwrap_err();
    assert!(matches!(error, CommandError::Late { .. }), "{error}");
    let error = world.commands.run(&key(), &hang, soon).await.unwrap_err();
    assert!(matches!(error, CommandError::StillRuns(_)), "{error}");
}

#[tokio::test]
async fn one_that_is_killed_leaves_no_helper() {
    let world = World::new();
    let (here, gate) = (world.fifo("here"), world.fifo("gate"));
    let script = "(echo here > HERE; read x <> GATE; echo helped > HERE) & wait; exit 0";
    let script = script.replace("HERE", here.to_str().unwrap()).replace("GATE", gate.to_str().unwrap());
    world.program("helped", &script);
    let (key, command) = (key(), Command::new("helped"));
    let mut run = std::pin::pin!(world.commands.run_or_kill(&key, &command, LONG));
    tokio::select! {
        result = &mut run => panic!("{result:?}"),
        text = line(&here) => assert_eq!(text, "here\n"),
    }
    tokio::time::pause();
    tokio::time::advance(LONG).await;
    tokio::time::resume();
    let error = run.await.unwrap_err();
    assert!(matches!(error, CommandError::Late { .. }), "{error}");
    // Nobody has the gate open any more. The helper would be its own writer, so that looking does not end what it reads.
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
    let gone = async {
        while rustix::fs::open(&gate, flags, rustix::fs::Mode::empty()).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, gone).await.expect("the helper is gone");
    assert_eq!(world.commands.running(&key).unwrap(), None);
}

/// One ends, and what it left behind goes on; the next one has begun before all of that was seen.
#[tokio::test]
async fn the_end_of_one_does_not_hide_the_next() {
    let world = World::new();
    let (here, gate) = (world.fifo("here"), world.fifo("gate"));
    world.program("daemon", &format!("cat {} & echo here > {}", gate.display(), here.display()));
    world.program("hang", &format!("echo here > {}; exec cat {}", here.display(), gate.display()));
    let mut ends = world.commands.late_ends();
    for program in ["daemon", "hang"] {
        let (key, command) = (key(), Command::new(program));
        tokio::select! {
            result = world.commands.run(&key, &command, LONG) => panic!("{result:?}"),
            text = line(&here) => assert_eq!(text, "here\n"),
        }
        while program == "daemon" && world.commands.running(&key).unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    }
    timeout(LONG, ends.changed()).await.unwrap().unwrap();
    let running = world.commands.running(&key()).unwrap();
    assert!(running.is_some_and(|running| running.starts_with("`hang`")));
    fs::write(&gate, "\n").unwrap();
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_not_waited_for() {
    let world = World::new();
    let gate = world.fifo("gate");
    // A daemon that keeps all that it was given.
    world.program("daemon", &format!("cat {} & echo started", gate.display()));
    let said = world.commands.run(&key(), &Command::new("daemon"), LONG).await.unwrap();
    assert_eq!(said, "started\n");
    assert_eq!(world.commands.running(&key()).unwrap(), None);
    fs::write(&gate, "\n").unwrap();
}
