//! Ids for pods that have a user namespace of their own (KEP-127): which range of the node's ids a pod gets, and the
//! file that keeps it over restarts.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use containerconfig::IdMappings;
use cri::v1::IdMapping;
use serde::{Deserialize, Serialize};
use types::PodUid;

/// The user whose subordinate ids pods get.
const USER: &str = "kubelet";
/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The end of all ids.
const ALL_IDS: u64 = 1 << 32;

/// Why pods cannot be given ids at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or directory cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The ids that the node sets aside do not serve.
    #[error("ids of the user kubelet in /etc/subuid and /etc/subgid cannot be used for pods: {0}")]
    Unusable(String),
}

/// Why a pod cannot be given ids.
#[derive(Debug, thiserror::Error)]
pub enum UserNsError {
    /// None are left.
    #[error("no user namespace ids are left: {pods} pods have some")]
    Exhausted {
        /// How many pods have ids.
        pods: usize,
    },
    /// The pod's file from before cannot be used; what its containers run with is not known.
    #[error("{} does not say which ids the pod has; delete it once nothing of the pod runs", .0.display())]
    BadFile(PathBuf),
    /// The file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Ids from `start` up to and without `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Range {
    start: u64,
    end: u64,
}

/// What the file of a pod says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    uid_mappings: Vec<Mapping>,
    gid_mappings: Vec<Mapping>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    host_id: u32,
    container_id: u32,
    length: u32,
}

impl Mapping {
    fn range(self) -> Range {
        let start = u64::from(self.host_id);
        Range { start, end: start + u64::from(self.length) }
    }
}

/// What a pod has.
#[derive(Clone, Copy, Debug)]
enum Claim {
    /// This range.
    Range(Range),
    /// A file that cannot be used.
    Bad,
}

/// Which pod has which ids. No I/O.
#[derive(Debug)]
struct Allocator {
    ids: Range,
    per_pod: u64,
    claims: BTreeMap<PodUid, Claim>,
    /// Ids that files name which cannot be used otherwise.
    blocked: Vec<(PodUid, Range)>,
}

impl Allocator {
    fn new(ids: Range, per_pod: u32) -> Self {
        Self { ids, per_pod: u64::from(per_pod), claims: BTreeMap::new(), blocked: Vec::new() }
    }

    fn taken(&self) -> impl Iterator<Item = Range> {
        let claimed = self.claims.values().filter_map(|claim| match claim {
            Claim::Range(range) => Some(*range),
            Claim::Bad => None,
        });
        claimed.chain(self.blocked.iter().map(|(_, range)| *range))
    }

    /// The lowest range that nobody has any part of.
    fn free(&self) -> Option<Range> {
        let mut taken: Vec<_> = self.taken().collect();
        taken.sort_by_key(|range| range.start);
        let mut start = self.ids.start;
        for range in taken {
            if range.start >= start + self.per_pod {
                break;
            }
            if range.end > start {
                start = range.end.next_multiple_of(self.per_pod);
            }
        }
        let end = start + self.per_pod;
        (end <= self.ids.end).then_some(Range { start, end })
    }

    /// Takes over what a file says; false if that cannot be.
    fn restore(&mut self, pod: &PodUid, file: Option<&File>) -> bool {
        let claim = file.and_then(|file| match (&file.uid_mappings[..], &file.gid_mappings[..]) {
            ([uids], [gids]) if uids == gids && uids.container_id == 0 && uids.length > 0 => {
                Some(uids.range())
            }
            _ => None,
        });
        let overlaps = |range: &Range| self.taken().any(|t| t.start < range.end && range.start < t.end);
        if let Some(range) = claim.filter(|range| range.end <= ALL_IDS && !overlaps(range)) {
            self.claims.insert(pod.clone(), Claim::Range(range));
            return true;
        }
        let named = file.into_iter().flat_map(|file| file.uid_mappings.iter().chain(&file.gid_mappings));
        self.blocked.extend(named.map(|mapping| (pod.clone(), mapping.range())));
        self.claims.insert(pod.clone(), Claim::Bad);
        false
    }

    fn release(&mut self, pod: &PodUid) {
        self.claims.remove(pod);
        self.blocked.retain(|(owner, _)| owner != pod);
    }
}

/// The ids of the node's pods. No two pods have one in common.
#[derive(Debug)]
pub struct UserNamespaces {
    pods_dir: PathBuf,
    allocator: Mutex<Allocator>,
}

