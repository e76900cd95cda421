import Testing

@testable import MLflowClient

@Suite(.timeLimit(.minutes(4))) struct RegistryTests {
    @Test func registersVersionsWithAliases() async throws {
        try await Tracker.with { tracker async throws in
            let client = tracker.client
            let names = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        try await client.getOrCreateRegisteredModel(named: tracker.name, tags: ["team": "sec"]).name
                    }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(names == [tracker.name])
            let run = try await tracker.makeRun()
            let first = try await client.createModelVersion(
                name: tracker.name, source: "s3://bucket/a", runID: run.id, description: "d",
                tags: ["martlet.run": "run 'one'"])
            let second = try await client.createModelVersion(name: tracker.name, source: "s3://bucket/b")
            #expect([first.version, second.version] == ["1", "2"])
            #expect(first.runID == run.id)
            try await client.setVersionTag(name: tracker.name, version: "1", key: "k", value: "v")
            let read = try #require(try await client.modelVersion(name: tracker.name, version: "1"))
            #expect(read.tags == ["martlet.run": "run 'one'", "k": "v"])
            #expect(read.source == "s3://bucket/a")
            #expect(read.description == "d")
            #expect(try await client.modelVersion(name: tracker.name, version: "99") == nil)

            #expect(try await client.modelVersion(name: tracker.name, alias: "champion") == nil)
            try await client.setAlias(name: tracker.name, alias: "champion", version: "1")
            try await client.setAlias(name: tracker.name, alias: "champion", version: "2")
            #expect(try await client.modelVersion(name: tracker.name, alias: "champion")?.version == "2")
            #expect(try await client.registeredModel(named: tracker.name)?.aliases == ["champion": "2"])
            try await client.deleteAlias(name: tracker.name, alias: "champion")
            try await client.deleteAlias(name: tracker.name, alias: "champion")
            #expect(try await client.modelVersion(name: tracker.name, alias: "champion") == nil)

            #expect(try await client.modelVersions(name: tracker.name).map(\.version).sorted() == ["1", "2"])
            let tagged = try await client.searchModelVersions(
                filter: "name = \(try MLflowFilter.text(tracker.name)) and "
                    + "\(try MLflowFilter.tag("martlet.run")) = \(try MLflowFilter.text("run 'one'"))")
            #expect(tagged.map(\.version) == ["1"])
            try await client.setModelTag(name: tracker.name, key: "k", value: "v")
            #expect(try await client.registeredModel(named: tracker.name)?.tags == ["team": "sec", "k": "v"])

            try await client.deleteModelVersion(name: tracker.name, version: "1")
            try await client.deleteModelVersion(name: tracker.name, version: "1")
            #expect(try await client.modelVersions(name: tracker.name).map(\.version) == ["2"])
            try await client.deleteRegisteredModel(named: tracker.name)
            try await client.deleteRegisteredModel(named: tracker.name)
            #expect(try await client.registeredModel(named: tracker.name) == nil)
            #expect(try await client.modelVersion(name: tracker.name, alias: "champion") == nil)
        }
    }

    @Test func refusesVersionsOfNothing() async throws {
        try await Tracker.with { tracker async throws in
            let missing = await #expect(throws: MLflowError.self) {
                try await tracker.client.createModelVersion(name: tracker.name, source: "s3://b/k")
            }
            #expect(missing?.code == .notFound)
            _ = try await tracker.client.getOrCreateRegisteredModel(named: tracker.name)
            let source = await #expect(throws: MLflowError.self) {
                try await tracker.client.createModelVersion(name: tracker.name, source: "/etc/passwd")
            }
            #expect(source?.code == .invalidParameter)
            let alias = await #expect(throws: MLflowError.self) {
                try await tracker.client.setAlias(name: tracker.name, alias: "champion", version: "7")
            }
            #expect(alias?.isRetryable == false)
            try await tracker.client.deleteRegisteredModel(named: tracker.name)
        }
    }
}
