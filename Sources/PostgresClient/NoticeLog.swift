import CPostgres
import Logging

/// Sends the server's notices to the logger instead of stderr.
///
/// libpq keeps an unretained pointer to this object, which `LibpqHandle` holds until after `PQfinish`.
final class NoticeLog {
    private let logger: Logger

    init(logger: Logger, connection: OpaquePointer) {
        self.logger = logger
        PQsetNoticeReceiver(
            connection,
            { argument, result in
                guard let argument, let result else { return }
                Unmanaged<NoticeLog>.fromOpaque(argument).takeUnretainedValue().log(result)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func log(_ result: OpaquePointer) {
        let notice = LibpqResult.error(result)
        logger.debug(
            "PostgreSQL notice",
            metadata: [
                "severity": "\(notice.severity ?? "")", "sqlstate": "\(notice.sqlState ?? "")",
                "notice": "\(notice.message)",
            ])
    }
}
