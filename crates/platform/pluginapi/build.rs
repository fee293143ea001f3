//! Turns the contracts in `proto/` into messages, clients and servers. Needs no `protoc`.

use std::error::Error;

const CONTRACTS: [&str; 2] = ["proto/registration.proto", "proto/csi.proto"];

/// Messages that carry credentials, or tokens in their volume context: their `Debug` is our own.
const SECRET: [&str; 3] =
    ["csi.v1.NodeStageVolumeRequest", "csi.v1.NodePublishVolumeRequest", "csi.v1.NodeExpandVolumeRequest"];

fn main() -> Result<(), Box<dyn Error>> {
    for contract in CONTRACTS {
        println!("cargo::rerun-if-changed={contract}");
    }
    let descriptors = protox::compile(CONTRACTS, ["proto"])?;
    tonic_prost_build::configure()
        // The driver of the testkit serves what a kubelet calls, and answers `Unimplemented` to the rest.
        .generate_default_stubs(true)
        .skip_debug(SECRET)
        .compile_fds(descriptors)?;
    Ok(())
}
