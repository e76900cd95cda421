import Gateway
import Ledger
package import Pipeline

extension ServiceAnswer {
    static func list(_ data: [JSONValue], first: String?, last: String?, hasMore: Bool) -> ServiceAnswer {
        ServiceAnswer(
            .json(
                JSONValue.object([
                    "object": "list", "data": .array(data), "first_id": first.map { .string($0) } ?? .null,
                    "last_id": last.map { .string($0) } ?? .null, "has_more": .bool(hasMore),
                ]).canonicalJSON))
    }
}

extension BatchFile {
    /// As OpenAI's API tells it.
    package var json: JSONValue {
        .object([
            "id": .string(id), "object": "file", "bytes": .int(bytes), "created_at": created.whole,
            "filename": .string(filename), "purpose": .string(purpose.rawValue), "status": "processed",
        ])
    }
}

extension Batch {
    /// As OpenAI's API tells it; beside it `cost`, in the currency's unit.
    package var json: JSONValue {
        func time(_ status: Status, _ time: Timestamp?) -> JSONValue { status == self.status ? time.whole : .null }
        let errors: JSONValue =
            faults.isEmpty ? .null : .object(["object": "list", "data": .array(faults.map(\.json))])
        let usage: JSONValue = .object([
            "input_tokens": .int(Int64(sum.promptTokens)),
            "input_tokens_details": .object(["cached_tokens": .int(Int64(sum.cachedTokens))]),
            "output_tokens": .int(Int64(sum.completionTokens)),
            "output_tokens_details": .object(["reasoning_tokens": .int(0)]),
            "total_tokens": .int(Int64(sum.promptTokens + sum.completionTokens)),
        ])
        return .object([
            "id": .string(id), "object": "batch", "endpoint": .string(endpoint), "errors": errors,
            "input_file_id": .string(inputFile), "completion_window": "24h", "status": .string(status.rawValue),
            "output_file_id": outputFile.map { .string($0) } ?? .null,
            "error_file_id": errorFile.map { .string($0) } ?? .null, "created_at": times.created.whole,
            "in_progress_at": times.started.whole, "expires_at": times.expires.whole,
            "finalizing_at": times.finalizing.whole, "completed_at": time(.completed, times.ended),
            "failed_at": time(.failed, times.ended), "expired_at": time(.expired, times.ended),
            "cancelling_at": times.cancelling.whole, "cancelled_at": time(.cancelled, times.ended),
            "request_counts": .object([
                "total": .int(Int64(total)), "completed": .int(Int64(sum.completed)),
                "failed": .int(Int64(sum.failed)),
            ]),
            "metadata": metadata.isEmpty ? .null : .object(metadata.mapValues { .string($0) }), "usage": usage,
            "cost": .double(Double(sum.cost) / 1_000_000),
        ])
    }
}

extension Timestamp {
    /// In whole seconds since 1970.
    fileprivate var whole: JSONValue { .int(microseconds / 1_000_000) }
}

extension Timestamp? {
    fileprivate var whole: JSONValue { map(\.whole) ?? .null }
}
