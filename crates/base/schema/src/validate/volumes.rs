//! `volumes`: exactly one source each, and the rules of every kind of source.

use std::collections::BTreeSet;

use types::Quantity;
use types::corev1::{
    DownwardAPIVolumeFile, EmptyDirVolumeSource, KeyToPath, ProjectedVolumeSource, Volume, VolumeProjection,
};

use super::env::{self, Into};
use crate::field::{Errors, Path, list};
use crate::names;

/// Permission bits.
const MODES: std::ops::RangeInclusive<i64> = 0..=0o777;

macro_rules! sources {
    ($($field:ident = $name:literal),* $(,)?) => {
        /// The names of the sources that `volume` has; there should be one.
        pub(crate) fn volume_sources(volume: &Volume) -> impl Iterator<Item = &'static str> {
            [$((volume.$field.is_some(), $name)),*].into_iter().filter_map(|(set, name)| set.then_some(name))
        }
    };
}
sources! {
    host_path = "hostPath", empty_dir = "emptyDir", gce_persistent_disk = "gcePersistentDisk",
    aws_elastic_block_store = "awsElasticBlockStore", git_repo = "gitRepo", secret = "secret", nfs = "nfs",
    iscsi = "iscsi", glusterfs = "glusterfs", persistent_volume_claim = "persistentVolumeClaim", rbd = "rbd",
    flex_volume = "flexVolume", cinder = "cinder", cephfs = "cephfs", flocker = "flocker",
    downward_api = "downwardAPI", fc = "fc", azure_file = "azureFile", config_map = "configMap",
    vsphere_volume = "vsphereVolume", quobyte = "quobyte", azure_disk = "azureDisk",
    photon_persistent_disk = "photonPersistentDisk", projected = "projected", portworx_volume = "portworxVolume",
    scale_io = "scaleIO", storageos = "storageos", csi = "csi", ephemeral = "ephemeral", image = "image",
}

pub(super) fn validate(errors: &mut Errors, path: &Path, volumes: &[Volume]) {
    let mut seen = BTreeSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        errors.name(&path.key("name"), &volume.name, names::dns_label);
        if !volume.name.is_empty() && !seen.insert(volume.name.as_str()) {
            errors.duplicate(&path.key("name"), &volume.name);
        }
        let mut sources = volume_sources(volume);
        if sources.next().is_none() {
            errors.required(&path, "must specify a volume type");
        }
        for second in sources {
            errors.forbidden(&path.key(second), "may not specify more than one volume type");
        }
        local(errors, &path, volume);
        from_data(errors, &path, volume);
        from_api(errors, &path, volume);
        remote(errors, &path, volume);
    }
}

/// Kinds that are made of what the node has.
fn local(errors: &mut Errors, path: &Path, volume: &Volume) {
    if let Some(host) = &volume.host_path {
        let path = path.key("hostPath");
        errors.name(&path.key("path"), &host.path, names::no_backsteps);
        errors.optional_one_of(
            &path.key("type"),
            host.type_.as_deref(),
            &[
                "",
                "BlockDevice",
                "CharDevice",
                "Directory",
                "DirectoryOrCreate",
                "File",
                "FileOrCreate",
                "Socket",
            ],
        );
    }
    if let Some(dir) = &volume.empty_dir {
        empty_dir(errors, &path.key("emptyDir"), dir);
    }
    if let Some(image) = &volume.image {
        let path = path.key("image");
        let reference = image.reference.as_deref().unwrap_or_default();
        if reference.is_empty() {
            errors.required(&path.key("reference"), "");
        } else if reference.trim() != reference {
            errors.invalid(&path.key("reference"), reference, "must not have leading or trailing whitespace");
        }
        errors.one_of(
            &path.key("pullPolicy"),
            image.pull_policy.as_deref(),
            &["Always", "IfNotPresent", "Never"],
        );
    }
}