impl UserNamespaces {
    /// Ids for `max_pods` pods, `ids_per_pod` each (a multiple of 65536): from those that /etc/subuid and /etc/subgid
    /// give the user `kubelet`, or from all but the first `ids_per_pod` if they name no such user. What pods below
    /// `root_dir` have from before stays theirs. Blocks.
    ///
    /// # Errors
    /// If a directory cannot be read, or the user's ids do not serve.
    pub fn load(root_dir: &Path, ids_per_pod: u32, max_pods: usize) -> Result<Self, LoadError> {
        let read = |path: &str| {
            let path = Path::new(path);
            read_limited(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
        };
        let (uids, gids) = (read("/etc/subuid")?, read("/etc/subgid")?);
        let ids = ids_of_user(&uids.unwrap_or_default(), &gids.unwrap_or_default(), ids_per_pod, max_pods)
            .map_err(LoadError::Unusable)?;
        Self::over(root_dir, ids, ids_per_pod)
    }

    fn over(root_dir: &Path, ids: Range, ids_per_pod: u32) -> Result<Self, LoadError> {
        let pods_dir = root_dir.join("pods");
        let mut allocator = Allocator::new(ids, ids_per_pod);
        let failed = |source| LoadError::Read { path: pods_dir.clone(), source };
        let entries = match fs::read_dir(&pods_dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(failed)?),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(failed)?;
            let Ok(uid) = entry.file_name().into_string() else { continue };
            let path = entry.path().join("userns");
            let text = match read_limited(&path) {
                Ok(None) => continue,
                Ok(Some(text)) => text,
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "A pod's user namespace file cannot be read");
                    String::new()
                }
            };
            let file: Option<File> = serde_json::from_str(&text).ok();
            if !allocator.restore(&uid.into(), file.as_ref()) {
                tracing::warn!(file = %path.display(), "A pod's user namespace file is not valid; its ids are given to no other pod");
            }
        }
        Ok(Self { pods_dir, allocator: Mutex::new(allocator) })
    }

    /// The ids of `pod`: those it has, or new ones, which are on the disk when this returns. Blocks.
    ///
    /// # Errors
    /// If no ids are left, or they cannot be written down.
    pub fn assign(&self, pod: &PodUid) -> Result<IdMappings, UserNsError> {
        let path = self.path(pod);
        let range = {
            let mut allocator = self.lock();
            match allocator.claims.get(pod) {
                Some(Claim::Range(range)) => return Ok(mappings(mapping(*range))),
                Some(Claim::Bad) => return Err(UserNsError::BadFile(path)),
                None => {}
            }
            let pods = allocator.claims.len();
            let range = allocator.free().ok_or(UserNsError::Exhausted { pods })?;
            allocator.claims.insert(pod.clone(), Claim::Range(range));
            range
        };
        let mapping = mapping(range);
        write(&path, mapping).map_err(|source| {
            self.lock().release(pod);
            UserNsError::Write { path, source }
        })?;
        Ok(mappings(mapping))
    }

    /// Takes back the ids of a pod of which nothing runs any more. Blocks.
    pub fn release(&self, pod: &PodUid) {
        let path = self.path(pod);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // Given to another pod, they would be claimed twice after a restart.
                tracing::warn!(file = %path.display(), %error, "A pod's user namespace file cannot be removed; its ids stay taken");
            }
            _ => self.lock().release(pod),
        }
    }

    fn path(&self, pod: &PodUid) -> PathBuf {
        self.pods_dir.join(pod.as_str()).join("userns")
    }

    fn lock(&self) -> MutexGuard<'_, Allocator> {
        self.allocator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The range as CRI has it. Ranges end at 2^32 at most, so that nothing is cut off.
fn mapping(range: Range) -> Mapping {
    let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
    Mapping { host_id: id(range.start), container_id: 0, length: id(range.end - range.start) }
}

fn mappings(mapping: Mapping) -> IdMappings {
    let Mapping { host_id, container_id, length } = mapping;
    let ids = vec![IdMapping { host_id, container_id, length }];
    IdMappings { uids: ids.clone(), gids: ids }
}

fn write(path: &Path, mapping: Mapping) -> io::Result<()> {
    let file = File { uid_mappings: vec![mapping], gid_mappings: vec![mapping] };
    let text = serde_json::to_vec(&file).map_err(io::Error::other)?;
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    task::file::write_atomic(path, &text, 0o600)
}

