package import Gateway
package import Ledger
import Logging
import ObjectStorage
import Pipeline

/// OpenAI's `/v1/files` and `/v1/batches`. What a key brings belongs to its team.
package struct BatchService: GatewayService {
    private let ledger: Ledger
    private let store: BatchStore

    package init(ledger: Ledger, store: BatchStore) {
        self.ledger = ledger
        self.store = store
    }

    package func answer(_ request: ServiceRequest) async throws -> ServiceAnswer {
        let parts = request.path.split(separator: "/").dropFirst().map(String.init)
        let query = try Query(request.query)
        let team = request.key?.team ?? ""
        do {
            switch (parts.first, parts.count, request.method) {
            case ("files", 1, .post): return try await upload(request, team: team)
            case ("files", 1, .get): return try await listFiles(query, team: team)
            case ("files", 2, .get): return .init(.json(try await file(parts[1], team).json.canonicalJSON))
            case ("files", 2, .delete): return try await delete(parts[1], team: team)
            case ("files", 3, .get) where parts[2] == "content": return try await content(parts[1], team: team)
            case ("batches", 1, .post): return try await create(request, team: team)
            case ("batches", 1, .get): return try await listBatches(query, team: team)
            case ("batches", 2, .get): return .init(.json(try await batch(parts[1], team).json.canonicalJSON))
            case ("batches", 3, .post) where parts[2] == "cancel":
                return .init(.json(try await ledger.cancelBatch(parts[1], team: team).json.canonicalJSON))
            case ("files", 1...2, _), ("batches", 1...2, _):
                throw GatewayError.invalid(405, code: "method_not_allowed", "the path does not have this method")
            default:
                throw GatewayError.invalid(
                    404, code: "unknown_path", "there is no such path here; see /v1/files and /v1/batches")
            }
        } catch let error as LedgerError where error.code == .notFound {
            throw GatewayError.invalid(404, code: "not_found", error.message)
        } catch let error as LedgerError where error.code == .refused {
            throw GatewayError.invalid(409, code: "conflict", error.message)
        }
    }

    // MARK: Files

    private func upload(_ request: ServiceRequest, team: String) async throws -> ServiceAnswer {
        guard let boundary = request.contentType.flatMap({ MultipartReader.boundary(in: $0) }) else {
            throw GatewayError.invalid(
                415, code: "not_a_form", "a file is sent as multipart/form-data, with the fields purpose and file")
        }
        let body = request.body
        let reader = MultipartReader(boundary: boundary) { try await body.nextPiece() }
        let id = BatchStore.newID("file-")
        var stored: (object: StoredObject, filename: String)?
        var isTold = false
        do {
            var purpose: String?
            while let part = try await reader.nextPart() {
                switch part.name {
                case "purpose": purpose = try await reader.text(upTo: 100)
                case "file":
                    guard stored == nil else {
                        throw GatewayError.invalid(code: "second_file", parameter: "file", "one file at a time")
                    }
                    let object = try await store.client.upload(
                        stream: PartPieces(reader: reader), bucket: store.bucket, key: store.key(file: id),
                        contentType: "application/jsonl")
                    stored = (object, part.filename ?? "")
                default:
                    throw GatewayError.invalid(
                        code: "unknown_field", parameter: String(part.name.prefix(100)),
                        "the form has a field that is not understood here; there are purpose and file")
                }
            }
            guard purpose == BatchFile.Purpose.batch.rawValue else {
                throw GatewayError.invalid(
                    code: "invalid_purpose", parameter: "purpose", "purpose must be \"batch\"")
            }
            guard let stored, stored.object.size > 0 else {
                throw GatewayError.invalid(
                    code: "no_file", parameter: "file", "the form has no file, or an empty one")
            }
            let file = BatchFile(
                id: id, team: team, filename: String(stored.filename.replacing("\0", with: "").prefix(255)),
                purpose: .batch,
                bytes: stored.object.size, sha256: stored.object.sha256)
            isTold = true
            try await ledger.createFile(file)
            return ServiceAnswer(.json(file.json.canonicalJSON))
        } catch {
            // Where nobody knows of it: an answer of the ledger that was lost on the way may have been yes.
            if stored != nil, !isTold || error is LedgerError {
                try? await store.client.delete(bucket: store.bucket, key: store.key(file: id))
            }
            throw Self.cause(of: error)
        }
    }

    /// What the client did, where it is that, and not what it did to the upload.
    private static func cause(of error: any Error) -> any Error {
        let cause = (error as? S3Error)?.cause ?? error
        if let fault = cause as? MultipartFault {
            return GatewayError.invalid(code: "malformed_form", fault.description)
        }
        return cause is GatewayError || cause is CancellationError || cause is ServiceClientGone ? cause : error
    }

    private func file(_ id: String, _ team: String) async throws -> BatchFile {
        guard let file = try await ledger.file(id, team: team) else {
            throw LedgerError(.notFound, "there is no file \(id.prefix(100))")
        }
        return file
    }

    private func listFiles(_ query: Query, team: String) async throws -> ServiceAnswer {
        let limit = try query.limit(most: 10_000, standard: 10_000)
        // One more than asked for tells whether there are more.
        var files = try await ledger.files(
            team: team, purpose: query["purpose"], after: query["after"], limit: limit + 1)
        let hasMore = files.count > limit
        files = Array(files.prefix(limit))
        return .list(files.map(\.json), first: files.first?.id, last: files.last?.id, hasMore: hasMore)
    }

    private func content(_ id: String, team: String) async throws -> ServiceAnswer {
        let file = try await file(id, team)
        let stream = try await store.client.stream(
            bucket: store.bucket, key: store.key(file: id),
            expecting: ExpectedContent(size: file.bytes, sha256: file.sha256))
        return ServiceAnswer(.bytes(length: file.bytes, stream))
    }

    private func delete(_ id: String, team: String) async throws -> ServiceAnswer {
        try await ledger.deleteFile(id, team: team)
        try await store.client.delete(bucket: store.bucket, key: store.key(file: id))
        return ServiceAnswer(
            .json(
                JSONValue.object(["id": .string(id), "object": "file", "deleted": .bool(true)]).canonicalJSON))
    }

    // MARK: Batches

    private func create(_ request: ServiceRequest, team: String) async throws -> ServiceAnswer {
        var bytes: [UInt8] = []
        while let piece = try await request.body.nextPiece() {
            bytes += piece
            guard bytes.count <= 65_536 else {
                throw GatewayError.invalid(413, code: "too_large", "the request has more than 65536 bytes")
            }
        }
        let wanted = try BatchWish(bytes)
        let batch = Batch(
            id: BatchStore.newID("batch_"), team: team, key: request.key?.id ?? 0, endpoint: wanted.endpoint,
            inputFile: wanted.inputFile)
        guard let file = try await ledger.file(wanted.inputFile, team: team), file.purpose == .batch else {
            throw GatewayError.invalid(
                code: "invalid_file", parameter: "input_file_id",
                "there is no file '\(wanted.inputFile.prefix(100))' with purpose batch")
        }
        var made = batch
        made.metadata = wanted.metadata
        return ServiceAnswer(.json(try await ledger.createBatch(made, window: Batch.window).json.canonicalJSON))
    }

    private func batch(_ id: String, _ team: String) async throws -> Batch {
        guard let batch = try await ledger.batch(id, team: team) else {
            throw LedgerError(.notFound, "there is no batch \(id.prefix(100))")
        }
        return batch
    }

    private func listBatches(_ query: Query, team: String) async throws -> ServiceAnswer {
        let limit = try query.limit(most: 100, standard: 20)
        var batches = try await ledger.batches(team: team, after: query["after"], limit: limit + 1)
        let hasMore = batches.count > limit
        batches = Array(batches.prefix(limit))
        return .list(batches.map(\.json), first: batches.first?.id, last: batches.last?.id, hasMore: hasMore)
    }
}

