import ArgumentParser
import Configuration
import Foundation
import HTTPTransport
import ObjectStorage
import Pipeline

struct ArtifactCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "artifact",
        abstract: "Moves single files to and from the object store, as the stages do.",
        discussion: """
            For looking at a run's files by hand, and for `make bench-artifacts`.

              martlet artifact put model.safetensors s3://martlet/scratch/model.safetensors
              martlet artifact get s3://martlet/scratch/model.safetensors model.safetensors
            """,
        subcommands: [ArtifactPutCommand.self, ArtifactGetCommand.self])
}

struct ArtifactPutCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "put", abstract: "Stores a file, in parallel parts when it is large, with its digest.",
        discussion: "  martlet artifact put model.safetensors s3://martlet/scratch/model.safetensors")

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The file to store.")
    var file: String

    @Argument(help: "s3://bucket/key.")
    var object: ObjectAddress

    func run() async throws {
        try await ExitCodes.guarding {
            let services = Services(quiet: try global.load(), name: "martlet artifact")
            let stored = try await Signals.cancelling {
                let transport = services.transport()
                let stored = try await services.storage(transport)
                    .upload(file: file, bucket: object.bucket, key: object.key)
                await transport.close()
                return stored
            }
            ArtifactReport.show(stored, file: file, as: format.output)
        }
    }
}

struct ArtifactGetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Fetches a file, in parallel ranges when it is large, and verifies its digest.",
        discussion: "  martlet artifact get s3://martlet/scratch/model.safetensors model.safetensors")

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "s3://bucket/key.")
    var object: ObjectAddress

    @Argument(help: "The file to write; it appears complete or not at all.")
    var file: String

    func run() async throws {
        try await ExitCodes.guarding {
            let services = Services(quiet: try global.load(), name: "martlet artifact")
            let stored = try await Signals.cancelling {
                let transport = services.transport()
                let stored = try await services.storage(transport)
                    .download(bucket: object.bucket, key: object.key, toFile: file)
                await transport.close()
                return stored
            }
            ArtifactReport.show(stored, file: file, as: format.output)
        }
    }
}

/// `s3://bucket/key` on a command line.
struct ObjectAddress: ExpressibleByArgument, Sendable {
    let bucket: String
    let key: String

    init?(argument: String) {
        guard argument.hasPrefix("s3://") else { return nil }
        let parts = argument.dropFirst(5).split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        bucket = String(parts[0])
        key = String(parts[1])
    }
}

enum ArtifactReport {
    static func show(_ object: StoredObject, file: String, as format: OutputFormat) {
        switch format {
        case .table: print("\(object.size) bytes, SHA-256 \(object.sha256)")
        case .json:
            print(
                JSONValue.object([
                    "bucket": .string(object.bucket), "key": .string(object.key), "bytes": .int(object.size),
                    "sha256": .string(object.sha256), "file": .string(file),
                ]).canonicalJSON)
        }
    }
}
