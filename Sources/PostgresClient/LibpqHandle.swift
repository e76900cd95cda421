import CPostgres
import Glibc

/// Owns a `PGconn`; freed with the last reference, which the connection's actor holds.
final class LibpqHandle {
    let pointer: OpaquePointer
    /// libpq holds an unretained pointer to it, so it lives until after `PQfinish`.
    var notices: NoticeLog?

    init?(parameters: [(keyword: String, value: String)]) {
        let keywords = parameters.map { strdup($0.keyword) }
        let values = parameters.map { strdup($0.value) }
        defer { (keywords + values).forEach { free($0) } }
        let keywordPointers = keywords.map { UnsafePointer($0) } + [nil]
        let valuePointers = values.map { UnsafePointer($0) } + [nil]
        guard let pointer = PQconnectStartParams(keywordPointers, valuePointers, 0) else { return nil }
        self.pointer = pointer
    }

    deinit {
        PQfinish(pointer)
    }

    /// libpq's last words, on one line.
    var errorMessage: String {
        String(cString: PQerrorMessage(pointer))
            .split(separator: "\n").map { $0.trimmingPrefix(while: { $0 == " " || $0 == "\t" }) }
            .joined(separator: "; ")
    }
}
