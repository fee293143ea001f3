//! What the network interfaces of a network namespace have received and sent (`/proc/<pid>/net/dev`, proc(5)).

use crate::PathError;
use crate::proc::Process;

/// What went one way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that were damaged.
    pub errors: u64,
    /// Packets that were thrown away.
    pub dropped: u64,
}

/// One interface.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// What it received.
    pub received: Traffic,
    /// What it sent.
    pub sent: Traffic,
}

/// The interfaces of the network namespace that `process` is in, in the kernel's order.
///
/// # Errors
/// If the process is gone.
pub fn of(process: Process) -> Result<Vec<Interface>, PathError> {
    let path = process.dir().join("net/dev");
    let text = std::fs::read(&path).map_err(PathError::on("read", &path))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// The interfaces in a text like that of `/proc/net/dev`. Lines that are none are left out.
#[must_use]
pub fn parse(text: &str) -> Vec<Interface> {
    text.lines().filter_map(parse_line).collect()
}

/// `eth0: ` and eight numbers of what was received, then eight of what was sent.
fn parse_line(line: &str) -> Option<Interface> {
    let (name, numbers) = line.split_once(':')?;
    let mut fields = [0; 16];
    let mut words = numbers.split_ascii_whitespace();
    for field in &mut fields {
        *field = words.next()?.parse().ok()?;
    }
    let [bytes, packets, errors, dropped, _, _, _, _, sent @ ..] = fields;
    Some(Interface {
        name: name.trim().to_owned(),
        received: Traffic { bytes, packets, errors, dropped },
        sent: Traffic { bytes: sent[0], packets: sent[1], errors: sent[2], dropped: sent[3] },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 100 2 0 0 0 0 0 0 100 2 0 0 0 0 0 0
  eth0:1001 11 1 2 3 4 5 6 2002 22 7 8 9 10 11 12
  eth1: 1 2 3
   bad: x 11 1 2 3 4 5 6 2002 22 7 8 9 10 11 12
";

    #[test]
    fn interfaces() {
        let found = parse(TEXT);
        assert_eq!(found.iter().map(|i| &*i.name).collect::<Vec<_>>(), ["lo", "eth0"]);
        assert_eq!(found[1].received, Traffic { bytes: 1001, packets: 11, errors: 1, dropped: 2 });
        assert_eq!(found[1].sent, Traffic { bytes: 2002, packets: 22, errors: 7, dropped: 8 });
    }

    #[test]
    fn this_process_has_a_loopback_interface() {
        assert!(of(Process::Current).unwrap().iter().any(|interface| interface.name == "lo"));
    }

    proptest! {
        #[test]
        fn never_panics(at in 0..TEXT.len(), byte in any::<char>()) {
            let (head, tail) = TEXT.split_at(at);
            let _ = parse(&format!("{head}{byte}{tail}"));
        }
    }
}