/// A part's content as a stream.
private struct PartPieces: AsyncSequence, Sendable {
    typealias Element = [UInt8]
    let reader: MultipartReader

    func makeAsyncIterator() -> Iterator { Iterator(reader: reader) }

    struct Iterator: AsyncIteratorProtocol {
        let reader: MultipartReader
        mutating func next() async throws -> [UInt8]? { try await reader.nextPiece() }
    }
}

/// What follows the question mark of a path.
private struct Query {
    private let values: [String: String]

    init(_ text: String) throws {
        var values: [String: String] = [:]
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            values[String(parts[0])] = parts.count > 1 ? String(parts[1]) : ""
        }
        self.values = values
    }

    subscript(name: String) -> String? { values[name] }

    func limit(most: Int, standard: Int) throws -> Int {
        guard let text = values["limit"] else { return standard }
        guard let limit = Int(text), (1...most).contains(limit) else {
            throw GatewayError.invalid(
                code: "invalid_limit", parameter: "limit", "limit must be a number from 1 to \(most)")
        }
        return limit
    }
}

/// What a client asks for when it begins a batch.
private struct BatchWish {
    let inputFile: String
    let endpoint: String
    let metadata: [String: String]

    private static let members: Set<String> = ["input_file_id", "endpoint", "completion_window", "metadata"]

    init(_ bytes: [UInt8]) throws {
        let value: JSONValue
        do { value = try JSONValue(json: bytes) } catch {
            throw GatewayError.invalid(code: "invalid_body", "the body is no JSON object: \(error)")
        }
        guard let object = value.objectValue else {
            throw GatewayError.invalid(code: "invalid_body", "the body is no JSON object")
        }
        if let unknown = object.keys.filter({ !Self.members.contains($0) }).min() {
            throw GatewayError.invalid(
                code: "unknown_parameter", parameter: String(unknown.prefix(100)),
                "there is no such parameter here; there are \(Self.members.sorted().joined(separator: ", "))")
        }
        guard let inputFile = object["input_file_id"]?.stringValue, !inputFile.utf8.contains(0) else {
            throw GatewayError.invalid(
                code: "missing_parameter", parameter: "input_file_id", "input_file_id must be the id of a file")
        }
        guard let endpoint = object["endpoint"]?.stringValue, Batch.endpoints.contains(endpoint) else {
            throw GatewayError.invalid(
                code: "invalid_endpoint", parameter: "endpoint",
                "endpoint must be one of \(Batch.endpoints.joined(separator: ", "))")
        }
        guard object["completion_window"]?.stringValue == "24h" else {
            throw GatewayError.invalid(
                code: "invalid_window", parameter: "completion_window", "completion_window must be \"24h\"")
        }
        var metadata: [String: String] = [:]
        if let given = object["metadata"], given != .null {
            func fits(_ text: String?, _ limit: Int) -> Bool {
                text.map { $0.count <= limit && !$0.utf8.contains(0) } ?? false
            }
            guard let pairs = given.objectValue, pairs.count <= 16,
                pairs.allSatisfy({ fits($0.key, 64) && fits($0.value.stringValue, 512) })
            else {
                throw GatewayError.invalid(
                    code: "invalid_metadata", parameter: "metadata",
                    "metadata must be an object of at most 16 strings of at most 512 characters, under names of at most 64, "
                        + "without U+0000"
                )
            }
            metadata = pairs.compactMapValues(\.stringValue)
        }
        self.inputFile = inputFile
        self.endpoint = endpoint
        self.metadata = metadata
    }
}
