//! The file of the store.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;

use super::{Change, ChangeKind, Key, Snapshot};

/// Objects as JSON, by `resource/namespace/name`.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
/// Numbers by name.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// The revision of the latest change.
const REVISION: &str = "revision";
/// Pages that the database keeps in memory, in bytes. Reads never go there but at the start.
const CACHE: usize = 1 << 20;

/// Why the file of the store could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It could not be opened.
    #[error("cannot open the store {}; is another process using it?", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: redb::DatabaseError,
    },
    /// It holds what no store wrote.
    #[error("the store holds {key:?}, which is not an object; move the file away to start empty")]
    Object {
        /// The entry.
        key: String,
        /// Why, if it is no JSON.
        source: Option<serde_json::Error>,
    },
    /// It could not be read or written.
    #[error("the store's file failed")]
    Io(#[from] redb::Error),
    /// The writer could not be started.
    #[error("cannot start the store's writer")]
    Thread(#[source] std::io::Error),
}

#[derive(Debug)]
pub(super) struct Disk {
    database: Database,
}

impl Disk {
    pub(super) fn open(path: &Path) -> Result<(Self, Snapshot), DiskError> {
        let unopened = |source| DiskError::Open { path: path.to_owned(), source };
        // Secrets are in it, so the file is there with its mode before the database is.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| unopened(redb::StorageError::Io(error).into()))?;
        let database = Database::builder().set_cache_size(CACHE).create(path).map_err(unopened)?;
        let disk = Self { database };
        disk.commit(&[], 0)?;
        let snapshot = disk.read()?;
        Ok((disk, snapshot))
    }

    fn read(&self) -> Result<Snapshot, DiskError> {
        let txn = self.database.begin_read().map_err(redb::Error::from)?;
        let mut snapshot = Snapshot::default();
        let objects = txn.open_table(OBJECTS).map_err(redb::Error::from)?;
        for entry in objects.iter().map_err(redb::Error::from)? {
            let (key, bytes) = entry.map_err(redb::Error::from)?;
            let foreign = |source| DiskError::Object { key: key.value().to_owned(), source };
            let object: Value =
                serde_json::from_slice(bytes.value()).map_err(|error| foreign(Some(error)))?;
            let key = Key::parse(key.value()).ok_or_else(|| foreign(None))?;
            snapshot.objects.insert_mut(key, Arc::new(object));
        }
        let numbers = txn.open_table(NUMBERS).map_err(redb::Error::from)?;
        snapshot.revision =
            numbers.get(REVISION).map_err(redb::Error::from)?.map_or(1, |number| number.value());
        Ok(snapshot)
    }

    /// Writes `changes`; they are on the disk when this returns. The first commit makes the tables.
    pub(super) fn commit(&self, changes: &[Change], revision: u64) -> Result<(), redb::Error> {
        let txn = self.database.begin_write()?;
        {
            let mut objects = txn.open_table(OBJECTS)?;
            for change in changes {
                let key = change.key.to_string();
                if change.kind == ChangeKind::Deleted {
                    objects.remove(key.as_str())?;
                } else {
                    objects.insert(key.as_str(), change.object.to_string().as_bytes())?;
                }
            }
            let mut numbers = txn.open_table(NUMBERS)?;
            if revision > 0 {
                numbers.insert(REVISION, revision)?;
            }
        }
        txn.commit()?;
        Ok(())
    }
}
