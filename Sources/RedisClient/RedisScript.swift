import Crypto

/// A Lua script, known to the server by the SHA-1 of its text.
package struct RedisScript: Hashable, Sendable {
    /// For logs and errors.
    package let name: String
    package let source: String
    /// 40 lower-case hexadecimal digits. Redis's own naming scheme, not a security measure.
    package let sha1: String

    package init(name: String, source: String) {
        self.name = name
        self.source = source
        let digits = Array("0123456789abcdef")
        var text = ""
        for byte in Insecure.SHA1.hash(data: Array(source.utf8)) {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        sha1 = text
    }

    /// The command that runs this script, for `RedisClient.pipeline`.
    package func command(keys: [String], arguments: [RedisArgument]) -> [RedisArgument] {
        ["EVALSHA", .script(self), .integer(keys.count)] + keys.map { .string($0) } + arguments
    }

    package static func == (left: Self, right: Self) -> Bool {
        left.sha1 == right.sha1
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(sha1)
    }
}
