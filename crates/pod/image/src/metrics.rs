//! Metrics of images (names, labels and buckets are the kubelet's).

use telemetry::metrics::{Counter, Gauge, Histogram, Registry, Stability::Alpha};

const PULL_BUCKETS: &[f64] = &[
    1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0,
    2700.0, 3600.0,
];

/// The families that images feed.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) pull_duration: Histogram,
    pub(crate) ensure_requests: Counter,
    pub(crate) garbage_collected: Counter,
    pub(crate) must_pull_checks: Counter,
    pub(crate) pull_intents: Gauge,
    pub(crate) pulled_records: Gauge,
}

impl Metrics {
    /// Adds the families to `registry`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            pull_duration: registry.histogram(
                "kubelet_image_pull_duration_seconds",
                "Duration of an image pull, by the size of the image.",
                Alpha,
                &["image_size_in_bytes"],
                PULL_BUCKETS,
            ),
            ensure_requests: registry.counter(
                "kubelet_image_manager_ensure_image_requests_total",
                "Requests for an image, by pull policy, by whether it was on the node and whether it had to be pulled.",
                Alpha,
                &["pull_policy", "present_locally", "pull_required"],
            ),
            garbage_collected: registry.counter(
                "kubelet_image_garbage_collected_total",
                "Images removed because they were old (age) or room was needed (space).",
                Alpha,
                &["reason"],
            ),
            must_pull_checks: registry.counter(
                "kubelet_imagemanager_image_mustpull_checks_total",
                "Checks whether a pod may use an image that is on the node, by what came of them.",
                Alpha,
                &["result"],
            ),
            pull_intents: registry.gauge(
                "kubelet_imagemanager_ondisk_pullintents",
                "Pulls that are recorded on disk as begun.",
                Alpha,
                &[],
            ),
            pulled_records: registry.gauge(
                "kubelet_imagemanager_ondisk_pulledrecords",
                "Images that are recorded on disk as pulled.",
                Alpha,
                &[],
            ),
        }
    }
}

/// The value of the label `image_size_in_bytes`.
pub(crate) fn size_bucket(bytes: u64) -> &'static str {
    const MB: u64 = 1024 * 1024;
    const GB: u64 = 1024 * MB;
    const BUCKETS: [(u64, &str); 11] = [
        (10 * MB, "0-10MB"),
        (100 * MB, "10MB-100MB"),
        (500 * MB, "100MB-500MB"),
        (GB, "500MB-1GB"),
        (5 * GB, "1GB-5GB"),
        (10 * GB, "5GB-10GB"),
        (20 * GB, "10GB-20GB"),
        (30 * GB, "20GB-30GB"),
        (40 * GB, "30GB-40GB"),
        (60 * GB, "40GB-60GB"),
        (100 * GB, "60GB-100GB"),
    ];
    match bytes {
        0 => "N/A",
        _ => BUCKETS.iter().find(|(limit, _)| bytes <= *limit).map_or("GT100GB", |(_, name)| name),
    }
}
