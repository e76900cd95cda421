import CRabbitMQ

extension AMQPValue {
    /// Copies a decoded field out of librabbitmq's memory. What is nested deeper than
    /// `Arena.maximumDepth` becomes `void`.
    init(copying field: amqp_field_value_t, depth: Int = 0) {
        guard depth < Arena.maximumDepth else {
            self = .void
            return
        }
        self =
            switch amqp_field_value_kind_t(rawValue: UInt32(field.kind)) {
            case AMQP_FIELD_KIND_BOOLEAN: .bool(field.value.boolean != 0)
            case AMQP_FIELD_KIND_I8: .int8(field.value.i8)
            case AMQP_FIELD_KIND_U8: .uint8(field.value.u8)
            case AMQP_FIELD_KIND_I16: .int16(field.value.i16)
            case AMQP_FIELD_KIND_U16: .uint16(field.value.u16)
            case AMQP_FIELD_KIND_I32: .int32(field.value.i32)
            case AMQP_FIELD_KIND_U32: .uint32(field.value.u32)
            case AMQP_FIELD_KIND_I64: .int64(field.value.i64)
            // RabbitMQ never sends it: it has no unsigned 64-bit integer.
            case AMQP_FIELD_KIND_U64: .int64(Int64(clamping: field.value.u64))
            case AMQP_FIELD_KIND_F32: .float(field.value.f32)
            case AMQP_FIELD_KIND_F64: .double(field.value.f64)
            case AMQP_FIELD_KIND_DECIMAL:
                .decimal(scale: field.value.decimal.decimals, value: field.value.decimal.value)
            case AMQP_FIELD_KIND_UTF8: Self.text(field.value.bytes)
            case AMQP_FIELD_KIND_BYTES: .bytes([UInt8](field.value.bytes.buffer))
            case AMQP_FIELD_KIND_TIMESTAMP: .timestamp(field.value.u64)
            case AMQP_FIELD_KIND_TABLE: .table(Self.table(field.value.table, depth: depth + 1))
            case AMQP_FIELD_KIND_ARRAY:
                .array(
                    UnsafeBufferPointer(
                        start: field.value.array.entries, count: Int(field.value.array.num_entries)
                    ).map { AMQPValue(copying: $0, depth: depth + 1) })
            default: .void
            }
    }

    static func table(_ table: amqp_table_t, depth: Int = 0) -> [String: AMQPValue] {
        let entries = UnsafeBufferPointer(start: table.entries, count: Int(table.num_entries))
        var values: [String: AMQPValue] = [:]
        values.reserveCapacity(entries.count)
        for entry in entries {
            values[String(copying: entry.key)] = AMQPValue(copying: entry.value, depth: depth)
        }
        return values
    }

    private static func text(_ bytes: amqp_bytes_t) -> AMQPValue {
        if let text = String(validating: bytes.buffer, as: UTF8.self) { return .string(text) }
        return .bytes([UInt8](bytes.buffer))
    }
}

extension amqp_bytes_t {
    var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: len) }
}

extension String {
    /// Copies; bytes that are not UTF-8 become U+FFFD.
    init(copying bytes: amqp_bytes_t) {
        self = String(decoding: bytes.buffer, as: UTF8.self)
    }
}
