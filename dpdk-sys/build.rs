//! Compiles the shim against the installed DPDK and generates the binding of its header.
//!
//! DPDK is found through pkg-config and linked as shared libraries: its drivers are plug-ins loaded at run time.

use std::path::PathBuf;
use std::{env, panic, process};

/// The first release with the `RTE_ETH_` names, and the oldest the source is kept free of differences to.
const DPDK_VERSION_MIN: &str = "21.11";

/// Says what is wrong in a few lines, where a panic would bury it in a backtrace.
fn fail(message: &str) -> ! {
    eprintln!("\nerror: {message}\n");
    process::exit(1)
}

fn main() {
    for file in ["build.rs", "shim.h", "shim.c"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let include_paths = find_dpdk();
    // First the shim, then the libraries it needs: a linker that drops unused ones reads from left to right.
    compile_shim(&include_paths);
    link_dpdk();
    generate_binding();
}

fn pkg_config() -> pkg_config::Config {
    let mut config = pkg_config::Config::new();
    config.atleast_version(DPDK_VERSION_MIN);
    config
}

fn find_dpdk() -> Vec<PathBuf> {
    match pkg_config().cargo_metadata(false).probe("libdpdk") {
        Ok(library) => library.include_paths,
        Err(pkg_config::Error::Command { command, cause }) => fail(&format!(
            "`{command}` could not be started ({cause}).\nPollux finds DPDK through pkg-config. On Debian or Ubuntu: \
             apt-get install pkg-config libdpdk-dev dpdk"
        )),
        Err(error) => fail(&format!(
            "DPDK {DPDK_VERSION_MIN} or newer was not found.\nOn Debian or Ubuntu: apt-get install libdpdk-dev dpdk\n\
             A DPDK of your own: set PKG_CONFIG_PATH to the folder of its libdpdk.pc.\nWithout DPDK, only the part \
             that does no I/O builds: cargo build --lib --no-default-features\n\n{error}"
        )),
    }
}

/// The flags that make DPDK's headers agree with its libraries: `-include rte_config.h` and `-march`, which the
/// pkg-config crate leaves out.
fn other_flags() -> Vec<String> {
    let tool = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = process::Command::new(&tool).args(["--cflags-only-other", "libdpdk"]).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
        }
        Ok(output) => fail(&format!("`{tool} --cflags-only-other libdpdk` failed: {}", output.status)),
        Err(error) => fail(&format!("`{tool} --cflags-only-other libdpdk` failed: {error}")),
    }
}

fn compile_shim(include_paths: &[PathBuf]) {
    let mut build = cc::Build::new();
    // DPDK's inline functions are the packet path, also in a debug build.
    build.file("shim.c").includes(include_paths).opt_level(2).define("_GNU_SOURCE", None).flag("-std=gnu11");
    for flag in other_flags() {
        build.flag(flag);
    }
    if let Err(error) = build.try_compile("pollux_dpdk_shim") {
        fail(&format!(
            "the DPDK shim does not compile: {error}\nWithout a C compiler, on Debian or Ubuntu: apt-get install \
             build-essential"
        ));
    }
}

fn link_dpdk() {
    if let Err(error) = pkg_config().probe("libdpdk") {
        fail(&format!("DPDK disappeared while building: {error}"));
    }
}

fn generate_binding() {
    // bindgen loads libclang when it is first needed and panics when there is none.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let libclang = panic::catch_unwind(bindgen::clang_version);
    panic::set_hook(hook);
    if libclang.is_err() {
        fail(
            "libclang, which generates the binding to DPDK, was not found.\nOn Debian or Ubuntu: apt-get install \
             libclang-dev\nElsewhere: set LIBCLANG_PATH to the folder of libclang.so",
        );
    }
    let binding = bindgen::Builder::default()
        .header("shim.h")
        .allowlist_function("px_.*")
        .allowlist_type("px_.*")
        .allowlist_var("PX_.*")
        .blocklist_type("rte_mbuf")
        .raw_line("use super::rte_mbuf;")
        .default_macro_constant_type(bindgen::MacroTypeVariation::Unsigned)
        .derive_default(true)
        .layout_tests(false)
        .generate_comments(false)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
        .generate()
        .unwrap_or_else(|error| {
            fail(&format!(
                "the binding to DPDK could not be generated: {error}\nOn Debian or Ubuntu: apt-get install libclang-dev"
            ))
        });
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.rs");
    if let Err(error) = binding.write_to_file(&out) {
        fail(&format!("{}: {error}", out.display()));
    }
}
