import FoundationEssentials
import Pipeline

/// JSON text to values and back, as the ledger's columns hold it.
enum JSON {
    static func decode<Value: Decodable>(_ type: Value.Type, from text: String) throws -> Value {
        do {
            return try JSONValue(json: Array(text.utf8)).decoded(as: type)
        } catch {
            throw LedgerError(.corrupt, "the ledger holds a \(type) that cannot be read: \(error)")
        }
    }

    static func encode(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