fn empty_dir(errors: &mut Errors, path: &Path, dir: &EmptyDirVolumeSource) {
    if let Some(limit) = &dir.size_limit {
        let path = path.key("sizeLimit");
        match Quantity::of(limit) {
            Err(error) => errors.invalid(&path, &limit.0, error.to_string()),
            Ok(size) if size.is_negative() => {
                errors.invalid(&path, &limit.0, "must be greater than or equal to 0");
            }
            Ok(_) => {}
        }
    }
    let medium = dir.medium.as_deref().unwrap_or_default();
    let path = path.key("medium");
    match medium.strip_prefix("HugePages-").map(str::parse::<Quantity>) {
        Some(Ok(size)) if size > Quantity::ZERO => {}
        Some(_) => errors.invalid(&path, medium, "must have a page size after HugePages-, such as 2Mi"),
        None => errors.optional_one_of(&path, Some(medium), &["", "HugePages", "Memory"]),
    }
}

fn mode(errors: &mut Errors, path: &Path, mode: Option<i32>) {
    if let Some(mode) = mode.filter(|&mode| !MODES.contains(&i64::from(mode))) {
        errors.invalid(path, &mode, "must be between 0 and 0777 (octal), which is 511 in JSON");
    }
}

fn items(errors: &mut Errors, path: &Path, items: &[KeyToPath]) {
    for (index, item) in items.iter().enumerate() {
        let path = path.key("items").index(index);
        if item.key.is_empty() {
            errors.required(&path.key("key"), "");
        }
        errors.name(&path.key("path"), &item.path, names::projected_path);
        mode(errors, &path.key("mode"), item.mode);
    }
}

fn downward_items(errors: &mut Errors, path: &Path, items: &[DownwardAPIVolumeFile]) {
    for (index, item) in items.iter().enumerate() {
        let path = path.key("items").index(index);
        errors.name(&path.key("path"), &item.path, names::projected_path);
        mode(errors, &path.key("mode"), item.mode);
        match (&item.field_ref, &item.resource_field_ref) {
            (Some(_), Some(_)) => {
                errors.invalid(&path, "", "may not have both fieldRef and resourceFieldRef");
            }
            (Some(field), None) => env::field_ref(errors, &path.key("fieldRef"), field, Into::File),
            (None, Some(resource)) => {
                env::resource_ref(errors, &path.key("resourceFieldRef"), resource, Into::File);
            }
            (None, None) => errors.required(&path, "must specify one of fieldRef and resourceFieldRef"),
        }
    }
}

/// Kinds whose files are written from data.
fn from_data(errors: &mut Errors, path: &Path, volume: &Volume) {
    if let Some(secret) = &volume.secret {
        let path = path.key("secret");
        if secret.secret_name.as_deref().unwrap_or_default().is_empty() {
            errors.required(&path.key("secretName"), "");
        }
        mode(errors, &path.key("defaultMode"), secret.default_mode);
        items(errors, &path, list(&secret.items));
    }
    if let Some(config_map) = &volume.config_map {
        let path = path.key("configMap");
        if config_map.name.is_empty() {
            errors.required(&path.key("name"), "");
        }
        mode(errors, &path.key("defaultMode"), config_map.default_mode);
        items(errors, &path, list(&config_map.items));
    }
    if let Some(downward) = &volume.downward_api {
        let path = path.key("downwardAPI");
        mode(errors, &path.key("defaultMode"), downward.default_mode);
        downward_items(errors, &path, list(&downward.items));
    }
    if let Some(projected) = &volume.projected {
        validate_projected(errors, &path.key("projected"), projected);
    }
}

fn validate_projected(errors: &mut Errors, path: &Path, projected: &ProjectedVolumeSource) {
    mode(errors, &path.key("defaultMode"), projected.default_mode);
    let mut paths = BTreeSet::new();
    for (index, source) in list(&projected.sources).iter().enumerate() {
        let path = path.key("sources").index(index);
        projection(errors, &path, source);
        for file in projected_files(source).filter(|file| !file.is_empty()) {
            if !paths.insert(file) {
                errors.invalid(&path, file, "another source of the volume has the same path");
            }
        }
    }
}

