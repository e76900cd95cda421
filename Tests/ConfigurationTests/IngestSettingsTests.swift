import Testing

@testable import Configuration

@Suite struct IngestSettingsTests {
    private func ingest(
        _ yaml: String, _ environment: [String: String] = [:]
    ) throws -> MartletConfiguration.Ingest {
        // What a stack of this checkout says of itself must not count here.
        let own = environment.merging(["MARTLET_STATE": "/nonexistent"]) { given, _ in given }
        return try MartletConfiguration.parse(yaml: yaml, file: "martlet.yaml", environment: own).ingest
    }

    @Test(arguments: [
        ("http://127.0.0.1:9000", true), ("http://localhost:9000", true), ("http://[::1]:9000", true),
        ("https://s3.eu-west-1.amazonaws.com", false), ("http://minio:9000", false),
        ("http://localhost.example.com", false),
    ])
    func loopbackIsASourceWhereTheStoreIsOnLoopback(_ endpoint: String, _ isAllowed: Bool) throws {
        let settings = try ingest("s3: {endpoint: \"\(endpoint)\"}")
        #expect(settings.allowAddresses == (isAllowed ? ["127.0.0.0/8", "::1"] : []))
    }

    @Test func settingsOverrideTheStandard() throws {
        let yaml =
            "s3: {endpoint: \"http://127.0.0.1:1\"}\ningest: {allow_addresses: [127.0.0.2], file_roots: [/srv/a, /b]}"
        let settings = try ingest(yaml)
        #expect(settings.allowAddresses == ["127.0.0.2"])
        #expect(settings.fileRoots == ["/srv/a", "/b"])
        #expect(try ingest(yaml, ["MARTLET_INGEST_FILE_ROOTS": "/c"]).fileRoots == ["/c"])
        #expect(try ingest(yaml, ["MARTLET_INGEST_ALLOW_ADDRESSES": ","]).allowAddresses.isEmpty)
    }

    @Test func wrongValuesAreNamed() {
        for (yaml, place) in [
            ("ingest: {allow_addresses: [nowhere]}", "ingest.allow_addresses"),
            ("ingest: {file_roots: [data]}", "ingest.file_roots"), ("ingest: {roots: [/a]}", "roots"),
        ] {
            #expect { try ingest(yaml) } throws: { ($0 as? ConfigurationError)?.description.contains(place) == true }
        }
    }
}
