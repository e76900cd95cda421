import Foundation
import HTTPTransport
import ObjectStorage

/// Turns the URIs of the parameters into sources.
struct SourceOpener {
    let transport: HTTPTransport
    let storage: S3Client

    /// - Parameter readsBodies: False when only the metadata is asked for.
    func sources(_ uris: [String], readsBodies: Bool) async throws -> [any ByteSource] {
        var sources: [any ByteSource] = []
        for uri in uris {
            switch uri.prefix(while: { $0 != ":" }).lowercased() {
            case "file":
                for path in try FileLocator.paths(for: uri) { sources.append(try FileByteSource(path: path)) }
            case "http", "https":
                sources.append(try await HTTPByteSource(uri: uri, transport: transport))
            case "s3":
                sources.append(try await S3ByteSource(uri: uri, storage: storage))
            default:
                throw IngestError(
                    .invalidParameters,
                    "Ingest parameter \"source\": \"\(uri.prefix(200))\" must begin with file://, http://, https:// or s3://."
                )
            }
        }
        return sources
    }
}
