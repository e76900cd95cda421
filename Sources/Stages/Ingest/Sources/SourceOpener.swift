import Foundation
import HTTPTransport
import ObjectStorage

/// Turns the URIs of the parameters into sources.
struct SourceOpener {
    let transport: HTTPTransport
    let storage: S3Client
    let access: SourceAccess

    /// The sources with their metadata, none of them read yet.
    func sources(_ uris: [String]) async throws -> [any ByteSource] {
        var sources: [any ByteSource] = []
        for uri in uris {
            switch uri.prefix(while: { $0 != ":" }).lowercased() {
            case "file":
                let roots = FileRoots(access.fileRoots)
                for path in try FileLocator.paths(for: uri, within: roots) {
                    sources.append(try FileByteSource(path: path))
                }
            case "http", "https":
                sources.append(try await HTTPByteSource(uri: uri, transport: transport, addresses: access.addresses))
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
