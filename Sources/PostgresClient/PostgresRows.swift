/// The rows of one statement, copied out of libpq, and how many rows it changed.
package struct PostgresRows: RandomAccessCollection, Sendable {
    /// Where a value lies in `Storage.bytes`; a negative length is NULL.
    struct Cell {
        var offset: Int
        var length: Int32
    }

    final class Storage: Sendable {
        let columns: [PostgresColumn]
        let positions: [String: Int]
        let bytes: [UInt8]
        let cells: [Cell]

        init(columns: [PostgresColumn], bytes: [UInt8], cells: [Cell]) {
            self.columns = columns
            self.bytes = bytes
            self.cells = cells
            positions = Dictionary(
                columns.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        }
    }

    let storage: Storage
    package let count: Int
    /// Rows inserted, updated, deleted or returned, as the command tag says.
    package let affectedRows: Int
    /// The command tag: `INSERT 0 1`, `SELECT 3`, `COMMIT`.
    package let commandTag: String

    package var columns: [PostgresColumn] { storage.columns }
    package var startIndex: Int { 0 }
    package var endIndex: Int { count }

    package subscript(position: Int) -> PostgresRow {
        precondition(position >= 0 && position < count, "row \(position) of \(count)")
        return PostgresRow(storage: storage, index: position)
    }
}
