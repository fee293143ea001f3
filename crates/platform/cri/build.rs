//! Turns the CRI contract in `proto/` into messages, clients and servers. Needs no `protoc`.

use std::error::Error;

const CONTRACT: &str = "proto/runtime/v1/api.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={CONTRACT}");
    let descriptors = protox::compile([CONTRACT], ["proto"])?;
    tonic_prost_build::configure()
        // The fake runtime serves what a kubelet calls, and answers `Unimplemented` to the rest.
        .generate_default_stubs(true)
        // Credentials must not reach a log: `v1::AuthConfig` has a `Debug` of our own.
        .skip_debug(["runtime.v1.AuthConfig"])
        .compile_fds(descriptors)?;
    Ok(())
}
