/// Reads which sources an ingest may have.
struct IngestSettings {
    private(set) var ingest = MartletConfiguration.Ingest()

    /// - Parameter storage: the object store; on loopback it tells that everything runs on this machine.
    init(_ sources: SettingSources, storage: ServiceURL?) {
        ingest.allowAddresses = sources.list(
            .ingestAddresses, standard: Self.isLoopback(storage) ? ["127.0.0.0/8", "::1"] : [],
            expected: "addresses or networks, such as 127.0.0.1 or 127.0.0.0/8", isValid: NetworkText.isNetwork)
        ingest.fileRoots = sources.list(
            .ingestRoots, expected: "absolute folders, such as /srv/data", isValid: { $0.hasPrefix("/") })
    }

    private static func isLoopback(_ url: ServiceURL?) -> Bool {
        guard let url, let mark = url.value.firstRange(of: "://") else { return false }
        let authority = url.value[mark.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let host = authority.split(separator: "@").last ?? ""
        return host.hasPrefix("127.") || host.hasPrefix("[::1]") || host.prefix { $0 != ":" } == "localhost"
    }
}
