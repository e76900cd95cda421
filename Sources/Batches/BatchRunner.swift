package import Gateway
package import HTTPTransport
package import Ledger
package import Logging
import ObjectStorage
import Pipeline

/// Works on batches: checks their files, asks their lines, puts their answers together.
///
/// Any number of gateways do so side by side. All state is in the ledger; what one works on it holds for half a minute at a
/// time, so that another takes over where it dies.
package struct BatchRunner: Sendable {
    let ledger: Ledger
    let store: BatchStore
    let transport: HTTPTransport
    let door: BatchDoor
    let prices: PriceTable
    let configuration: BatchConfiguration
    /// This gateway's, unlike the others'.
    let name: String
    let log: Logger
    let unknownModels = UnknownModels()

    /// Parts that are worked on at the same time: while the last lines of one run, those of the next begin.
    private static let parts = 2
    /// Seconds before what failed is tried again; others have their turn meanwhile.
    private static let pauseAfterFailure = 15.0
    /// As many at most, for what fails again and again.
    private static let longestPause = 600.0

    package init(
        ledger: Ledger, store: BatchStore, transport: HTTPTransport, door: BatchDoor, prices: PriceTable,
        configuration: BatchConfiguration = BatchConfiguration(), name: String, logger: Logger
    ) {
        self.ledger = ledger
        self.store = store
        self.transport = transport
        self.door = door
        self.prices = prices
        self.configuration = configuration
        // Unlike its own former life's too: in containers a process has the same number every time.
        self.name = name + "-" + String(UInt64.random(in: 0 ... .max), radix: 36)
        log = logger
    }

    /// Works until the surrounding task is cancelled; what is in hand then is given back.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await repeating("looking for batches") {
                    if let batch = try await ledger.claimBatch(holder: name, seconds: configuration.lease) {
                        await tend(batch)
                        return true
                    }
                    return try await tidy()
                }
            }
            for _ in 0..<Self.parts {
                group.addTask {
                    await repeating("looking for parts of batches") {
                        guard let held = try await ledger.claimPart(holder: name, seconds: configuration.lease)
                        else { return false }
                        await work(held)
                        return true
                    }
                }
            }
        }
    }

    /// - Parameter body: says whether there was something to do; then it is called again at once.
    private func repeating(_ what: String, _ body: @Sendable () async throws -> Bool) async {
        while !Task.isCancelled {
            var pause = configuration.pause
            do {
                if try await body() { continue }
            } catch is CancellationError {
                return
            } catch {
                log.debug("\(what) failed; trying again", metadata: ["error": "\(error)"])
                pause = pause * 2
            }
            do { try await Task.sleep(for: pause * Double.random(in: 0.75..<1.25)) } catch { return }
        }
    }

    // MARK: A batch as a whole

    private func tend(_ batch: Batch) async {
        let logger = log.with(batch.id)
        do {
            try await holding {
                let status = try await ledger.holdBatch(batch.id, holder: name, seconds: configuration.lease)
                // Who cancels it while its file is checked need not wait.
                return status == batch.status || status == .cancelling && batch.status == .inProgress
            } body: {
                switch batch.status {
                case .validating: try await check(batch, logger)
                case .cancelling: try await finish(batch, .cancelled, logger)
                case .inProgress: try await finish(batch, .expired, logger)
                default: try await finish(batch, .completed, logger)
                }
            }
        } catch {
            if !(error is CancellationError) {
                logger.warning("a batch was not brought further; trying again", metadata: ["error": "\(error)"])
            }
            let pause = error is CancellationError ? 0 : Self.pauseAfterFailure
            await unhold { try await ledger.releaseBatch(batch.id, holder: name, after: pause) }
        }
    }

    private func check(_ batch: Batch, _ logger: Logger) async throws {
        guard let file = try await ledger.file(batch.inputFile, team: nil) else {
            let fault = Batch.Fault(code: "no_file", line: nil, "the input file is gone")
            _ = try await ledger.endBatch(batch.id, holder: name, status: .failed, faults: [fault])
            return
        }
        var check = BatchCheck(endpoint: batch.endpoint, configuration: configuration)
        let stream = try await store.client.stream(
            bucket: store.bucket, key: store.key(file: file.id),
            expecting: ExpectedContent(size: file.bytes, sha256: file.sha256))
        for try await piece in stream {
            check.feed(piece)
            if check.isHopeless { break }
        }
        check.finish()
        if check.faults.isEmpty {
            guard try await ledger.beginBatch(batch.id, holder: name, parts: check.parts) else { return }
            logger.info("batch begins", metadata: ["lines": "\(check.count)", "parts": "\(check.parts.count)"])
        } else {
            _ = try await ledger.endBatch(
                batch.id, holder: name, status: .failed, faults: check.faults, total: check.count)
            logger.info("batch refused", metadata: ["faults": "\(check.faults.count)"])
        }
    }

    /// Puts the parts' answers together in the order of the lines, and ends the batch.
    private func finish(_ batch: Batch, _ status: Batch.Status, _ logger: Logger) async throws {
        let parts = try await ledger.parts(of: batch.id)
        let output = try await join(
            batch, parts.filter(\.hasOutput).map { .object(key(batch, $0, isErrors: false)) }, isErrors: false)
        let code = status == .expired ? "batch_expired" : "batch_cancelled"
        let errors = try await join(
            batch,
            parts.compactMap { part in
                if !part.isDone { return .unanswered(part.part, code: code) }
                return part.hasErrors ? .object(key(batch, part, isErrors: true)) : nil
            }, isErrors: true)
        let unanswered = parts.reduce(0) { $0 + ($1.isDone ? 0 : $1.part.lines) }
        guard
            try await ledger.endBatch(
                batch.id, holder: name, status: status, output: output, errors: errors, unanswered: unanswered)
        else { return }
        logger.info("batch \(status.rawValue)", metadata: ["unanswered": "\(unanswered)"])
    }

    /// Removes what the parts of a batch wrote that is over. Whoever does it: once more does no harm.
    private func tidy() async throws -> Bool {
        guard let id = try await ledger.endedBatchWithParts() else { return false }
        _ = try await store.client.deletePrefix(bucket: store.bucket, prefix: store.prefix(batch: id))
        try await ledger.dropParts(of: id)
        return true
    }

    private func key(_ batch: Batch, _ part: StoredPart, isErrors: Bool) -> String {
        store.key(batch: batch.id, part: part.part.number, attempt: part.attempt, isErrors: isErrors)
    }

    /// - Returns: nil where there is nothing to write.
    private func join(_ batch: Batch, _ pieces: [JoinedParts.Piece], isErrors: Bool) async throws -> BatchFile? {
        guard !pieces.isEmpty else { return nil }
        let id = BatchStore.outputID(batch: batch.id, isErrors: isErrors)
        let object = try await store.client.upload(
            stream: JoinedParts(pieces: pieces, batch: batch, store: store), bucket: store.bucket,
            key: store.key(file: id), contentType: "application/jsonl")
        return BatchFile(
            id: id, team: batch.team, filename: "\(batch.id)_\(isErrors ? "errors" : "output").jsonl",
            purpose: .output, bytes: object.size, sha256: object.sha256)
    }

    // MARK: A part

    private func work(_ held: HeldPart) async {
        let logger = log.with(held.batch.id)
        do {
            let work = PartWork(runner: self, held: held)
            try await holding {
                switch try await ledger.holdPart(held, holder: name, seconds: configuration.lease) {
                case .held: break
                case .cancelled: work.end("batch_cancelled")
                case .expired: work.end("batch_expired")
                case .lost: return false
                }
                return true
            } body: {
                let answers = try await work.run()
                let output = answers.output
                let errors = answers.errors
                // What was answered is paid for.
                try await persist {
                    if !output.isEmpty { try await put(output, held, isErrors: false) }
                    if !errors.isEmpty { try await put(errors, held, isErrors: true) }
                }
                try await persist {
                    try await ledger.finishPart(
                        held, holder: name, sum: answers.sum, hasOutput: !output.isEmpty, hasErrors: !errors.isEmpty)
                }
            }
        } catch {
            if error is Ledger.PartLost { return }
            if !(error is CancellationError || error is PartWork.NoRoom) {
                logger.warning(
                    "a part of a batch was not done; it comes again",
                    metadata: ["part": "\(held.part.number)", "error": "\(error)"])
            }
            let pause =
                error is CancellationError ? 0 : min(Self.longestPause, Self.pauseAfterFailure * Double(held.attempt))
            await unhold { try await ledger.releasePart(held, holder: name, after: pause) }
        }
    }

    private func put(_ bytes: [UInt8], _ held: HeldPart, isErrors: Bool) async throws {
        _ = try await store.client.put(
            bytes, bucket: store.bucket,
            key: store.key(batch: held.batch.id, part: held.part.number, attempt: held.attempt, isErrors: isErrors),
            contentType: "application/jsonl")
    }

    /// What is done must not be lost because the ledger is away for a while.
    private func persist(_ body: @Sendable () async throws -> Void) async throws {
        let end = ContinuousClock.now + .seconds(300)
        while true {
            do {
                try await body()
                return
            } catch  where !(error is CancellationError) && ContinuousClock.now < end {
                if error is LedgerError || error is Ledger.PartLost { throw error }
                try await Task.sleep(for: configuration.pause)
            }
        }
    }

    /// Does `body` and says again and again that it is at it; ends it when nobody wants it any more.
    private func holding(
        _ renew: @escaping @Sendable () async throws -> Bool, body: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await body()
                return true
            }
            group.addTask {
                while true {
                    try await Task.sleep(for: .seconds(configuration.lease) / 3)
                    do {
                        guard try await renew() else { return false }
                    } catch is CancellationError {
                        throw CancellationError()
                    } catch {
                        // While the ledger is away nobody else can take it over either.
                        log.debug("a batch was not held; trying again", metadata: ["error": "\(error)"])
                    }
                }
            }
            let isDone = try await group.next() ?? true
            group.cancelAll()
            if !isDone { throw CancellationError() }
        }
    }

    /// Gives something back although the surrounding task may be cancelled.
    private func unhold(_ body: @escaping @Sendable () async throws -> Void) async {
        // Unstructured for just that; what is not given back is free after its time.
        await Task {
            do { try await body() } catch { log.debug("not given back", metadata: ["error": "\(error)"]) }
        }.value
    }
}

extension Logger {
    fileprivate func with(_ batch: String) -> Logger {
        var logger = self
        logger[metadataKey: "batch"] = "\(batch)"
        return logger
    }
}
