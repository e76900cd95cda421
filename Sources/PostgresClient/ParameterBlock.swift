import CPostgres

/// Parameters encoded for libpq: one buffer that holds them all, and offsets into it.
struct ParameterBlock {
    private(set) var bytes: [UInt8] = []
    private(set) var offsets: [Int] = []  // -1 for NULL
    private(set) var lengths: [Int32] = []
    private(set) var formats: [Int32] = []
    private(set) var types: [Oid] = []

    static let bytea: Oid = 17

    var count: Int { offsets.count }

    /// Tells apart uses of one SQL text whose parameter types differ.
    var typeSignature: String {
        types.contains { $0 != 0 } ? types.map { $0 == 0 ? "." : "b" }.joined() : ""
    }

    init(_ values: [PostgresValue]) throws {
        guard values.count <= 65_535 else {
            throw PostgresError(
                .invalidParameter,
                "\(values.count) parameters; the protocol takes 65535: pass arrays and unnest($1::text[], …)")
        }
        offsets.reserveCapacity(values.count)
        for (index, value) in values.enumerated() {
            try append(value, at: index)
        }
    }

    private mutating func append(_ value: PostgresValue, at index: Int) throws {
        let start = bytes.count
        if case .null = value {
            add(offset: -1, length: 0, format: 0, type: 0)
            return
        }
        if case .bytes(let data) = value {
            bytes.append(contentsOf: data)
            try add(offset: start, length: length(from: start, index), format: 1, type: Self.bytea)
            bytes.append(0)
            return
        }
        value.appendText(to: &bytes)
        // libpq takes text up to the first NUL, which would cut the value short in silence.
        if value.mayHoldNUL, bytes[start...].contains(0) {
            throw PostgresError(
                .invalidParameter,
                "parameter $\(index + 1) holds a NUL character, which PostgreSQL cannot store in text")
        }
        try add(offset: start, length: length(from: start, index), format: 0, type: 0)
        bytes.append(0)
    }

    private mutating func add(offset: Int, length: Int32, format: Int32, type: Oid) {
        offsets.append(offset)
        lengths.append(length)
        formats.append(format)
        types.append(type)
    }

    private func length(from start: Int, _ index: Int) throws -> Int32 {
        // The server's own limit for one value is 1 GB.
        guard let length = Int32(exactly: bytes.count - start), length < 1 << 30 else {
            throw PostgresError(
                .invalidParameter,
                "parameter $\(index + 1) takes \(bytes.count - start) bytes; PostgreSQL takes 1 GB at most")
        }
        return length
    }

    /// Calls `body` with the arrays that `PQsendQueryParams` and its kin take, valid during the call only.
    func withPointers<T>(
        _ body: (
            _ values: UnsafePointer<UnsafePointer<CChar>?>?, _ lengths: UnsafePointer<Int32>?,
            _ formats: UnsafePointer<Int32>?
        ) -> T
    ) -> T {
        bytes.withUnsafeBytes { buffer in
            let base = buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
            let pointers = offsets.map { $0 < 0 ? nil : base?.advanced(by: $0) }
            return pointers.withUnsafeBufferPointer { values in
                lengths.withUnsafeBufferPointer { lengths in
                    formats.withUnsafeBufferPointer { formats in
                        body(values.baseAddress, lengths.baseAddress, formats.baseAddress)
                    }
                }
            }
        }
    }
}

extension ParameterBlock {
    /// What a statement with these parameters is remembered under: other types need another plan.
    func key(of sql: String) -> String {
        typeSignature.isEmpty ? sql : "\(sql)\u{0}\(typeSignature)"
    }
}