fn projected_files(source: &VolumeProjection) -> impl Iterator<Item = &str> {
    let secret = source.secret.iter().flat_map(|source| list(&source.items)).map(|item| &item.path);
    let config_map = source.config_map.iter().flat_map(|source| list(&source.items)).map(|item| &item.path);
    let downward = source.downward_api.iter().flat_map(|source| list(&source.items)).map(|item| &item.path);
    let token = source.service_account_token.iter().map(|token| &token.path);
    let bundle = source.cluster_trust_bundle.iter().map(|bundle| &bundle.path);
    let certificate = source.pod_certificate.iter().flat_map(|certificate| {
        [&certificate.credential_bundle_path, &certificate.key_path, &certificate.certificate_chain_path]
    });
    secret
        .chain(config_map)
        .chain(downward)
        .chain(token)
        .chain(bundle)
        .chain(certificate.flatten())
        .map(String::as_str)
}

/// Seconds that a token may be good for.
const TOKEN_SECONDS: std::ops::RangeInclusive<i64> = 600..=1 << 32;
/// Seconds that a pod's certificate may be good for: an hour to 91 days.
const CERTIFICATE_SECONDS: std::ops::RangeInclusive<i64> = 3600..=91 * 86_400;
const KEY_TYPES: [&str; 6] = ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"];

fn projection(errors: &mut Errors, path: &Path, source: &VolumeProjection) {
    let mut kinds = 0;
    if let Some(secret) = &source.secret {
        kinds += 1;
        let path = path.key("secret");
        if secret.name.is_empty() {
            errors.required(&path.key("name"), "");
        }
        items(errors, &path, list(&secret.items));
    }
    if let Some(config_map) = &source.config_map {
        kinds += 1;
        let path = path.key("configMap");
        if config_map.name.is_empty() {
            errors.required(&path.key("name"), "");
        }
        items(errors, &path, list(&config_map.items));
    }
    if let Some(downward) = &source.downward_api {
        kinds += 1;
        downward_items(errors, &path.key("downwardAPI"), list(&downward.items));
    }
    if let Some(token) = &source.service_account_token {
        kinds += 1;
        let path = path.key("serviceAccountToken");
        errors.name(&path.key("path"), &token.path, names::projected_path);
        let seconds = token.expiration_seconds.unwrap_or(3600);
        errors.in_range(&path.key("expirationSeconds"), seconds, TOKEN_SECONDS);
    }
    if let Some(bundle) = &source.cluster_trust_bundle {
        kinds += 1;
        let path = path.key("clusterTrustBundle");
        match (&bundle.name, &bundle.signer_name) {
            (Some(name), None) => {
                errors.name(&path.key("name"), &name.replace(':', "."), names::dns_subdomain);
            }
            (None, Some(signer)) => errors.name(&path.key("signerName"), signer, names::qualified_name),
            (Some(_), Some(_)) => errors.invalid(&path, "", "may not have both name and signerName"),
            (None, None) => errors.required(&path, "must specify one of name and signerName"),
        }
        errors.name(&path.key("path"), &bundle.path, names::projected_path);
    }
    if let Some(certificate) = &source.pod_certificate {
        kinds += 1;
        let path = path.key("podCertificate");
        errors.name(&path.key("signerName"), &certificate.signer_name, names::qualified_name);
        errors.one_of(&path.key("keyType"), Some(&certificate.key_type), &KEY_TYPES);
        if let Some(seconds) = certificate.max_expiration_seconds {
            errors.in_range(&path.key("maxExpirationSeconds"), seconds.into(), CERTIFICATE_SECONDS);
        }
        let files = [
            ("credentialBundlePath", &certificate.credential_bundle_path),
            ("keyPath", &certificate.key_path),
            ("certificateChainPath", &certificate.certificate_chain_path),
        ];
        if files.iter().all(|(_, file)| file.as_deref().unwrap_or_default().is_empty()) {
            errors.required(&path, "must specify at least one path");
        }
        for (field, file) in files {
            errors.rule(&path.key(field), file.as_deref().unwrap_or_default(), names::projected_path);
        }
    }
    match kinds {
        0 => errors.required(path, "must specify a projected volume source"),
        1 => {}
        _ => errors.forbidden(path, "may not specify more than one projected volume source"),
    }
}