fn read_limited(path: &Path) -> io::Result<Option<String>> {
    let file = match fs::File::open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        file => file?,
    };
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// The ids for pods from the texts of /etc/subuid and /etc/subgid; or why they do not serve.
fn ids_of_user(uids: &str, gids: &str, per_pod: u32, max_pods: usize) -> Result<Range, String> {
    let per_pod = u64::from(per_pod);
    if per_pod == 0 {
        return Err("idsPerPod is 0".to_owned());
    }
    let of_user = |text: &str| -> Result<Vec<(u64, u64)>, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(USER)?.strip_prefix(':'));
        let parse = |line: &str| {
            let (start, length) = line.split_once(':')?;
            Some((start.trim().parse().ok()?, length.trim().parse().ok()?))
        };
        lines.map(|line| parse(line).ok_or_else(|| format!("{line:?} is not START:LENGTH"))).collect()
    };
    let (uids, gids) = (of_user(uids)?, of_user(gids)?);
    if uids != gids {
        return Err("they differ".to_owned());
    }
    let ids = match uids[..] {
        [] => Range { start: per_pod, end: ALL_IDS },
        [(start, length)] => Range { start, end: start.saturating_add(length) },
        _ => return Err("there is more than one range".to_owned()),
    };
    if ids.start < per_pod || ids.start % per_pod != 0 {
        return Err(format!("the first one, {}, is not a multiple of {per_pod} above 0", ids.start));
    }
    if ids.end > ALL_IDS {
        return Err("they go beyond 2^32".to_owned());
    }
    let pods = (ids.end - ids.start) / per_pod;
    if usize::try_from(pods).is_ok_and(|pods| pods < max_pods) {
        return Err(format!("they are enough for {pods} pods of {max_pods}"));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PER_POD: u32 = 65536;

    fn load(root: &Path, pods: u64) -> UserNamespaces {
        let start = u64::from(PER_POD);
        UserNamespaces::over(root, Range { start, end: start * (pods + 1) }, PER_POD).unwrap()
    }

    #[test]
    fn where_ids_come_from() {
        let of = |text: &str, max_pods| ids_of_user(text, text, PER_POD, max_pods);
        let all = Range { start: 65536, end: ALL_IDS };
        assert_eq!(of("", 110), Ok(all));
        assert_eq!(of("kubelets:1:2\nroot:1:2\n", 110), Ok(all));
        let some = of("root:1:2\nkubelet:131072:7208960\n", 110).unwrap();
        assert_eq!(some, Range { start: 131_072, end: 131_072 + 7_208_960 });
        for bad in [
            "kubelet:131072:7208959",
            "kubelet:131071:9999999",
            "kubelet:0:9999999",
            "kubelet:x:9999999",
            "kubelet:131072:18446744073709551615",
            "kubelet:131072:7208960\nkubelet:13107200:7208960",
        ] {
            assert!(of(bad, 110).is_err(), "{bad}");
        }
        assert!(ids_of_user("kubelet:131072:7208960", "", PER_POD, 110).is_err());
    }

    #[test]
    fn the_file_and_what_happens_without_room() {
        let root = tempfile::tempdir().unwrap();
        let userns = load(root.path(), 1);
        let ids = userns.assign(&"a".into()).unwrap();
        assert_eq!((ids.uids[0].host_id, ids.uids[0].container_id, ids.uids[0].length), (65536, 0, 65536));
        assert_eq!(ids, userns.assign(&"a".into()).unwrap());
        let text = fs::read_to_string(root.path().join("pods/a/userns")).unwrap();
        let mapping = r#"[{"hostId":65536,"containerId":0,"length":65536}]"#;
        assert_eq!(text, format!(r#"{{"uidMappings":{mapping},"gidMappings":{mapping}}}"#));
        assert!(matches!(userns.assign(&"b".into()), Err(UserNsError::Exhausted { pods: 1 })));
        userns.release(&"a".into());
        assert_eq!(ids, userns.assign(&"b".into()).unwrap());
    }

    #[test]
    fn bad_files_keep_what_they_name() {
        let root = tempfile::tempdir().unwrap();
        let put = |pod: &str, text: &str| {
            fs::create_dir_all(root.path().join("pods").join(pod)).unwrap();
            fs::write(root.path().join("pods").join(pod).join("userns"), text).unwrap();
        };
        let at = |id: u32| format!(r#"[{{"hostId":{id},"containerId":0,"length":65536}}]"#);
        put("junk", "oops");
        put("differ", &format!(r#"{{"uidMappings":{},"gidMappings":{}}}"#, at(65536), at(131_072)));
        put("none", r#"{"uidMappings":[],"gidMappings":[]}"#);
        let userns = load(root.path(), 3);
        for pod in ["junk", "differ", "none"] {
            assert!(matches!(userns.assign(&pod.into()), Err(UserNsError::BadFile(_))), "{pod}");
        }
        assert_eq!(userns.assign(&"new".into()).unwrap().uids[0].host_id, 3 * 65536);
        userns.release(&"differ".into());
        assert_eq!(userns.assign(&"other".into()).unwrap().uids[0].host_id, 65536);
    }

    #[derive(Clone, Debug)]
    enum Act {
        Assign(u8),
        Release(u8),
        Reload,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            4 => (0..12u8).prop_map(Act::Assign),
            2 => (0..12u8).prop_map(Act::Release),
            1 => Just(Act::Reload),
        ];
        prop::collection::vec(act, 1..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_two_pods_overlap_and_a_reload_changes_nothing(acts in acts()) {
            let root = tempfile::tempdir().unwrap();
            let mut userns = load(root.path(), 8);
            let mut have: BTreeMap<u8, u32> = BTreeMap::new();
            let uid = |pod: u8| PodUid::from(format!("pod-{pod}"));
            for act in acts {
                match act {
                    Act::Assign(pod) => match userns.assign(&uid(pod)) {
                        Ok(ids) => {
                            let start = ids.uids[0].host_id;
                            prop_assert_eq!(*have.entry(pod).or_insert(start), start);
                        }
                        Err(_) => prop_assert_eq!(have.len(), 8),
                    },
                    Act::Release(pod) => {
                        userns.release(&uid(pod));
                        have.remove(&pod);
                    }
                    Act::Reload => userns = load(root.path(), 8),
                }
                let mut starts: Vec<_> = have.values().copied().collect();
                starts.sort_unstable();
                prop_assert!(starts.windows(2).all(|two| two[1] - two[0] >= PER_POD), "{:?}", starts);
            }
        }
    }
}
