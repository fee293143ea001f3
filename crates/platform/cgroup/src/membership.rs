//! In which cgroup a process is.

use linux::PathError;
use linux::proc::Process;

/// The path below the mount points of the cgroup that accounts for `process`, such as `/system.slice/berth.service`;
/// none if it is not one cgroup: on cgroup v1 a process can be elsewhere for each controller.
///
/// # Errors
/// If the process is gone.
pub fn home(process: Process) -> Result<Option<String>, PathError> {
    let path = process.dir().join("cgroup");
    let text = std::fs::read_to_string(&path).map_err(PathError::on("read", &path))?;
    Ok(parse(&text))
}

/// Lines such as `4:memory:/a`, `1:name=systemd:/a` (v1) and `0::/a` (v2; also there on hybrid nodes).
fn parse(text: &str) -> Option<String> {
    let (mut cpu, mut memory, mut systemd, mut unified) = (None, None, None, None);
    for line in text.lines() {
        let Some((controllers, path)) = line.split_once(':').and_then(|(_, rest)| rest.split_once(':'))
        else {
            continue;
        };
        for controller in controllers.split(',') {
            match controller {
                "cpu" => cpu = Some(path),
                "memory" => memory = Some(path),
                "name=systemd" => systemd = Some(path),
                "" => unified = Some(path),
                _ => {}
            }
        }
    }
    match (cpu, memory) {
        (None, None) => unified.map(str::to_owned),
        // Where systemd keeps books is what it is called by, even while it accounts only for some units.
        (cpu, memory) if cpu == memory => systemd.or(cpu).map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_of_processes() {
        for (text, expected) in [
            ("0::/system.slice/berth.service\n", Some("/system.slice/berth.service")),
            ("4:memory:/a\n2:cpu,cpuacct:/a\n0::/b\n", Some("/a")),
            (
                "4:memory:/\n2:cpu,cpuacct:/\n1:name=systemd:/system.slice/x.service\n",
                Some("/system.slice/x.service"),
            ),
            ("4:memory:/a\n2:cpu:/b\n", None),
            ("4:memory:/a\n", None),
            ("nonsense\n", None),
        ] {
            assert_eq!(parse(text).as_deref(), expected, "{text}");
        }
        assert!(home(Process::Current).is_ok());
    }
}
