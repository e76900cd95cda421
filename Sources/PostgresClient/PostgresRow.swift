/// One row; columns by name or by position from 0.
package struct PostgresRow: Sendable {
    let storage: PostgresRows.Storage
    /// The row's position in its result, from 0.
    package let index: Int

    package var columns: [PostgresColumn] { storage.columns }

    /// - Throws: `PostgresError` with `decoding`, naming column, type and row.
    package subscript<T: PostgresDecodable>(_ name: String, as type: T.Type = T.self) -> T {
        get throws {
            guard let position = storage.positions[name] else {
                let names = storage.columns.map(\.name).joined(separator: ", ")
                throw PostgresError(.decoding, "there is no column \"\(name)\"; the result has: \(names)")
            }
            return try self[position, as: type]
        }
    }

    package subscript<T: PostgresDecodable>(_ position: Int, as type: T.Type = T.self) -> T {
        get throws {
            guard storage.columns.indices.contains(position) else {
                throw PostgresError(
                    .decoding, "there is no column at position \(position); the result has \(storage.columns.count)")
            }
            let cell = storage.cells[index * storage.columns.count + position]
            guard cell.length >= 0 else {
                if let null = T.postgresNull { return null }
                throw failure(position, "is NULL, not \(T.self); ask for an optional")
            }
            let range = cell.offset..<cell.offset + Int(cell.length)
            let value = PostgresCell(bytes: storage.bytes[range], type: storage.columns[position].type)
            guard let decoded = T(postgres: value) else { throw failure(position, "does not hold a \(T.self)") }
            return decoded
        }
    }

    package func isNull(_ name: String) throws -> Bool {
        guard let position = storage.positions[name] else {
            throw PostgresError(.decoding, "there is no column \"\(name)\"")
        }
        return storage.cells[index * storage.columns.count + position].length < 0
    }

    private func failure(_ position: Int, _ problem: String) -> PostgresError {
        let column = storage.columns[position]
        return PostgresError(
            .decoding, "column \"\(column.name)\" (\(column.typeName)) of row \(index) \(problem)")
    }
}
