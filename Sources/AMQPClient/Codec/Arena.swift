import CRabbitMQ
import Glibc

/// Short-lived C memory for what librabbitmq's encoders read: freed all at once.
final class Arena {
    /// Deeper tables are refused on the way out and cut on the way in.
    static let maximumDepth = 64

    var pool = amqp_pool_t()

    init() {
        init_amqp_pool(&pool, 4_096)
    }

    deinit {
        empty_amqp_pool(&pool)
    }

    /// Ends the life of everything that was allocated.
    func recycle() {
        recycle_amqp_pool(&pool)
    }

    func bytes(_ text: String) -> amqp_bytes_t {
        var text = text
        return text.withUTF8 { copy(UnsafeRawBufferPointer($0)) }
    }

    func table(_ values: [String: AMQPValue], depth: Int = 0) throws(AMQPError) -> amqp_table_t {
        guard depth < Self.maximumDepth else { throw Self.tooDeep }
        let entries = try allocate(amqp_table_entry_t.self, values.count)
        var next = entries
        for (key, value) in values {
            guard key.utf8.count <= 255 else {
                throw AMQPError(
                    .invalidMessage,
                    "table key '\(key.prefix(40))…' has \(key.utf8.count) bytes; AMQP allows 255")
            }
            next.initialize(to: amqp_table_entry_t(key: bytes(key), value: try field(value, depth: depth + 1)))
            next += 1
        }
        return amqp_table_t(num_entries: Int32(values.count), entries: entries)
    }

    private static var tooDeep: AMQPError {
        AMQPError(.invalidMessage, "a table is nested deeper than \(maximumDepth) levels")
    }

    private func field(_ value: AMQPValue, depth: Int) throws(AMQPError) -> amqp_field_value_t {
        var field = amqp_field_value_t()
        func set(_ kind: amqp_field_value_kind_t) { field.kind = UInt8(kind.rawValue) }
        switch value {
        case .bool(let value):
            set(AMQP_FIELD_KIND_BOOLEAN)
            field.value.boolean = value ? 1 : 0
        case .int8(let value):
            set(AMQP_FIELD_KIND_I8)
            field.value.i8 = value
        case .uint8(let value):
            set(AMQP_FIELD_KIND_U8)
            field.value.u8 = value
        case .int16(let value):
            set(AMQP_FIELD_KIND_I16)
            field.value.i16 = value
        case .uint16(let value):
            set(AMQP_FIELD_KIND_U16)
            field.value.u16 = value
        case .int32(let value):
            set(AMQP_FIELD_KIND_I32)
            field.value.i32 = value
        case .uint32(let value):
            set(AMQP_FIELD_KIND_U32)
            field.value.u32 = value
        case .int64(let value):
            set(AMQP_FIELD_KIND_I64)
            field.value.i64 = value
        case .float(let value):
            set(AMQP_FIELD_KIND_F32)
            field.value.f32 = value
        case .double(let value):
            set(AMQP_FIELD_KIND_F64)
            field.value.f64 = value
        case .decimal(let scale, let value):
            set(AMQP_FIELD_KIND_DECIMAL)
            field.value.decimal = amqp_decimal_t(decimals: scale, value: value)
        case .string(let value):
            set(AMQP_FIELD_KIND_UTF8)
            field.value.bytes = bytes(value)
        case .bytes(let value):
            set(AMQP_FIELD_KIND_BYTES)
            field.value.bytes = value.withUnsafeBytes(copy)
        case .timestamp(let value):
            set(AMQP_FIELD_KIND_TIMESTAMP)
            field.value.u64 = value
        case .table(let values):
            set(AMQP_FIELD_KIND_TABLE)
            field.value.table = try table(values, depth: depth)
        case .array(let values):
            guard depth < Self.maximumDepth else { throw Self.tooDeep }
            set(AMQP_FIELD_KIND_ARRAY)
            let entries = try allocate(amqp_field_value_t.self, values.count)
            for (index, value) in values.enumerated() {
                (entries + index).initialize(to: try self.field(value, depth: depth + 1))
            }
            field.value.array = amqp_array_t(num_entries: Int32(values.count), entries: entries)
        case .void:
            set(AMQP_FIELD_KIND_VOID)
        }
        return field
    }

    private func copy(_ source: UnsafeRawBufferPointer) -> amqp_bytes_t {
        guard let base = source.baseAddress, !source.isEmpty,
            let memory = amqp_pool_alloc(&pool, source.count)
        else { return amqp_bytes_t() }
        memcpy(memory, base, source.count)
        return amqp_bytes_t(len: source.count, bytes: memory)
    }

    private func allocate<Element>(
        _ type: Element.Type, _ count: Int
    ) throws(AMQPError) -> UnsafeMutablePointer<Element> {
        guard let memory = amqp_pool_alloc(&pool, Swift.max(1, count) * MemoryLayout<Element>.stride) else {
            throw AMQPError(.invalidMessage, "no memory for a table of \(count) entries", isRetryable: true)
        }
        return memory.bindMemory(to: Element.self, capacity: Swift.max(1, count))
    }
}
