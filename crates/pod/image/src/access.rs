//! Who may use which image: pulls are recorded before they begin and when they end, and a pod gets an image that is
//! there already only if the records and the policy let it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cri::{CriError, Runtime};
use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::metrics::Metrics;
use crate::records::{PulledRecord, Records, SecretUser};
use crate::reference::ImageName;
use crate::verification::{Check, Verification};

/// As many Secrets are noted of an image without a pull.
const NOTED_SECRETS: usize = 100;

/// Why the records are of no use now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("the records of pulled images (image_manager in --root-dir) cannot be used")]
    Records(#[from] io::Error),
    #[error("the runtime does not list its images")]
    List(#[source] CriError),
}

/// The records and the policy. Clones share them.
#[derive(Clone)]
pub struct Access {
    shared: Arc<Shared>,
    /// Set once the pulls that another run left half recorded are settled.
    settled: Arc<OnceCell<()>>,
}

struct Shared {
    policy: Verification,
    metrics: Metrics,
    files: Mutex<Files>,
}

/// Held while files are read and changed, on threads that may block.
struct Files {
    records: Records,
    /// Pulls under way by image.
    under_way: BTreeMap<String, usize>,
}

impl Access {
    /// Of the records in `root_dir`, whose directories are made.
    ///
    /// # Errors
    /// If they cannot be made.
    pub fn open(root_dir: &Path, policy: Verification, metrics: Metrics) -> io::Result<Self> {
        let files = Files { records: Records::open(root_dir)?, under_way: BTreeMap::new() };
        let shared = Arc::new(Shared { policy, metrics, files: Mutex::new(files) });
        shared.count(&shared.lock());
        Ok(Self { shared, settled: Arc::default() })
    }

    /// Whether a pod whose credentials for it are from `secrets` may use `image`, which is on the node as `image_ref`,
    /// without asking its registry.
    pub(crate) async fn may_use(
        &self,
        runtime: &Runtime,
        image: &str,
        image_ref: &str,
        secrets: Vec<SecretUser>,
    ) -> bool {
        let check = match self.settle(runtime).await {
            Ok(()) => {
                let (image, image_ref) = (image.to_owned(), image_ref.to_owned());
                self.with_files(move |shared, files| Ok(shared.check(files, &image, &image_ref, &secrets)?))
                    .await
            }
            Err(error) => Err(error),
        };
        let check = check.unwrap_or_else(|error| {
            let error = telemetry::chain(&error);
            tracing::warn!(image, error, "It is not known who may use the image; it is pulled");
            Check::Failed
        });
        self.shared.metrics.must_pull_checks.inc(&[check.as_str()]);
        check.allows()
    }

    /// Records that a pull of `image` begins. To be followed by [`Access::end`], whatever comes of the pull.
    pub(crate) async fn begin(&self, runtime: &Runtime, image: &str) -> Result<(), AccessError> {
        // Else this pull would look like one of those.
        if let Err(error) = self.settle(runtime).await {
            tracing::debug!(error = telemetry::chain(&error), "Pulls of another run are not settled yet");
        }
        let image = image.to_owned();
        self.with_files(move |shared, files| {
            files.records.begin(&image)?;
            *files.under_way.entry(image).or_default() += 1;
            shared.count(files);
            Ok(())
        })
        .await
    }

    /// Records how a pull of `image` ended: with the image `pulled`, which was given for a Secret and is for pods that
    /// have it, or for all pods of the node; or without.
    pub(crate) async fn end(&self, image: &str, pulled: Option<(String, Option<SecretUser>)>) {
        let image = image.to_owned();
        let name = image.clone();
        let ended = self.with_files(move |shared, files| {
            let others = files.under_way.get(&image).copied().unwrap_or(0).saturating_sub(1);
            if let Some((image_ref, secret)) = pulled {
                files.let_use(&image, &image_ref, secret.as_ref())?;
            }
            if others == 0 {
                files.under_way.remove(&image);
                files.records.end(&image)?;
            } else {
                files.under_way.insert(image, others);
            }
            shared.count(files);
            Ok(())
        });
        if let Err(error) = ended.await {
            let error = telemetry::chain(&error);
            tracing::warn!(
                image = name,
                error,
                "The end of a pull could not be recorded; the next one records it"
            );
        }
    }

    /// Forgets the images that are gone: those not in `present`, which was listed after `since`.
    pub(crate) async fn forget_gone(&self, present: BTreeSet<String>, since: Timestamp) {
        let forgot = self.with_files(move |shared, files| {
            for record in files.records.all_pulled()? {
                let updated: Result<Timestamp, _> = record.last_updated_time.parse();
                let newer = updated.is_ok_and(|updated| updated.as_second() >= since.as_second());
                if !newer && !present.contains(&record.image_ref) {
                    files.records.remove(&record.image_ref)?;
                }
            }
            shared.count(files);
            Ok(())
        });
        if let Err(error) = forgot.await {
            let error = telemetry::chain(&error);
            tracing::warn!(error, "The records of images that are gone cannot be removed");
        }
    }

    /// Has a record of every image whose pull was begun by another run and never recorded: nobody may use those
    /// without asking the registry, under whatever name.
    async fn settle(&self, runtime: &Runtime) -> Result<(), AccessError> {
        let settle = || async {
            let mine = |_: &Shared, files: &mut Files| {
                let mut begun = files.records.begun()?;
                begun.retain(|image| !files.under_way.contains_key(image));
                Ok(begun)
            };
            let begun = self.with_files(mine).await?;
            if begun.is_empty() {
                return Ok(());
            }
            let images = runtime.list_images().await.map_err(AccessError::List)?;
            self.with_files(move |shared, files| {
                for image in begun {
                    let full = full_name(&image);
                    let names = |found: &cri::Image| {
                        found.repo_tags.iter().chain(&found.repo_digests).any(|name| full_name(name) == full)
                    };
                    for found in images.iter().filter(|found| names(found)) {
                        if files.records.pulled(&found.id)?.is_none() {
                            files.records.put(&PulledRecord::new(&found.id, Timestamp::now()))?;
                        }
                    }
                    files.records.end(&image)?;
                }
                shared.count(files);
                Ok(())
            })
            .await
        };
        self.settled.get_or_try_init(settle).await.map(|_| ())
    }

    async fn with_files<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared, &mut Files) -> Result<T, AccessError> + Send + 'static,
    ) -> Result<T, AccessError> {
        let shared = Arc::clone(&self.shared);
        let acted = spawn_blocking(move || {
            let mut files = shared.lock();
            act(&shared, &mut files)
        });
        acted.await.map_err(|error| AccessError::Records(io::Error::other(error)))?
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, files: &Files) {
        if let Ok((begun, pulled)) = files.records.count() {
            self.metrics.pull_intents.set(&[], count(begun));
            self.metrics.pulled_records.set(&[], count(pulled));
        }
    }

    fn check(
        &self,
        files: &Files,
        image: &str,
        image_ref: &str,
        secrets: &[SecretUser],
    ) -> io::Result<Check> {
        let record = files.records.pulled(image_ref)?;
        let begun = record.is_none() && files.records.has_begun(image)?;
        let name = ImageName::bare(image);
        let check = self.policy.check(name, record.as_ref(), begun, secrets);
        if let (Check::RecordFound, Some(record)) = (check, record)
            && let Err(error) = files.note_secrets(name, record, secrets)
        {
            tracing::warn!(image, %error, "It cannot be recorded who else may use the image");
        }
        Ok(check)
    }
}

