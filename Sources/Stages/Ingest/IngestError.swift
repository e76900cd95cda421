package import Pipeline

/// Everything the ingest stage can refuse or fail with.
package struct IngestError: Error, Sendable, CustomStringConvertible {
    /// A stable word for programs.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        package let name: String
        package init(_ name: String) { self.name = name }
        package var description: String { name }

        package static let invalidParameters = Code("ingest.invalid_parameters")
        package static let invalidTemplate = Code("ingest.invalid_template")
        package static let sourceNotFound = Code("ingest.source_not_found")
        package static let sourceUnreadable = Code("ingest.source_unreadable")
        package static let sourceRefused = Code("ingest.source_refused")
        package static let sourceChanged = Code("ingest.source_changed")
        package static let unknownFormat = Code("ingest.unknown_format")
        package static let wrongEncoding = Code("ingest.wrong_encoding")
        package static let emptySource = Code("ingest.empty_source")
        package static let noValidRecords = Code("ingest.no_valid_records")
        package static let missingColumn = Code("ingest.missing_column")
        package static let badHeader = Code("ingest.bad_header")
        package static let truncated = Code("ingest.truncated")
        package static let errorBudgetExceeded = Code("ingest.error_budget_exceeded")
        package static let limitExceeded = Code("ingest.limit_exceeded")
        package static let timeLimitExceeded = Code("ingest.time_limit_exceeded")
        package static let duplicateIndexFull = Code("ingest.duplicate_index_full")
        package static let scratchFailed = Code("ingest.scratch_failed")
    }

    package var code: Code
    /// Names the input, the place, what is wrong and what to do.
    package var message: String
    package var isRetryable: Bool
    /// The first bad records, when there were any.
    package var reasons: [RecordReason]
    package var cause: (any Error)?

    package init(
        _ code: Code, _ message: String, isRetryable: Bool = false, reasons: [RecordReason] = [],
        cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.isRetryable = isRetryable
        self.reasons = reasons
        self.cause = cause
    }

    package var description: String { "\(code): \(message)" }

    /// As the ledger keeps it.
    package var failure: Failure {
        let kind: Failure.Class = isRetryable ? .retryable : .permanent
        let details: JSONValue? =
            reasons.isEmpty ? nil : .object(["reasons": .array(reasons.map(\.jsonValue))])
        return Failure(class: kind, code: code.name, message: message, details: details)
    }
}
