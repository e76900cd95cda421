import Glibc

/// Error numbers that say "not now" rather than "never".
let retryableErrors: Set<Int32> = [EAGAIN, ENOMEM, EMFILE, ENFILE]

/// The system's text for an error number.
func systemMessage(_ number: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
    let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return String(decoding: bytes, as: UTF8.self)
}
