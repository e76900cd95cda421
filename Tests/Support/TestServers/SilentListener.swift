import Glibc

/// A TCP port of this machine that accepts connections and never says a word.
package struct SilentListener: ~Copyable {
    struct Failure: Error {
        let errno: Int32
    }

    let descriptor: Int32
    package let port: UInt16

    package init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let status = withUnsafeMutableBytes(of: &address) { buffer -> Int32 in
            guard let pointer = buffer.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return -1 }
            guard bind(descriptor, pointer, size) == 0, listen(descriptor, 64) == 0 else { return -1 }
            return getsockname(descriptor, pointer, &size)
        }
        guard status == 0 else { throw Failure(errno: errno) }
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit {
        close(descriptor)
    }
}