impl Files {
    fn let_use(&self, image: &str, image_ref: &str, secret: Option<&SecretUser>) -> io::Result<()> {
        let (name, now) = (ImageName::bare(image), Timestamp::now());
        // What cannot be read is of no use to anybody.
        let known = self.records.pulled(image_ref).unwrap_or_default();
        let mut record = known.unwrap_or_else(|| PulledRecord::new(image_ref, now));
        let news = match secret {
            Some(secret) => record.let_secret_use(name, secret, now),
            None => record.let_all_pods_use(name, now),
        };
        if news { self.records.put(&record) } else { Ok(()) }
    }

    /// Adds those of `secrets` that may use the image because of what is recorded: by then the record knows them when
    /// what it knew of them has changed.
    fn note_secrets(&self, name: &str, mut record: PulledRecord, secrets: &[SecretUser]) -> io::Result<()> {
        let Some(users) = record.credential_mapping.get(name) else { return Ok(()) };
        let known = users.kubernetes_secrets.clone();
        if users.node_pods_accessible || known.len() >= NOTED_SECRETS {
            return Ok(());
        }
        let own = secrets.iter().find(|own| known.iter().any(|known| known.vouches_for(own)));
        match own {
            Some(own) if record.let_secret_use(name, own, Timestamp::now()) => self.records.put(&record),
            _ => Ok(()),
        }
    }
}

/// The name with everything that was left out; as it is if it is none.
fn full_name(image: &str) -> String {
    ImageName::parse(image).map_or_else(|_| image.to_owned(), |name| name.to_string())
}

#[expect(clippy::cast_precision_loss, reason = "there are not that many files")]
fn count(files: usize) -> f64 {
    files as f64
}