/// Kinds that the API server knows more about.
fn from_api(errors: &mut Errors, path: &Path, volume: &Volume) {
    if let Some(claim) = &volume.persistent_volume_claim
        && claim.claim_name.is_empty()
    {
        errors.required(&path.key("persistentVolumeClaim").key("claimName"), "");
    }
    if let Some(ephemeral) = &volume.ephemeral
        && ephemeral.volume_claim_template.is_none()
    {
        errors.required(&path.key("ephemeral").key("volumeClaimTemplate"), "");
    }
    if let Some(csi) = &volume.csi {
        let path = path.key("csi");
        errors.name(&path.key("driver"), &csi.driver, names::csi_driver);
        if let Some(secret) = &csi.node_publish_secret_ref
            && secret.name.is_empty()
        {
            errors.required(&path.key("nodePublishSecretRef").key("name"), "");
        }
    }
}

/// Kinds that are reached over a network: what has to be set.
fn remote(errors: &mut Errors, path: &Path, volume: &Volume) {
    let mut required = |source: &str, field: &str, value: &str| {
        if value.is_empty() {
            errors.required(&path.key(source).key(field), "");
        }
    };
    if let Some(nfs) = &volume.nfs {
        required("nfs", "server", &nfs.server);
        required("nfs", "path", &nfs.path);
    }
    if let Some(iscsi) = &volume.iscsi {
        required("iscsi", "targetPortal", &iscsi.target_portal);
        required("iscsi", "iqn", &iscsi.iqn);
    }
    if let Some(disk) = &volume.gce_persistent_disk {
        required("gcePersistentDisk", "pdName", &disk.pd_name);
    }
    if let Some(disk) = &volume.aws_elastic_block_store {
        required("awsElasticBlockStore", "volumeID", &disk.volume_id);
    }
    if let Some(repo) = &volume.git_repo {
        required("gitRepo", "repository", &repo.repository);
    }
    if let Some(gluster) = &volume.glusterfs {
        required("glusterfs", "endpoints", &gluster.endpoints);
        required("glusterfs", "path", &gluster.path);
    }
    if let Some(rbd) = &volume.rbd {
        required("rbd", "image", &rbd.image);
        required("rbd", "monitors", rbd.monitors.first().map_or("", |_| "set"));
    }
    if let Some(ceph) = &volume.cephfs {
        required("cephfs", "monitors", ceph.monitors.first().map_or("", |_| "set"));
    }
    if let Some(flex) = &volume.flex_volume {
        required("flexVolume", "driver", &flex.driver);
    }
    if let Some(cinder) = &volume.cinder {
        required("cinder", "volumeID", &cinder.volume_id);
    }
    if let Some(file) = &volume.azure_file {
        required("azureFile", "secretName", &file.secret_name);
        required("azureFile", "shareName", &file.share_name);
    }
    if let Some(disk) = &volume.azure_disk {
        required("azureDisk", "diskName", &disk.disk_name);
        required("azureDisk", "diskURI", &disk.disk_uri);
    }
    if let Some(disk) = &volume.vsphere_volume {
        required("vsphereVolume", "volumePath", &disk.volume_path);
    }
    if let Some(disk) = &volume.photon_persistent_disk {
        required("photonPersistentDisk", "pdID", &disk.pd_id);
    }
    if let Some(portworx) = &volume.portworx_volume {
        required("portworxVolume", "volumeID", &portworx.volume_id);
    }
    if let Some(quobyte) = &volume.quobyte {
        required("quobyte", "registry", &quobyte.registry);
        required("quobyte", "volume", &quobyte.volume);
    }
    if let Some(scale_io) = &volume.scale_io {
        required("scaleIO", "gateway", &scale_io.gateway);
        required("scaleIO", "system", &scale_io.system);
        required("scaleIO", "volumeName", scale_io.volume_name.as_deref().unwrap_or_default());
    }
    if let Some(fc) = &volume.fc {
        let (names, ids) = (list(&fc.target_wwns), list(&fc.wwids));
        match (names.is_empty(), ids.is_empty()) {
            (true, true) => required("fc", "targetWWNs", ""),
            (false, false) => errors.invalid(&path.key("fc"), "", "may not have both targetWWNs and wwids"),
            (false, true) if fc.lun.is_none() => required("fc", "lun", ""),
            _ => {}
        }
    }
}
