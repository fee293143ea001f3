//! `kubelet_volume_stats_*`: how full the volumes of claims are. Pure.

use telemetry::metrics::{Declaration, Encoder, MetricKind, Stability};

use crate::summary::VolumeStats;

const fn gauge(name: &'static str, help: &'static str) -> Declaration {
    let labels = &["namespace", "persistentvolumeclaim"];
    Declaration { name, help, stability: Stability::Alpha, kind: MetricKind::Gauge, labels }
}

const CAPACITY: Declaration =
    gauge("kubelet_volume_stats_capacity_bytes", "Size of the volume of a claim, in bytes.");
const AVAILABLE: Declaration =
    gauge("kubelet_volume_stats_available_bytes", "Bytes that are left in the volume of a claim.");
const USED: Declaration =
    gauge("kubelet_volume_stats_used_bytes", "Bytes that are used in the volume of a claim.");
const INODES: Declaration = gauge("kubelet_volume_stats_inodes", "Inodes of the volume of a claim.");
const INODES_FREE: Declaration =
    gauge("kubelet_volume_stats_inodes_free", "Inodes that are left in the volume of a claim.");
const INODES_USED: Declaration =
    gauge("kubelet_volume_stats_inodes_used", "Inodes that are used in the volume of a claim.");
const ABNORMAL: Declaration = gauge(
    "kubelet_volume_stats_health_status_abnormal",
    "1 if the driver says that something is wrong with the volume of a claim, else 0 (gate CSIVolumeHealth).",
);

/// The families.
pub const DECLARATIONS: [Declaration; 7] =
    [CAPACITY, AVAILABLE, USED, INODES, INODES_FREE, INODES_USED, ABNORMAL];

/// Adds the families of `volumes`. Those without a claim are left out.
pub fn encode(encoder: &mut Encoder, volumes: &[VolumeStats]) {
    type Value = fn(&VolumeStats) -> Option<u64>;
    let families: [(Declaration, Value); 7] = [
        (CAPACITY, |volume| volume.fs.capacity_bytes),
        (AVAILABLE, |volume| volume.fs.available_bytes),
        (USED, |volume| volume.fs.used_bytes),
        (INODES, |volume| volume.fs.inodes),
        (INODES_FREE, |volume| volume.fs.inodes_free),
        (INODES_USED, |volume| volume.fs.inodes_used),
        (ABNORMAL, |volume| volume.health.map(|health| health.abnormal.into())),
    ];
    for (declaration, value) in families {
        let (mut family, labels) = (encoder.declared(&declaration), declaration.labels);
        for volume in volumes {
            let (Some(claim), Some(value)) = (&volume.claim, value(volume)) else { continue };
            #[allow(clippy::cast_precision_loss, reason = "sizes of volumes fit in 52 bits")]
            family.sample(&[(labels[0], &claim.namespace), (labels[1], &claim.name)], value as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answers;

    #[test]
    fn what_prometheus_is_told() {
        let volumes: Vec<_> =
            answers().iter().map(|(key, answer)| answer.stats("data".to_owned(), key)).collect();
        let mut encoder = Encoder::default();
        encode(&mut encoder, &volumes);
        let text = encoder.finish();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let of = |name: &str, value: &str| {
            format!(
                "kubelet_volume_stats_{name}{{namespace=\"shop\",persistentvolumeclaim=\"claim1\"}} {value}"
            )
        };
        let expected = [
            of("available_bytes", "5.4e+06"),
            of("capacity_bytes", "9e+06"),
            of("health_status_abnormal", "0"),
            of("inodes", "9000"),
            of("inodes_free", "8100"),
            of("inodes_used", "900"),
            of("used_bytes", "2.7e+06"),
        ];
        assert_eq!(samples, expected);
        assert!(text.contains("# TYPE kubelet_volume_stats_used_bytes gauge\n"), "{text}");
    }

    #[test]
    fn nothing_of_volumes_without_a_claim() {
        let mut volumes: Vec<_> =
            answers().iter().map(|(key, answer)| answer.stats("data".to_owned(), key)).collect();
        volumes[0].claim = None;
        let mut encoder = Encoder::default();
        encode(&mut encoder, &volumes);
        assert_eq!(encoder.finish(), "");
    }
}
