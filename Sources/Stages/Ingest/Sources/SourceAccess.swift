package import HTTPTransport

/// What the sources of an ingest may be. Whoever runs the workers decides it; an event cannot.
package struct SourceAccess: Sendable {
    /// Checked on every connection of an `http(s)://` source, after redirects too.
    package var addresses: HTTPAddressPolicy
    /// Absolute folders below which `file://` sources must lie, links resolved; empty for any file that the worker's
    /// user can read.
    package var fileRoots: [String]

    /// Public and private networks, loopback only where `allowing` says so, link-local and metadata addresses never.
    /// - Parameter allowing: addresses and CIDR blocks, such as `127.0.0.0/8`.
    package init(allowing: [String] = [], fileRoots: [String] = []) {
        addresses = .publicOnly(allowing: allowing, refusesPrivate: false)
        addresses.alwaysRefusesMetadata = true
        self.fileRoots = fileRoots
    }
}
