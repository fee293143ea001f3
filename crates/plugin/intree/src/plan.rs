//! What is to be done next with a volume of a pod, and with the device that it is on: from what is there. Pure.
//!
//! A note says what a pod has, before anything is made for it, and goes last; the mark says that it was made whole. A
//! device is released when no note names it and nothing else of it is mounted.

/// What is there of a volume of a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TargetShown {
    /// A command that was started for it still runs.
    pub busy: bool,
    /// Its note.
    pub noted: bool,
    /// Its directory.
    pub directory: bool,
    /// Something is mounted on it, or its driver has said that it is there without.
    pub mounted: bool,
    /// The mark that it was made whole.
    pub marked: bool,
}

/// What is there of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DeviceShown {
    /// A command that was started for it still runs.
    pub busy: bool,
    /// Its directory.
    pub directory: bool,
    /// It is mounted there, or its driver has said that it is there without.
    pub mounted: bool,
    /// Somebody else has or may have it: another pod by its note, or whoever has mounted it elsewhere.
    pub used: bool,
}

/// One thing to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Note that the pod has the volume, and on which device.
    Note,
    /// Make the directory of the device.
    MakeDevice,
    /// Attach the device and mount it.
    MountDevice,
    /// Make the directory of the volume.
    MakeTarget,
    /// Mount the volume.
    Mount,
    /// Set what is only set on what is mounted, and mark it as whole.
    Finish,
    /// Take the mark away.
    Unmark,
    /// Unmount the volume.
    Unmount,
    /// Remove the directory of the volume.
    RemoveTarget,
    /// Unmount the device.
    UnmountDevice,
    /// Detach the device, and remove its directory.
    RemoveDevice,
    /// Remove the note.
    Forget,
    /// Wait for the command that still runs.
    Await,
}

/// The next step to a volume that a pod is to have, on `device` if it is on one; none when it is whole.
#[must_use]
pub fn show(target: TargetShown, device: Option<DeviceShown>) -> Option<Step> {
    if target.mounted && target.marked && target.noted {
        return None;
    }
    if target.busy || device.is_some_and(|device| device.busy) {
        return Some(Step::Await);
    }
    if !target.noted {
        return Some(Step::Note);
    }
    if target.mounted {
        return Some(Step::Finish);
    }
    // A mark that was left, as after the machine was booted, says nothing of what is made now.
    if target.marked {
        return Some(Step::Unmark);
    }
    if let Some(device) = device.filter(|device| !device.mounted) {
        return Some(if device.directory { Step::MountDevice } else { Step::MakeDevice });
    }
    Some(if target.directory { Step::Mount } else { Step::MakeTarget })
}

/// The next step to a volume that a pod is not to have any more, without its device; none when nothing but its note is left.
#[must_use]
pub fn hide(target: TargetShown) -> Option<Step> {
    if target.busy {
        Some(Step::Await)
    } else if target.mounted && !target.noted {
        // By the note its device is found when it is unmounted.
        Some(Step::Note)
    } else if target.marked {
        Some(Step::Unmark)
    } else if target.mounted {
        Some(Step::Unmount)
    } else if target.directory {
        Some(Step::RemoveTarget)
    } else {
        None
    }
}

