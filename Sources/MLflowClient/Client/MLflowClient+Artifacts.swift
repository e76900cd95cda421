import HTTPTransport

/// A run's artifacts, through the server's own artifact service (`--serve-artifacts`).
extension MLflowClient {
    private struct Listing: Decodable {
        struct File: Decodable {
            let path: String
            let isDir: Bool?
            let fileSize: Int64?

            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: CodingKeys.self)
                path = try container.decode(String.self, forKey: .path)
                isDir = try container.decodeIfPresent(Bool.self, forKey: .isDir)
                fileSize = try container.integer(.fileSize)
            }

            private enum CodingKeys: String, CodingKey { case path, isDir, fileSize }
        }
        let files: [File]?
    }

    /// Stores a file among the run's artifacts, streamed from the disk; replaces one of that name.
    ///
    /// - Parameter path: relative, with forward slashes.
    package func uploadArtifact(run: MLflowRun, path: String, fromFile file: String) async throws {
        let operation = "artifacts/upload"
        let size: Int64
        do {
            size = try ArtifactFile.size(of: file)
        } catch {
            throw MLflowError(
                code: .localFile, message: "cannot read \(file): \(error)", operation: operation, cause: error)
        }
        try await put(run: run, path: path, body: size == 0 ? .none : .file(path: file, offset: 0, length: size))
    }

    /// Stores bytes among the run's artifacts: a report, a small table.
    package func uploadArtifact(run: MLflowRun, path: String, bytes: [UInt8]) async throws {
        try await put(run: run, path: path, body: .bytes(bytes))
    }

    private func put(run: MLflowRun, path: String, body: HTTPRequestBody) async throws {
        let operation = "artifacts/upload"
        let call = MLflowCall(
            operation, method: "PUT", url: try artifactURL(run: run, path: path, operation: operation),
            headers: [HTTPHeader("Content-Type", "application/octet-stream")], body: body)
        _ = try await send(call)
    }

    /// Writes an artifact into a file, which appears complete or not at all.
    package func downloadArtifact(run: MLflowRun, path: String, toFile file: String) async throws {
        let operation = "artifacts/download"
        let call = MLflowCall(
            operation, method: "GET", url: try artifactURL(run: run, path: path, operation: operation))
        let output: ArtifactFile
        do {
            output = try ArtifactFile(destination: file)
        } catch {
            throw MLflowError(
                code: .localFile, message: "cannot create \(file): \(error)", operation: operation, cause: error)
        }
        let written = try await retrying(call) {
            try output.truncate()
            let result = try await self.transport.download(
                self.request(call), to: HTTPFileDestination(descriptor: output.descriptor))
            guard result.isWritten else {
                let error = MLflowError.from(status: result.status, body: result.errorBody, operation: operation)
                throw try await self.explain(error, run: run, path: path)
            }
            return result.bytesWritten
        }
        do {
            try output.commit(size: written)
        } catch {
            throw MLflowError(
                code: .localFile, message: "cannot write \(file): \(error)", operation: operation, cause: error)
        }
    }

    /// Reads a small artifact into memory.
    package func artifact(run: MLflowRun, path: String) async throws -> [UInt8] {
        let operation = "artifacts/download"
        let call = MLflowCall(
            operation, method: "GET", url: try artifactURL(run: run, path: path, operation: operation))
        return try await retrying(call) {
            do {
                return try await self.sendOnce(call)
            } catch let error as MLflowError {
                throw try await self.explain(error, run: run, path: path)
            }
        }
    }

    /// MLflow answers 500, and may answer a plain 404, where the store behind it has no such object, which repeating
    /// does not cure: the folder's listing tells that from a server that is away.
    private func explain(_ error: MLflowError, run: MLflowRun, path: String) async throws -> MLflowError {
        guard error.status == 500 || error.status == 404 && error.code == .badAnswer else { return error }
        let folder = path.split(separator: "/").dropLast().joined(separator: "/")
        guard let listed = try? await artifacts(run: run, folder: folder), !listed.contains(where: { $0.path == path })
        else {
            try Task.checkCancellation()
            return error
        }
        return MLflowError(
            code: .notFound, message: "run \(run.id) has no artifact '\(path)'", operation: error.operation,
            status: 404, cause: error)
    }

    /// The files and folders directly in a folder of the run's artifacts.
    ///
    /// - Parameter folder: relative; empty for the root. A folder that does not exist is empty.
    package func artifacts(run: MLflowRun, folder: String = "") async throws -> [MLflowArtifact] {
        let operation = "artifacts/list"
        let root = try ArtifactRoot(run: run, operation: operation)
        let path = folder.isEmpty ? root.path : "\(root.path)/\(try ArtifactRoot.checked(folder, operation: operation))"
        let body = try await send(
            MLflowCall(
                operation, method: "GET",
                url: "\(base)/api/2.0/mlflow-artifacts/artifacts?path=\(URLText.encode(path))"))
        let listing: Listing = try decode(body, operation: operation)
        return (listing.files ?? []).map { file in
            // The service names files relative to the folder that was asked for.
            MLflowArtifact(
                path: folder.isEmpty ? file.path : "\(folder)/\(file.path)", isDirectory: file.isDir ?? false,
                size: file.isDir == true ? nil : file.fileSize)
        }
    }

    private func artifactURL(run: MLflowRun, path: String, operation: String) throws -> String {
        let root = try ArtifactRoot(run: run, operation: operation)
        let name = try ArtifactRoot.checked(path, operation: operation)
        return "\(base)/api/2.0/mlflow-artifacts/artifacts/"
            + URLText.encode("\(root.path)/\(name)", keepingSlashes: true)
    }
}
