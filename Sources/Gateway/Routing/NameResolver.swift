import Glibc
import Logging
import NIOPosix
import Synchronization

/// The addresses of names behind which there are several model servers, as the system resolves them.
final class NameResolver: Sendable {
    /// How often names are resolved again.
    private static let interval = Duration.seconds(5)

    private let names: [String]
    private let log: Logger
    private let known = Mutex<[String: [String]]>([:])

    init(names: [String], log: Logger) {
        self.names = Array(Set(names)).sorted()
        self.log = log
    }

    /// Those of a name; none while it was never resolved.
    func addresses(of name: String) -> [String] { known.withLock { $0[name] ?? [] } }

    /// Until it is cancelled.
    func run() async {
        guard !names.isEmpty else { return }
        while !Task.isCancelled {
            await resolve()
            do { try await Task.sleep(for: Self.interval) } catch { return }
        }
    }

    /// Resolves all names. One that cannot be resolved now keeps its addresses: whether they answer is for the prober to say.
    func resolve() async {
        for name in names {
            do {
                // The system's resolver blocks.
                let found = try await NIOThreadPool.singleton.runIfActive { try Self.lookUp(name) }
                let old = known.withLock { $0.updateValue(found, forKey: name) }
                if old != found {
                    log.notice(
                        "a name has other addresses",
                        metadata: ["name": "\(name)", "addresses": "\(found.joined(separator: " "))"])
                }
            } catch {
                log.warning("a name cannot be resolved", metadata: ["name": "\(name)", "error": "\(error)"])
            }
        }
    }

    struct Unresolved: Error, CustomStringConvertible {
        let description: String
    }

    /// A name's addresses of both families, in order.
    static func lookUp(_ name: String) throws -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(name, nil, &hints, &list)
        guard status == 0 else { throw Unresolved(description: String(cString: gai_strerror(status))) }
        defer { freeaddrinfo(list) }
        var found: Set<String> = []
        var next = list
        while let entry = next {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            if getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
                == 0
            {
                found.insert(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
            next = entry.pointee.ai_next
        }
        return found.sorted()
    }
}
