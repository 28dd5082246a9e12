//! The `pollux` binary: everything is in the library, see [`pollux::cli`].

fn main() -> std::process::ExitCode {
    pollux::cli::main()
}
