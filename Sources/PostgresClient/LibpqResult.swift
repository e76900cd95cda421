import CPostgres

/// Copies what a `PGresult` holds, so that the pointer can be freed at once.
enum LibpqResult {
    static func rows(_ result: OpaquePointer) -> PostgresRows {
        let rowCount = Int(PQntuples(result))
        let columnCount = Int(PQnfields(result))
        let columns = (0..<columnCount).map { column in
            PostgresColumn(
                name: String(cString: PQfname(result, Int32(column))), type: PQftype(result, Int32(column)))
        }
        var cells: [PostgresRows.Cell] = []
        cells.reserveCapacity(rowCount * columnCount)
        var total = 0
        for row in 0..<Int32(rowCount) {
            for column in 0..<Int32(columnCount) {
                if PQgetisnull(result, row, column) != 0 {
                    cells.append(.init(offset: total, length: -1))
                } else {
                    let length = PQgetlength(result, row, column)
                    cells.append(.init(offset: total, length: length))
                    total += Int(length)
                }
            }
        }
        let bytes = [UInt8](unsafeUninitializedCapacity: total) { buffer, count in
            var index = 0
            for row in 0..<Int32(rowCount) {
                for column in 0..<Int32(columnCount) {
                    let cell = cells[index]
                    index += 1
                    guard cell.length > 0, let value = PQgetvalue(result, row, column) else { continue }
                    buffer.baseAddress.map {
                        UnsafeMutableRawPointer($0 + cell.offset).copyMemory(from: value, byteCount: Int(cell.length))
                    }
                }
            }
            count = total
        }
        return PostgresRows(
            storage: .init(columns: columns, bytes: bytes, cells: cells), count: rowCount,
            affectedRows: Int(String(cString: PQcmdTuples(result))) ?? 0,
            commandTag: String(cString: PQcmdStatus(result)))
    }

    static func error(_ result: OpaquePointer) -> PostgresError {
        func field(_ code: Character) -> String? {
            guard let ascii = code.asciiValue, let text = PQresultErrorField(result, Int32(ascii)) else { return nil }
            return String(cString: text)
        }
        // Field codes of postgres_ext.h; the macros are character constants.
        let state = field("C")
        var error = PostgresError(
            code(forState: state), field("M") ?? String(cString: PQresultErrorMessage(result)))
        error.sqlState = state
        error.severity = field("V") ?? field("S")
        error.detail = field("D")
        error.hint = field("H")
        error.schema = field("s")
        error.table = field("t")
        error.column = field("c")
        error.dataType = field("d")
        error.constraint = field("n")
        error.routine = field("R")
        error.position = field("P").flatMap { Int($0) }
        if state == "42P18" {
            error.hint = "cast the parameter in the SQL text, as in $1::text"
        }
        return error
    }

    /// 57014 is a cancelled statement; who asked for it is known to the connection only.
    private static func code(forState state: String?) -> PostgresErrorCode {
        state == "57014" ? .timedOut : .server
    }
}