/// The next step with a device that somebody has let go of; none when it is gone, or others have it.
#[must_use]
pub fn release(device: DeviceShown) -> Option<Step> {
    if device.used || !(device.mounted || device.directory) {
        None
    } else if device.busy {
        Some(Step::Await)
    } else if device.mounted {
        Some(Step::UnmountDevice)
    } else {
        Some(Step::RemoveDevice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> TargetShown {
        let has = |letter| text.contains(letter);
        TargetShown {
            busy: has('b'),
            noted: has('n'),
            directory: has('d') || has('m'),
            mounted: has('m'),
            marked: has('r'),
        }
    }

    fn device(text: &str) -> Option<DeviceShown> {
        let has = |letter| text.contains(letter);
        (text != "-").then(|| DeviceShown {
            busy: has('b'),
            directory: has('d') || has('m'),
            mounted: has('m'),
            used: has('u'),
        })
    }

    #[test]
    fn showing() {
        // n: note, d: directory, m: mounted, r: mark, b: a command runs, u: used by others, -: no device.
        let table = [
            ("", "-", Some(Step::Note)),
            ("n", "-", Some(Step::MakeTarget)),
            ("nd", "-", Some(Step::Mount)),
            ("nm", "-", Some(Step::Finish)),
            ("nmr", "-", None),
            ("mr", "-", Some(Step::Note)),    // Half forgotten.
            ("m", "-", Some(Step::Note)),     // Another kubelet made it.
            ("ndr", "-", Some(Step::Unmark)), // The machine was booted.
            ("ndb", "-", Some(Step::Await)),
            ("nmb", "-", Some(Step::Await)),
            ("nmrb", "-", None),
            ("n", "", Some(Step::MakeDevice)),
            ("n", "d", Some(Step::MountDevice)),
            ("n", "du", Some(Step::MountDevice)),
            ("n", "db", Some(Step::Await)),
            ("n", "m", Some(Step::MakeTarget)),
            ("nd", "m", Some(Step::Mount)),
            ("nd", "", Some(Step::MakeDevice)),
            ("nm", "m", Some(Step::Finish)),
            ("nm", "", Some(Step::Finish)), // It holds without.
            ("nmr", "", None),
        ];
        for (seen, on, expected) in table {
            assert_eq!(show(target(seen), device(on)), expected, "{seen:?} on {on:?}");
        }
    }

    #[test]
    fn hiding_and_releasing() {
        let table = [
            ("nmr", Some(Step::Unmark)),
            ("nm", Some(Step::Unmount)),
            ("m", Some(Step::Note)), // Another kubelet made it.
            ("d", Some(Step::RemoveTarget)),
            ("nd", Some(Step::RemoveTarget)),
            ("n", None),
            ("nmb", Some(Step::Await)),
            ("ndb", Some(Step::Await)),
        ];
        for (seen, expected) in table {
            assert_eq!(hide(target(seen)), expected, "{seen:?}");
        }
        let table = [
            ("m", Some(Step::UnmountDevice)),
            ("d", Some(Step::RemoveDevice)),
            ("", None),
            ("mu", None),
            ("du", None),
            ("mb", Some(Step::Await)),
        ];
        for (seen, expected) in table {
            assert_eq!(release(device(seen).unwrap()), expected, "{seen:?}");
        }
    }

    /// Whatever a crash left: doing what is said, each step once, ends, and what is mounted is unmounted before its
    /// directory or note goes.
    #[test]
    fn from_anywhere_to_whole_and_to_gone() {
        for bits in 0..128_u32 {
            let bit = |n: u32| bits >> n & 1 == 1;
            let mut seen = TargetShown {
                busy: false,
                noted: bit(0),
                directory: bit(1) || bit(2),
                mounted: bit(2),
                marked: bit(3),
            };
            let mut on =
                DeviceShown { busy: false, directory: bit(4) || bit(5), mounted: bit(5), used: bit(6) };
            let mut done = Vec::new();
            while let Some(step) = show(seen, Some(on)) {
                assert!(!done.contains(&step), "{step:?} twice from {bits:b}");
                done.push(step);
                match step {
                    Step::Note => seen.noted = true,
                    Step::MakeDevice => on.directory = true,
                    Step::MountDevice => (on.mounted, on.directory) = (true, true),
                    Step::MakeTarget => seen.directory = true,
                    Step::Mount => {
                        assert!(on.mounted && !seen.marked && seen.noted);
                        seen.mounted = true;
                    }
                    Step::Finish => seen.marked = true,
                    Step::Unmark => seen.marked = false,
                    _ => panic!("{step:?} to show a volume"),
                }
            }
            assert!(seen.noted && seen.mounted && seen.marked);
            while let Some(step) = hide(seen) {
                match step {
                    Step::Note => seen.noted = true,
                    Step::Unmark => seen.marked = false,
                    Step::Unmount => {
                        assert!(seen.noted);
                        seen.mounted = false;
                    }
                    Step::RemoveTarget => {
                        assert!(!seen.mounted);
                        seen.directory = false;
                    }
                    _ => panic!("{step:?} to hide a volume"),
                }
            }
            while let Some(step) = release(on) {
                match step {
                    Step::UnmountDevice => on.mounted = false,
                    Step::RemoveDevice => {
                        assert!(!on.mounted);
                        on.directory = false;
                    }
                    _ => panic!("{step:?} to release a device"),
                }
                assert!(!on.used);
            }
            assert!(on.used || !on.directory);
        }
    }
}
