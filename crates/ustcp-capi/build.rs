//! How the shared library is linked.

fn main() {
    // Programs record this name and not the file's, so that 0.1.1 replaces 0.1.0 under them.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libustcp.so.0");
    // Handlers of fork and exit point into the library, and a thread of it runs: dlclose must not unmap it.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
