package import Foundation

extension FileHandle {
    /// Reads up to the first line end, or to the end of the stream. What a program prints may arrive in pieces.
    package func readFirstLine() throws -> String {
        var bytes: [UInt8] = []
        while let byte = try read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
