import Glibc
import HTTPTransport
import Logging
import ObjectStorage
import Pipeline
import StageSupport
import TestServers
import Testing
import WorkerRuntime

/// Stages that run any program.
@Suite(.timeLimit(.minutes(4))) struct CommandHandlerTests {
    private func scene(_ words: String..., environment: JSONValue? = nil) throws -> StageScene {
        var parameters: [String: JSONValue] = ["command": .array(words.map(JSONValue.string))]
        if let environment { parameters["environment"] = environment }
        return try StageScene(parameters: .object(parameters))
    }

    private func failure(of scene: StageScene) async throws -> Failure {
        defer { scene.remove() }
        let error = await #expect(throws: StageFailure.self) { try await CommandHandler().run(scene.context) }
        return try #require(error).failure
    }

    @Test func aProgramWithoutFilesSucceedsAndIsLogged() async throws {
        let scene = try scene(
            "sh", "-c",
            "echo $MARTLET_RUN $MARTLET_STAGE $MARTLET_ATTEMPT $X $TRACEPARENT; cat $MARTLET_INPUTS; echo oops >&2",
            environment: ["X": 7])
        defer { scene.remove() }
        guard case .succeeded(let output) = try await CommandHandler().run(scene.context) else {
            Issue.record("not succeeded")
            return
        }
        #expect(output.artifacts == nil)
        #expect(output.digest != nil)
        let log = scene.logText
        #expect(log.contains("r1 s 2 7 00-ab"))
        #expect(log.contains("\"before\""))
        #expect(log.contains("oops"))
    }

    @Test func filesBecomeTheOutput() async throws {
        let server = try await TestServers.shared.s3()
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let storage = try S3Client(
            configuration: S3Configuration(
                endpoint: server.endpoint, region: server.region,
                credentials: S3Credentials(accessKeyID: server.accessKey, secretAccessKey: server.secretKey)),
            transport: HTTPTransport(logger: quiet), logger: quiet)
        let script = #"cd $MARTLET_OUTPUT && mkdir a && echo hello > a/b.txt && echo '{"n": 3}' > values.json"#
        let scene = try StageScene(
            parameters: ["command": ["sh", "-c", .string(script)]], storage: storage, bucket: "martlet")
        defer { scene.remove() }
        guard case .succeeded(let output) = try await CommandHandler().run(scene.context) else {
            Issue.record("not succeeded")
            return
        }
        #expect(output.values == ["n": 3])
        let reference = try #require(output.artifacts)
        #expect(reference.key == "runs/r1/s/t/manifest.json")
        let manifest = try await scene.context.artifacts.manifest(reference.location)
        #expect(manifest.entries.map(\.name).sorted() == ["a/b.txt", "values.json"])
        #expect(output.digest == manifest.contentDigest)
    }

    @Test func exitCodesAreClassified() async throws {
        #expect(try await failure(of: try scene("sh", "-c", "exit 75")).code == "command.tempfail")
        let failed = try await failure(of: try scene("sh", "-c", "exit 3"))
        #expect(failed.code == "command.failed")
        #expect(failed.message.contains("3"))
        #expect(try await failure(of: try scene("sh", "-c", "kill -9 $$")).code == "command.failed")
    }

    @Test func whatCannotBeStartedIsPermanent() async throws {
        let failure = try await failure(of: try scene("no-such-program-anywhere"))
        #expect(failure.class == .permanent)
        #expect(failure.message.contains("no-such-program-anywhere"))
    }

    @Test func badParametersAreNamed() async throws {
        for parameters: JSONValue in [
            [:], ["command": []], ["command": "echo"], ["command": ["a", 1]], ["cmd": ["a"]],
        ] {
            let failure = try await failure(of: try StageScene(parameters: parameters))
            #expect(failure.class == .permanent)
        }
    }

    @Test func valuesMustBeAnObject() async throws {
        let failure = try await failure(of: try scene("sh", "-c", "echo '[1]' > $MARTLET_OUTPUT/values.json"))
        #expect(failure.code == "command.values")
    }

    @Test func cancellationEndsTheProgramAndItsChildren() async throws {
        let scene = try scene("sh", "-c", "sleep 300 & echo pid $!; wait")
        defer { scene.remove() }
        let context = scene.context
        let task = Task { try await CommandHandler().run(context) }
        var pid: pid_t?
        var text = ""
        while pid == nil {
            try await Task.sleep(for: .milliseconds(10))
            text += scene.logText
            pid = text.split(separator: "\n").first { $0.contains(" pid ") }?.split(separator: " ").last.flatMap {
                pid_t($0)
            }
        }
        task.cancel()
        _ = await task.result
        let child = try #require(pid)
        while !StageScene.isGone(child) { try await Task.sleep(for: .milliseconds(10)) }
    }
}
